// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/replica/history.h"

#include <algorithm>

namespace penstock::gui {

namespace {

class SpreadOf {
public:
    void add(double value, double gate)
    {
        m_values.push_back(value);
        if (gate > 0)
            m_gates.push_back(gate);
    }
    [[nodiscard]] bool empty() const { return m_values.empty(); }
    [[nodiscard]] Spread result()
    {
        if (m_values.empty())
            return {};
        return {median(m_values), *std::max_element(m_values.begin(), m_values.end()),
                m_gates.empty() ? 0.0 : median(m_gates)};
    }

private:
    static double median(std::vector<double>& values)
    {
        const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
        std::nth_element(values.begin(), middle, values.end());
        return *middle;
    }
    std::vector<double> m_values;
    std::vector<double> m_gates;
};

void keepHigher(Spread& into, const Spread& other)
{
    into.median = std::max(into.median, other.median);
    into.highest = std::max(into.highest, other.highest);
    into.gate = other.gate;
}

std::int64_t bucketOf(WallTime at, Duration step)
{
    return at.micros() / step.count();
}

} // namespace

FarmSample sampleOf(const FarmReplica& farm, WallTime at)
{
    const FarmTotals& totals = farm.totals();
    FarmSample sample;
    sample.at = at;
    sample.running = static_cast<double>(totals.stepsRunning);
    sample.ready = static_cast<double>(totals.stepsReady + totals.stepsDelayed);
    sample.blocked = static_cast<double>(totals.stepsBlocked);
    sample.slotsUsed = static_cast<double>(totals.slotsUsed);
    sample.slotsTotal = static_cast<double>(totals.slotsTotal);
    sample.machinesConnected = static_cast<double>(totals.machinesConnected);
    sample.finishedOk = totals.finishedOk;
    sample.finishedFailed = totals.finishedFailed;
    SpreadOf load;
    SpreadOf cpu;
    SpreadOf memory;
    SpreadOf io;
    for (const auto& [id, machine] : farm.machines()) {
        if (machine->state == MachineState::Disconnected)
            continue;
        const double cores = std::max(1.0, static_cast<double>(machine->cores));
        load.add(machine->load1 / cores, machine->gates.load1 / cores);
        if (!machine->pressure)
            continue;
        cpu.add(machine->pressure->cpuSome, machine->gates.cpuSome);
        memory.add(machine->pressure->memoryFull, machine->gates.memoryFull);
        io.add(machine->pressure->ioFull, machine->gates.ioFull);
    }
    sample.hasPressure = !cpu.empty();
    sample.load = load.result();
    sample.cpuSome = cpu.result();
    sample.memoryFull = memory.result();
    sample.ioFull = io.result();
    return sample;
}

void History::observe(const FarmReplica& farm, WallTime at)
{
    if (!m_fine.empty() && bucketOf(at, kFineStep) <= bucketOf(m_fine.back().at, kFineStep))
        return;
    m_fine.push_back(sampleOf(farm, at));
    if (m_fine.size() > kFineLimit) {
        addCoarse(m_fine.front());
        m_fine.pop_front();
    }
    ++m_revision;
}

void History::addCoarse(const FarmSample& sample)
{
    if (m_coarse.empty() || bucketOf(m_coarse.back().at, kCoarseStep) != bucketOf(sample.at, kCoarseStep)) {
        m_coarse.push_back(sample);
        if (m_coarse.size() > kCoarseLimit)
            m_coarse.pop_front();
        return;
    }
    FarmSample& last = m_coarse.back();
    last.running = std::max(last.running, sample.running);
    last.ready = std::max(last.ready, sample.ready);
    last.blocked = std::max(last.blocked, sample.blocked);
    last.slotsUsed = std::max(last.slotsUsed, sample.slotsUsed);
    last.slotsTotal = sample.slotsTotal;
    last.machinesConnected = sample.machinesConnected;
    last.finishedOk = sample.finishedOk;
    last.finishedFailed = sample.finishedFailed;
    keepHigher(last.load, sample.load);
    keepHigher(last.cpuSome, sample.cpuSome);
    keepHigher(last.memoryFull, sample.memoryFull);
    keepHigher(last.ioFull, sample.ioFull);
    last.hasPressure = last.hasPressure || sample.hasPressure;
}

void History::clear()
{
    m_fine.clear();
    m_coarse.clear();
    ++m_revision;
}

std::vector<FarmSample> History::since(Duration span) const
{
    std::vector<FarmSample> result;
    if (m_fine.empty())
        return result;
    const WallTime from = WallTime::fromMicros(m_fine.back().at.micros() - span.count());
    const auto young = [from](const FarmSample& sample) { return sample.at >= from; };
    std::copy_if(m_coarse.begin(), m_coarse.end(), std::back_inserter(result), young);
    std::copy_if(m_fine.begin(), m_fine.end(), std::back_inserter(result), young);
    return result;
}

std::optional<Throughput> History::throughput() const
{
    if (m_fine.empty())
        return std::nullopt;
    const FarmSample& last = m_fine.back();
    const FarmSample* first = &last;
    // Backwards while the counters only shrink: a restarted server counts from 0 again.
    for (auto at = m_fine.rbegin(); at != m_fine.rend(); ++at) {
        const bool restarted =
            at->finishedOk > first->finishedOk || at->finishedFailed > first->finishedFailed;
        if (restarted || last.at - at->at > std::chrono::seconds(60))
            break;
        first = &*at;
    }
    const Duration span = last.at - first->at;
    if (span < std::chrono::seconds(10))
        return std::nullopt;
    const double minutes = static_cast<double>(span.count()) / 60e6;
    const auto failed = static_cast<double>(last.finishedFailed - first->finishedFailed);
    const auto ok = static_cast<double>(last.finishedOk - first->finishedOk);
    return Throughput{(ok + failed) / minutes, failed / minutes};
}

bool isGap(const FarmSample& before, const FarmSample& after)
{
    return after.at - before.at > 3 * History::kCoarseStep / 2;
}

} // namespace penstock::gui
