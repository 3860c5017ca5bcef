// SPDX-License-Identifier: GPL-3.0-or-later
// Processor time of this program: on a machine that others use too it says more than the clock on the wall.
#pragma once

#include <ctime>

namespace penstock::bench {

[[nodiscard]] inline double cpuSeconds()
{
    std::timespec time{};
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) != 0)
        return 0;
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

} // namespace penstock::bench
