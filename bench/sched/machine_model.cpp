// SPDX-License-Identifier: GPL-3.0-or-later
#include "bench/sched/machine_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace penstock::bench {
namespace {

double secondsOf(Duration duration)
{
    return static_cast<double>(duration.count()) / 1e6;
}

Duration durationOf(double seconds)
{
    return Duration(static_cast<std::int64_t>(seconds * 1e6));
}

} // namespace

double cpuSome(double threads, double cores)
{
    if (threads <= 0)
        return 0;
    const double deviation = std::sqrt(0.35 * threads);
    return 50.0 * std::erfc((cores - threads) / (deviation * std::sqrt(2.0)));
}

double ioFull(double demand)
{
    return std::clamp(100.0 * (demand - 0.8), 0.0, 95.0);
}

void OverTime::add(Duration above, Duration below)
{
    current += above;
    total += above;
    longest = std::max(longest, current);
    if (below > Duration(0))
        current = Duration(0);
}

void MachineModel::Average::advance(double target, double elapsed, double limit, OverTime& over)
{
    const double before = value;
    value = target + (before - target) * std::exp(-elapsed / seconds);
    if (limit <= 0)
        return;
    const bool wasAbove = before > limit;
    const bool isAbove = value > limit;
    if (wasAbove == isAbove) // it moves one way only
        return over.add(durationOf(isAbove ? elapsed : 0), durationOf(isAbove ? 0 : elapsed));
    const double crossing = seconds * std::log((before - target) / (limit - target));
    if (wasAbove)
        return over.add(durationOf(crossing), durationOf(std::max(elapsed - crossing, 1e-6)));
    over.add(Duration(0), durationOf(std::max(crossing, 1e-6)));
    over.add(durationOf(elapsed - crossing), Duration(0));
}

MachineModel::MachineModel(protocol::MachineFacts facts, bool sharesCores, Instant now)
    : m_facts(std::move(facts)), m_sharesCores(sharesCores), m_at(now)
{}

double MachineModel::rate(const Truth& truth) const
{
    if (!m_sharesCores)
        return m_facts.speedFactor;
    double rate = m_facts.speedFactor;
    const double wanted = m_threads + m_foreign;
    if (wanted > m_facts.cores)
        rate *= m_facts.cores / wanted;
    if (truth.ioPermille > 0 && m_io > 1)
        rate /= m_io;
    return rate;
}

void MachineModel::advance(Instant to)
{
    if (to <= m_at)
        return;
    const Duration elapsed = to - m_at;
    const auto micros = static_cast<double>(elapsed.count());
    for (Running& running : m_running)
        running.left -= micros * rate(running.truth);
    if (m_sharesCores) {
        const double cores = m_facts.cores;
        const double wanted = m_threads + m_foreign;
        const double seconds = secondsOf(elapsed);
        const protocol::Thresholds& limits = m_facts.thresholds;
        m_cpu.advance(cpuSome(wanted, cores), seconds, limits.cpuPsi, m_overAll);
        m_cpuOurs.advance(cpuSome(m_threads, cores), seconds, limits.cpuPsi, m_overCpu);
        m_ioFull.advance(ioFull(m_io), seconds, limits.ioPsi, m_overIo);
        m_load1.advance(wanted, seconds, 0, m_ignored);
        m_busy += micros * m_threads * (wanted > cores ? cores / wanted : 1.0);
    }
    m_at = to;
}

void MachineModel::demandChanged()
{
    m_threads = 0;
    m_io = 0;
    for (const Running& running : m_running) {
        m_threads += running.truth.milliThreads / 1000.0;
        m_io += running.truth.ioPermille / 1000.0;
    }
}

void MachineModel::start(AttemptId attempt, const Truth& truth, Now now)
{
    advance(now.mono);
    m_running.push_back({attempt, truth, static_cast<double>(truth.duration.count()), now.mono, now.wall});
    demandChanged();
}

void MachineModel::setForeign(double threads, Instant now)
{
    advance(now);
    m_foreign = threads;
}

std::optional<Running> MachineModel::takeFinished(Instant now)
{
    advance(now);
    for (const Running& running : m_running)
        if (running.left < 1.0) // less than a microsecond
            return take(running.attempt, now);
    return std::nullopt;
}

std::optional<Running> MachineModel::take(AttemptId attempt, Instant now)
{
    advance(now);
    const auto found = std::find_if(m_running.begin(), m_running.end(),
                                    [attempt](const Running& running) { return running.attempt == attempt; });
    if (found == m_running.end())
        return std::nullopt;
    const Running taken = *found;
    m_running.erase(found);
    demandChanged();
    return taken;
}

std::optional<Instant> MachineModel::nextFinish() const
{
    std::optional<double> soonest;
    for (const Running& running : m_running) {
        const double takes = std::max(running.left, 0.0) / rate(running.truth);
        soonest = std::min(soonest.value_or(takes), takes);
    }
    if (!soonest)
        return std::nullopt;
    return m_at + Duration(static_cast<std::int64_t>(std::ceil(*soonest)));
}

void MachineModel::forgetOverTime()
{
    m_overCpu = {};
    m_overIo = {};
}

protocol::LoadSample MachineModel::sample() const
{
    protocol::LoadSample load;
    load.load1 = m_load1.value;
    load.memoryAvailableBytes = m_facts.memoryBytes;
    load.diskFreeBytes = load.diskTotalBytes = load.storeFreeBytes = load.storeTotalBytes = 1ULL << 40U;
    load.diskFreeInodes = 1'000'000'000;
    load.cpuBusyPercent = std::min(100.0, 100.0 * (m_threads + m_foreign) / std::max(m_facts.cores, 1U));
    load.pressure.emplace();
    load.pressure->cpu.someAvg10 = m_cpu.value;
    load.pressure->io.fullAvg10 = m_ioFull.value;
    return load;
}

} // namespace penstock::bench
