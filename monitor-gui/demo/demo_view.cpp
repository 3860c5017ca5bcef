// SPDX-License-Identifier: GPL-3.0-or-later
// What can be asked of the simulated farm.
#include "monitor-gui/demo/demo_farm.h"

#include <algorithm>

namespace penstock::gui {

monitor::FarmTotals DemoFarm::totals() const
{
    monitor::FarmTotals totals = m_counters;
    std::uint64_t blocked = 0;
    std::uint64_t open = 0;
    for (const auto& [id, step] : m_steps)
        blocked += step.record.state() == monitor::STEP_BLOCKED ? 1U : 0U;
    for (const auto& [id, job] : m_jobs)
        open += job.finished_us() == 0 ? 1U : 0U;
    std::uint64_t connected = 0;
    std::uint64_t quarantined = 0;
    std::uint64_t slots = 0;
    for (const monitor::MachineRecord& machine : m_machines) {
        if (machine.state() == monitor::MACHINE_DISCONNECTED)
            continue;
        ++connected;
        quarantined += machine.state() == monitor::MACHINE_QUARANTINED ? 1U : 0U;
        slots += machine.slots();
    }
    totals.set_steps_blocked(blocked);
    totals.set_steps_ready(m_ready.size());
    totals.set_steps_running(m_running.size());
    totals.set_jobs_open(open);
    totals.set_slots_total(slots);
    totals.set_slots_used(m_running.size());
    totals.set_machines_total(m_machines.size());
    totals.set_machines_connected(connected);
    totals.set_machines_quarantined(quarantined);
    countWaiting(totals);
    return totals;
}

std::vector<monitor::QueueRecord> DemoFarm::queues() const
{
    std::map<std::string, monitor::QueueRecord> queues;
    std::map<std::string, std::map<std::string, std::uint64_t>> groups;
    for (const auto& [id, step] : m_steps) {
        const std::string key = step.feature.empty() ? step.system : step.system + "+" + step.feature;
        monitor::QueueRecord& queue = queues[key];
        if (queue.key().empty()) {
            queue.set_key(key);
            queue.set_system(step.system);
            if (!step.feature.empty())
                queue.add_features(step.feature);
        }
        switch (step.record.state()) {
        case monitor::STEP_READY:
            queue.set_queued(queue.queued() + 1);
            ++groups[key][step.group];
            if (queue.oldest_ready_us() == 0 || step.record.ready_us() < queue.oldest_ready_us()) {
                queue.set_oldest_ready_us(step.record.ready_us());
                queue.set_oldest_step_id(id);
                queue.set_oldest_job_id(step.jobId);
            }
            break;
        case monitor::STEP_RUNNING: queue.set_running(queue.running() + 1); break;
        case monitor::STEP_BLOCKED: queue.set_blocked(queue.blocked() + 1); break;
        default: break;
        }
    }
    std::vector<monitor::QueueRecord> result;
    for (auto& [key, queue] : queues) {
        for (const monitor::MachineRecord& machine : m_machines) {
            if (machine.state() != monitor::MACHINE_READY || machine.systems(0) != queue.system() ||
                (queue.features_size() > 0 && machine.features_size() < 2))
                continue;
            queue.set_eligible_machines(queue.eligible_machines() + 1);
            queue.set_free_slots(queue.free_slots() + (demoGated(machine) ? 0 : machine.slots() - machine.used()));
        }
        std::vector<std::pair<std::uint64_t, std::string>> fullest;
        for (const auto& [group, steps] : groups[key])
            fullest.emplace_back(steps, group);
        std::sort(fullest.rbegin(), fullest.rend());
        for (const auto& [steps, group] : fullest) {
            monitor::GroupCount& added = *queue.add_groups();
            added.set_group(group);
            added.set_steps(steps);
        }
        result.push_back(std::move(queue));
    }
    return result;
}

std::vector<monitor::StepRecord> DemoFarm::stepsOf(std::uint64_t jobId) const
{
    std::vector<monitor::StepRecord> steps;
    const auto found = m_jobSteps.find(jobId);
    if (found == m_jobSteps.end())
        return steps;
    for (const std::uint64_t id : found->second)
        steps.push_back(m_steps.at(id).record);
    return steps;
}

const DemoStep* DemoFarm::stepOfAttempt(std::uint64_t attemptId) const
{
    const auto found = m_attempts.find(attemptId);
    if (found == m_attempts.end())
        return nullptr;
    const auto step = m_steps.find(found->second);
    return step == m_steps.end() ? nullptr : &step->second;
}

} // namespace penstock::gui
