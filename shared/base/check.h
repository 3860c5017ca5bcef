// SPDX-License-Identifier: GPL-3.0-or-later
// PENSTOCK_CHECK ends the process on our own mistakes only; nothing that a peer, file, user or database
// row contains may reach one. PENSTOCK_BUG counts and logs a mistake that the program can survive, and is
// fatal in tests (setBugsFatal). Callable from any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace penstock {

[[noreturn]] void checkFailed(const char* expression, const char* file, int line);
void reportBug(std::string_view what, const char* file, int line);

// Bugs reported by this process so far; shown as the metric penstock_bugs_total.
[[nodiscard]] std::uint64_t bugCount();
// Tests call this once: afterwards a reported bug ends the process.
void setBugsFatal(bool fatal);

} // namespace penstock

#define PENSTOCK_CHECK(expression)                                                                 \
    do {                                                                                           \
        if (!(expression)) [[unlikely]]                                                            \
            ::penstock::checkFailed(#expression, __FILE__, __LINE__);                              \
    } while (false)

#define PENSTOCK_BUG(what) ::penstock::reportBug((what), __FILE__, __LINE__)
