// SPDX-License-Identifier: GPL-3.0-or-later
// Processors and load, from the texts of /proc and the control group. Each a pure parse; see machine_probe for reading.
// What cannot be parsed gives nothing rather than a guess.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::builder {

struct CpuInfo {
    std::uint32_t processors = 0;
    double bogomips = 0; // mean over the processors; 0 when the kernel does not say
};
[[nodiscard]] CpuInfo parseCpuInfo(std::string_view procCpuinfo); // x86 and ARM spellings

struct LoadAverage {
    double one = 0;
    double five = 0;
    double fifteen = 0;
};
[[nodiscard]] std::optional<LoadAverage> parseLoadAverage(std::string_view procLoadavg);

struct CpuTimes { // in clock ticks since boot
    std::uint64_t busy = 0;
    std::uint64_t total = 0;
};
[[nodiscard]] std::optional<CpuTimes> parseCpuTimes(std::string_view procStat);
// 0 to 100 over all processors between two samples; 0 when no time has passed.
[[nodiscard]] double busyPercent(const CpuTimes& before, const CpuTimes& after);

// The quota of a control group in processors ("200000 100000" is 2); nothing for "max".
[[nodiscard]] std::optional<double> parseCpuMax(std::string_view cpuMax);

} // namespace penstock::builder
