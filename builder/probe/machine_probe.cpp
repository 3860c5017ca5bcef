// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/probe/machine_probe.h"

#include "builder/probe/control_group.h"
#include "builder/probe/disk.h"
#include "builder/probe/memory.h"
#include "builder/probe/pressure.h"

#include <algorithm>
#include <cmath>
#include <sched.h>

namespace penstock::builder {
namespace {

// Of all processors together; fewer since the last look say nothing about how busy they are.
constexpr std::uint64_t kLeastTicks = 50;

std::uint32_t allowedProcessors()
{
    cpu_set_t allowed;
    if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return 0;
    return static_cast<std::uint32_t>(CPU_COUNT(&allowed));
}

} // namespace

Hardware readHardware()
{
    Hardware hardware;
    const CpuInfo info = parseCpuInfo(readKernelText("/proc/cpuinfo"));
    hardware.bogomips = info.bogomips;
    hardware.cores = std::max(info.processors, 1U);
    if (const std::uint32_t allowed = allowedProcessors(); allowed > 0)
        hardware.cores = std::min(hardware.cores, allowed);
    const GroupLimits group = readOwnGroup();
    if (group.cpus && *group.cpus < hardware.cores)
        hardware.cores = std::max(static_cast<std::uint32_t>(std::ceil(*group.cpus)), 1U);
    if (const auto memory = parseMemInfo(readKernelText("/proc/meminfo")))
        hardware.memoryBytes = memory->totalBytes;
    if (group.memoryBytes)
        hardware.memoryBytes = std::min(hardware.memoryBytes, *group.memoryBytes);
    return hardware;
}

MachineProbe::MachineProbe(std::string workDirectory, std::string storeDir)
    : m_workDirectory(std::move(workDirectory)), m_storeDir(std::move(storeDir))
{
}

protocol::LoadSample MachineProbe::sample()
{
    protocol::LoadSample sample;
    if (const auto load = parseLoadAverage(readKernelText("/proc/loadavg"))) {
        sample.load1 = load->one;
        sample.load5 = load->five;
        sample.load15 = load->fifteen;
    }
    if (const auto memory = parseMemInfo(readKernelText("/proc/meminfo")))
        sample.memoryAvailableBytes = memory->availableBytes;
    if (const GroupLimits group = readOwnGroup(); group.memoryLeftBytes)
        sample.memoryAvailableBytes = std::min(sample.memoryAvailableBytes, *group.memoryLeftBytes);
    if (const auto disk = readDisk(m_workDirectory)) {
        sample.diskFreeBytes = disk->freeBytes;
        sample.diskTotalBytes = disk->totalBytes;
        sample.diskFreeInodes = disk->freeInodes;
        sample.diskTotalInodes = disk->totalInodes;
    }
    if (const auto store = m_storeDir.empty() ? std::nullopt : readDisk(m_storeDir)) {
        sample.storeFreeBytes = store->freeBytes;
        sample.storeTotalBytes = store->totalBytes;
    }
    const auto cpu = parsePressure(readKernelText("/proc/pressure/cpu"));
    const auto memory = parsePressure(readKernelText("/proc/pressure/memory"));
    const auto io = parsePressure(readKernelText("/proc/pressure/io"));
    if (cpu && memory && io)
        sample.pressure = protocol::PressureSample{*cpu, *memory, *io};
    const auto times = parseCpuTimes(readKernelText("/proc/stat"));
    if (times && (!m_last || times->total < m_last->total || times->total - m_last->total >= kLeastTicks)) {
        m_busyPercent = m_last ? busyPercent(*m_last, *times) : 0;
        m_last = times;
    }
    sample.cpuBusyPercent = m_busyPercent;
    return sample;
}

} // namespace penstock::builder
