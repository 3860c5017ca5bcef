// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/probe/machine_probe.h"

#include "builder/probe/disk.h"
#include "builder/probe/memory.h"
#include "builder/probe/pressure.h"
#include "builder/spool/file_handle.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fcntl.h>
#include <sched.h>

namespace penstock::builder {
namespace {

constexpr std::size_t kMaxProcText = 4U << 20U; // cpuinfo of a large machine

std::string readText(const char* path)
{
    const FileHandle file(::open(path, O_RDONLY | O_CLOEXEC));
    std::string text;
    std::array<char, 16384> buffer{};
    while (file.isOpen() && text.size() < kMaxProcText) {
        const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
        if (got <= 0)
            break;
        text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return text;
}

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
    const CpuInfo info = parseCpuInfo(readText("/proc/cpuinfo"));
    hardware.bogomips = info.bogomips;
    hardware.cores = std::max(info.processors, 1U);
    if (const std::uint32_t allowed = allowedProcessors(); allowed > 0)
        hardware.cores = std::min(hardware.cores, allowed);
    if (const auto quota = parseCpuMax(readText("/sys/fs/cgroup/cpu.max")); quota && *quota < hardware.cores)
        hardware.cores = std::max(static_cast<std::uint32_t>(std::ceil(*quota)), 1U);
    if (const auto memory = parseMemInfo(readText("/proc/meminfo")))
        hardware.memoryBytes = memory->totalBytes;
    if (const auto limit = parseMemoryMax(readText("/sys/fs/cgroup/memory.max")))
        hardware.memoryBytes = std::min(hardware.memoryBytes, *limit);
    return hardware;
}

MachineProbe::MachineProbe(std::string workDirectory, std::string storeDir)
    : m_workDirectory(std::move(workDirectory)), m_storeDir(std::move(storeDir))
{
}

protocol::LoadSample MachineProbe::sample()
{
    protocol::LoadSample sample;
    if (const auto load = parseLoadAverage(readText("/proc/loadavg"))) {
        sample.load1 = load->one;
        sample.load5 = load->five;
        sample.load15 = load->fifteen;
    }
    if (const auto memory = parseMemInfo(readText("/proc/meminfo")))
        sample.memoryAvailableBytes = memory->availableBytes;
    if (const auto disk = readDisk(m_workDirectory)) {
        sample.diskFreeBytes = disk->freeBytes;
        sample.diskTotalBytes = disk->totalBytes;
        sample.diskFreeInodes = disk->freeInodes;
    }
    if (const auto store = m_storeDir.empty() ? std::nullopt : readDisk(m_storeDir)) {
        sample.storeFreeBytes = store->freeBytes;
        sample.storeTotalBytes = store->totalBytes;
    }
    const auto cpu = parsePressure(readText("/proc/pressure/cpu"));
    const auto memory = parsePressure(readText("/proc/pressure/memory"));
    const auto io = parsePressure(readText("/proc/pressure/io"));
    if (cpu && memory && io)
        sample.pressure = protocol::PressureSample{*cpu, *memory, *io};
    const auto times = parseCpuTimes(readText("/proc/stat"));
    if (times && m_last)
        sample.cpuBusyPercent = busyPercent(*m_last, *times);
    m_last = times;
    return sample;
}

} // namespace penstock::builder
