// SPDX-License-Identifier: GPL-3.0-or-later
// MachineProbe: reads this machine's state through the parsers beside it. A few small reads of /proc, fit for a loop.
// An object belongs to one thread; it remembers the last sample for the share of busy time.
#pragma once

#include "builder/probe/cpu.h"
#include "shared/protocol/link_values.h"

#include <optional>
#include <string>

namespace penstock::builder {

struct Hardware {
    std::uint32_t cores = 1; // usable: affinity and the control groups' quotas count
    std::uint64_t memoryBytes = 0; // the same
    double bogomips = 0;
};
[[nodiscard]] Hardware readHardware();

class MachineProbe {
public:
    // storeDir: empty when there is none.
    MachineProbe(std::string workDirectory, std::string storeDir);
    [[nodiscard]] protocol::LoadSample sample();

private:
    std::string m_workDirectory;
    std::string m_storeDir;
    std::optional<CpuTimes> m_last;
    double m_busyPercent = 0;
};

} // namespace penstock::builder
