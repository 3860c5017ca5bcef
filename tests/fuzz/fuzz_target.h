// SPDX-License-Identifier: GPL-3.0-or-later
// The entry point that libFuzzer and replay_main.cpp call, declared for -Wmissing-declarations.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size);
