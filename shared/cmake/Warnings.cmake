# SPDX-License-Identifier: GPL-3.0-or-later
# penstock_options: how everything is compiled. penstock_warnings: what our own code must be clean under.
include_guard(GLOBAL)

option(PENSTOCK_WERROR "Warnings are errors (on in CI presets)" OFF)
set(PENSTOCK_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined or thread")

add_library(penstock_options INTERFACE)
target_compile_features(penstock_options INTERFACE cxx_std_20)
target_compile_definitions(penstock_options INTERFACE
  $<$<CONFIG:Debug>:_GLIBCXX_ASSERTIONS>
  $<$<CONFIG:RelWithDebInfo,Release>:_FORTIFY_SOURCE=2>)
target_compile_options(penstock_options INTERFACE
  $<$<CONFIG:RelWithDebInfo,Release>:-fstack-protector-strong>)
if(PENSTOCK_SANITIZE)
  target_compile_options(penstock_options INTERFACE -fsanitize=${PENSTOCK_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(penstock_options INTERFACE -fsanitize=${PENSTOCK_SANITIZE})
endif()

add_library(penstock_warnings INTERFACE)
target_compile_options(penstock_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wcast-qual -Wcast-align
  -Wnon-virtual-dtor -Woverloaded-virtual -Wdouble-promotion -Wformat=2 -Wimplicit-fallthrough
  -Wnull-dereference -Wundef -Wextra-semi -Wmissing-declarations -Wredundant-decls
  $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond -Wlogical-op -Wuseless-cast>
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety -Werror=thread-safety>
  $<$<BOOL:${PENSTOCK_WERROR}>:-Werror>)
if(PENSTOCK_SANITIZE)
  # GCC's flow-based warning is unreliable in instrumented code.
  target_compile_options(penstock_warnings INTERFACE -Wno-null-dereference
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
endif()

add_library(penstock_qt_options INTERFACE)
target_compile_definitions(penstock_qt_options INTERFACE
  QT_NO_KEYWORDS QT_NO_CAST_FROM_ASCII QT_NO_CAST_TO_ASCII QT_NO_URL_CAST_FROM_STRING QT_NO_FOREACH
  QT_NO_JAVA_STYLE_ITERATORS QT_NO_NARROWING_CONVERSIONS_IN_CONNECT QT_STRICT_ITERATORS
  QT_DISABLE_DEPRECATED_BEFORE=0x060400)
