// SPDX-License-Identifier: GPL-3.0-or-later
// Read by moc before each header, never by the compiler: see CMAKE_AUTOMOC_MOC_OPTIONS in CMakeLists.txt.
#define _GLIBCXX_VISIBILITY(V)
