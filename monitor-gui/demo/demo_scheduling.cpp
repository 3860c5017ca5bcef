// SPDX-License-Identifier: GPL-3.0-or-later
// What the scheduler of the simulated farm thinks: room, health, shares, what waits and why.
#include "monitor-gui/demo/demo_farm.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace penstock::gui {

namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t kSecond = 1'000'000;
constexpr std::uint64_t kQuarantine = 480 * kSecond;
constexpr std::uint32_t kCpusOfStep = 4;

struct Group {
    std::string_view name;
    std::uint32_t shares;
};
constexpr std::array kGroups = {Group{"default"sv, 100}, Group{"nixpkgs:staging"sv, 100},
                                Group{"nixpkgs:trunk"sv, 300}};

std::string crossedText(const monitor::MachineRecord& machine)
{
    return fmt::format("io pressure {:.1f}% > {:.1f}%", machine.psi_io_full(), machine.limit_psi_io());
}

} // namespace

bool demoGated(const monitor::MachineRecord& machine)
{
    return machine.has_psi() && machine.psi_io_full() > machine.limit_psi_io();
}

std::string_view demoStage(const monitor::MachineRecord& machine, const DemoStep& step)
{
    if (machine.systems(0) != step.system)
        return "system";
    if (step.feature == "kvm" && machine.features_size() < 2)
        return "features";
    if (machine.state() == monitor::MACHINE_DRAINING || machine.state() == monitor::MACHINE_QUARANTINED)
        return "enabled";
    if (machine.state() == monitor::MACHINE_DISCONNECTED)
        return "connected";
    if (demoGated(machine))
        return "not_gated";
    return machine.used() >= machine.slots() ? "room" : "";
}

std::string demoWhy(const monitor::MachineRecord& machine, std::string_view stage, WallTime now)
{
    const auto current = static_cast<std::uint64_t>(now.micros());
    const std::uint64_t until = machine.health().until_us();
    if (stage == "system")
        return "has " + machine.systems(0);
    if (stage == "features")
        return "lacks kvm";
    if (stage == "enabled" && machine.state() == monitor::MACHINE_DRAINING)
        return "draining: " + machine.note();
    if (stage == "enabled")
        return fmt::format("quarantined for {} s more: {}", until > current ? (until - current) / kSecond : 0,
                           machine.health().reason());
    if (stage == "connected")
        return "not connected";
    if (stage == "not_gated")
        return crossedText(machine);
    return stage == "room" ? fmt::format("{} of {} slots taken", machine.used(), machine.slots()) : std::string();
}

void DemoFarm::watchHealth(monitor::MachineRecord& machine)
{
    monitor::MachineHealth& health = *machine.mutable_health();
    if (health.state() != monitor::HEALTH_QUARANTINED || health.until_us() > micros())
        return;
    health.set_quarantines(health.quarantines() + 1);
    health.set_until_us(micros() + kQuarantine); // its probe failed again
}

void DemoFarm::showRoom(monitor::MachineRecord& machine) const
{
    monitor::MachineRoom room;
    const std::uint32_t used = machine.used();
    room.set_cpus(used * kCpusOfStep);
    room.set_cpus_capacity(std::max(machine.cores(), machine.slots() * kCpusOfStep));
    room.set_memory_capacity_bytes(machine.memory_bytes() / 8 * 7);
    room.set_memory_bytes(room.memory_capacity_bytes() / machine.slots() * used / 10 * 8);
    if (machine.id() % 6 == 2) {
        monitor::NamedAmount& gpu = *room.add_named();
        gpu.set_name("gpu");
        gpu.set_capacity(2);
        gpu.set_reserved(std::min(2U, used / 2));
    }
    if (demoGated(machine)) {
        monitor::CrossedGate& crossed = *room.add_crossed();
        crossed.set_gate("io_pressure");
        crossed.set_value(machine.psi_io_full());
        crossed.set_limit(machine.limit_psi_io());
    }
    DemoStep any;
    any.system = machine.systems(0);
    const std::string_view stage = demoStage(machine, any);
    room.set_open(stage.empty());
    room.set_closed(demoWhy(machine, stage, m_now));
    room.set_score(static_cast<std::int64_t>(1000.0 * (1.0 - static_cast<double>(used) / machine.slots())) -
                   static_cast<std::int64_t>(machine.psi_cpu_some() * 3));
    *machine.mutable_room() = std::move(room);
}

std::vector<monitor::ShareRecord> DemoFarm::shares() const
{
    std::map<std::string, monitor::ShareRecord> byGroup;
    double used = 0;
    for (const Group& group : kGroups) {
        monitor::ShareRecord& share = byGroup[std::string(group.name)];
        share.set_group(std::string(group.name));
        share.set_shares(group.shares);
    }
    for (const auto& [group, seconds] : m_used)
        used += seconds;
    for (const auto& [id, step] : m_steps) {
        monitor::ShareRecord& share = byGroup[step.group];
        if (step.record.state() == monitor::STEP_RUNNING)
            share.set_running(share.running() + 1);
        else if (step.record.state() == monitor::STEP_READY)
            share.set_queued(share.queued() + 1);
    }
    double active = 0;
    for (const auto& [group, share] : byGroup)
        active += share.running() + share.queued() > 0 ? share.shares() : 0;
    std::vector<monitor::ShareRecord> result;
    for (auto& [group, share] : byGroup) {
        const auto found = m_used.find(group);
        const double seconds = found == m_used.end() ? 0 : found->second;
        share.set_used_us(static_cast<std::uint64_t>(seconds * 1e6));
        share.set_used_percent(used > 0 ? seconds / used * 100 : 0);
        if (active > 0 && share.running() + share.queued() > 0)
            share.set_target_percent(share.shares() / active * 100);
        result.push_back(std::move(share));
    }
    return result;
}

void DemoFarm::countWaiting(monitor::FarmTotals& totals) const
{
    // Ready steps of one system and feature wait for the same reason, so each kind is asked about once.
    std::map<std::string, std::string> codes;
    std::map<std::string, std::uint64_t> counts;
    for (const auto& [id, step] : m_steps) {
        if (step.record.state() == monitor::STEP_BLOCKED)
            ++counts["inputs-not-built"];
        if (step.record.state() != monitor::STEP_READY)
            continue;
        std::string& code = codes[step.system + step.feature];
        if (code.empty()) {
            monitor::StepExplanation explanation;
            explainStep(step, explanation);
            code = explanation.reasons(0).code();
        }
        ++counts[code];
    }
    std::vector<std::pair<std::uint64_t, std::string>> order;
    for (const auto& [code, steps] : counts)
        order.emplace_back(steps, code);
    std::sort(order.rbegin(), order.rend());
    for (const auto& [steps, code] : order) {
        monitor::ReasonCount& added = *totals.add_waiting();
        added.set_code(code);
        added.set_steps(steps);
    }
    if (m_pausedSince == 0)
        return;
    totals.mutable_pause()->set_who("ada");
    totals.mutable_pause()->set_note("moving the store to new disks");
    totals.mutable_pause()->set_since_us(m_pausedSince);
}

} // namespace penstock::gui
