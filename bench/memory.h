// SPDX-License-Identifier: GPL-3.0-or-later
// Memory in use by this program, as the allocator rounds it: memory.cpp counts every operator new. One
// thread.
#pragma once

#include <cstdint>

namespace penstock::bench {

[[nodiscard]] std::int64_t bytesInUse();

} // namespace penstock::bench
