// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/check.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace penstock {
namespace {
std::atomic<std::uint64_t> g_bugs{0}; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): process-wide count by design
std::atomic<bool> g_fatal{false}; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): set once by a test's main
} // namespace

void checkFailed(const char* expression, const char* file, int line)
{
    std::fprintf(stderr, "penstock: check failed: %s at %s:%d\n", expression, file, line);
    std::abort();
}

void reportBug(std::string_view what, const char* file, int line)
{
    g_bugs.fetch_add(1, std::memory_order_relaxed);
    std::fprintf(stderr, "penstock: bug: %.*s at %s:%d\n", static_cast<int>(what.size()), what.data(),
                 file, line);
    if (g_fatal.load(std::memory_order_relaxed))
        std::abort();
}

std::uint64_t bugCount()
{
    return g_bugs.load(std::memory_order_relaxed);
}

void setBugsFatal(bool fatal)
{
    g_fatal.store(fatal, std::memory_order_relaxed);
}

} // namespace penstock
