// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/core/detail/survey.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace penstock::core::detail {
namespace {

constexpr std::array<const char*, 10> kStageNames{"named",     "executor",  "system", "features", "other",
                                                  "enabled", "connected", "not_gated", "room",  "allowed"};

std::string describe(const work::Resources& resources)
{
    std::string text = fmt::format("{} {}", std::max(resources.cpus, 1U), resources.cpus > 1 ? "cpus" : "cpu");
    if (resources.memoryBytes != 0)
        text += fmt::format(", {} MiB", resources.memoryBytes >> 20U);
    for (const auto& [name, amount] : resources.named)
        text += fmt::format(", {} {}", amount, name);
    return text;
}

// And what of it is only expected.
std::string describe(const sched::Ask& ask)
{
    std::string text = describe(ask.reserved);
    if (ask.expectedMemoryBytes > ask.reserved.memoryBytes)
        text += fmt::format(", {} MiB expected", ask.expectedMemoryBytes >> 20U);
    return text;
}

std::string describeTaken(const sched::Room& room)
{
    std::string text = fmt::format("{} of {} are taken", describe(room.taken()), describe(room.capacity().resources));
    if (room.capacity().busyCpus != 0)
        text += fmt::format(", and {} of its {} cores are expected to be busy", room.expectedCpus(),
                            room.capacity().busyCpus);
    return text;
}

const char* codeOf(sched::MismatchKind kind)
{
    switch (kind) {
    case sched::MismatchKind::Executor: return "missing-executor";
    case sched::MismatchKind::System: return "unsupported-system";
    case sched::MismatchKind::Feature: return "missing-feature";
    case sched::MismatchKind::MandatoryFeature: return "mandatory-feature-mismatch";
    case sched::MismatchKind::Tag: return "missing-tag";
    case sched::MismatchKind::OperatingSystem: return "wrong-os";
    case sched::MismatchKind::User: return "user-not-allowed";
    }
    return "unsupported-system";
}

Stage stageOf(sched::MismatchKind kind)
{
    switch (kind) {
    case sched::MismatchKind::Executor: return Stage::Executor;
    case sched::MismatchKind::System: return Stage::System;
    case sched::MismatchKind::Feature:
    case sched::MismatchKind::MandatoryFeature: return Stage::Features;
    case sched::MismatchKind::Tag:
    case sched::MismatchKind::OperatingSystem:
    case sched::MismatchKind::User: return Stage::Other;
    }
    return Stage::Other;
}

} // namespace

const char* gateCode(sched::GateKind kind)
{
    switch (kind) {
    case sched::GateKind::CpuPressure: return "gated-cpu";
    case sched::GateKind::MemoryPressure: return "gated-mem";
    case sched::GateKind::IoPressure: return "gated-io";
    case sched::GateKind::Load: return "gated-load";
    case sched::GateKind::FreeMemory: return "memory-low";
    case sched::GateKind::FreeDisk:
    case sched::GateKind::FreeInodes: return "disk-low";
    }
    return "gated-load";
}

std::optional<Verdict> verdictOn(const work::Placement& placement, const sched::Ask& ask, const MachineSight& sight)
{
    const MachineRecord& machine = sight.machine;
    if (!sched::allowsName(placement, machine.row.name))
        return Verdict{Stage::Named, "machine-not-named"};
    if (sight.room == nullptr)
        return Verdict{Stage::Connected, "all-lost"};
    if (const auto why = sched::mismatch(placement, *sight.capability))
        return Verdict{stageOf(why->kind), codeOf(why->kind)};
    if (!sight.room->couldFit(ask))
        return Verdict{Stage::Other, "missing-resources"};
    const work::HealthState health = machine.row.health.state;
    if (health == work::HealthState::Quarantined || health == work::HealthState::Probing)
        return Verdict{Stage::Enabled, "all-quarantined"};
    if (machine.isDraining() && machine.link != Link::Away)
        return Verdict{Stage::Enabled, "all-draining"};
    if (machine.link != Link::Ready)
        return Verdict{Stage::Connected, "all-lost"};
    if (!machine.over.empty())
        return Verdict{Stage::NotGated, gateCode(machine.over.front().kind)};
    if (sight.isReserved)
        return Verdict{Stage::Room, "machine-reserved"};
    if (!sight.room->fits(ask))
        return Verdict{Stage::Room, sight.room->slotsFree() == 0 ? "slots-full" : "resources-full"};
    if (sight.isWaitingForReport)
        return Verdict{Stage::Room, "resources-full"};
    return std::nullopt;
}

Survey::Survey(const work::Placement& placement, const sched::Ask& ask, std::vector<MachineId> avoid)
    : m_placement(placement), m_ask(ask), m_avoid(std::move(avoid))
{
    for (std::size_t stage = 0; stage < kStages; ++stage)
        m_funnel[stage].stage = kStageNames[stage];
}

Survey::Finding& Survey::count(const Verdict& verdict, const MachineRecord& machine)
{
    const auto stage = static_cast<std::size_t>(verdict.stage);
    Finding& finding = m_findings[stage][verdict.code];
    ++finding.count;
    if (finding.names.size() < kNamesInReason)
        finding.names.push_back(machine.row.name);
    return finding;
}

// Every threshold that it is over is a reason of its own.
void Survey::addGates(const MachineRecord& machine, Now now)
{
    FunnelStage& funnel = m_funnel[static_cast<std::size_t>(Stage::NotGated)];
    ++funnel.removedCount;
    for (const sched::OverThreshold& over : machine.over) {
        const auto since = machine.overSince.find(over.kind);
        const auto age = since == machine.overSince.end()
                             ? 0
                             : std::max<std::int64_t>(
                                   std::chrono::floor<std::chrono::seconds>(now.mono - since->second).count(), 0);
        Finding& finding = count({Stage::NotGated, gateCode(over.kind)}, machine);
        const bool isShown = funnel.removed.size() < kNamesInReason;
        if (finding.count > 1 && !isShown)
            continue;
        std::string why = fmt::format("{} for {} s", sched::describe(over), age);
        if (isShown)
            funnel.removed.push_back({machine.row.name, why});
        if (finding.count == 1) {
            finding.detail = std::move(why);
            finding.numbers = {
                {"value", over.value}, {"limit", over.limit}, {"seconds", static_cast<double>(age)}};
        }
    }
}

std::string Survey::detailOf(const Verdict& verdict, const MachineSight& sight) const
{
    const MachineRecord& machine = sight.machine;
    const std::string_view code = verdict.code;
    if (sight.capability != nullptr)
        if (const auto why = sched::mismatch(m_placement, *sight.capability); why && codeOf(why->kind) == code)
            return why->what;
    if (code == "machine-not-named")
        return "is not among the machines it names";
    if (code == "missing-resources")
        return fmt::format("has {} in all", describe(sight.room->capacity().resources));
    if (code == "all-quarantined")
        return fmt::format("{}{}{}", work::toString(machine.row.health.state),
                           machine.row.health.reason.empty() ? "" : ": ", machine.row.health.reason);
    if (code == "all-draining") {
        const std::string& note = machine.row.drained ? machine.row.drainNote : machine.drainNote;
        return note.empty() ? "drains" : "drains: " + note;
    }
    if (code == "all-lost")
        return sight.room == nullptr            ? "was not here since the server started"
               : machine.link == Link::Away     ? "is not connected"
                                                : "has connected and has not reported yet";
    if (code == "machine-reserved")
        return "is kept free for a step that needs much";
    if (code == "slots-full")
        return fmt::format("{}/{} slots", sight.room->slotsTaken(), sight.room->capacity().slots);
    return sight.isWaitingForReport ? std::string("is near a threshold and takes one step a report")
                                    : describeTaken(*sight.room);
}

void Survey::add(MachineId id, const MachineSight& sight, Now now)
{
    ++m_machines;
    std::optional<Verdict> verdict = verdictOn(m_placement, m_ask, sight);
    if (!verdict && std::find(m_avoid.begin(), m_avoid.end(), id) != m_avoid.end())
        verdict = Verdict{Stage::Allowed, "machine-avoided"};
    if (!verdict) {
        ++m_free;
        return;
    }
    if (verdict->stage == Stage::NotGated)
        return addGates(sight.machine, now);
    if (verdict->stage == Stage::Room) {
        m_busy.push_back(id);
        m_slots += sight.room->capacity().slots;
        m_used += sight.room->slotsTaken();
    }
    FunnelStage& funnel = m_funnel[static_cast<std::size_t>(verdict->stage)];
    ++funnel.removedCount;
    Finding& finding = count(*verdict, sight.machine);
    const bool isShown = funnel.removed.size() < kNamesInReason;
    if (finding.count > 1 && !isShown)
        return; // thousands of machines say the same
    std::string why =
        verdict->stage == Stage::Allowed ? std::string("failed it or refused it before") : detailOf(*verdict, sight);
    if (isShown)
        funnel.removed.push_back({sight.machine.row.name, why});
    if (finding.count == 1)
        finding.detail = std::move(why);
}

std::string Survey::textFor(const std::string& code, const Finding& finding) const
{
    const std::string names = fmt::format("{}{}", fmt::join(finding.names, ", "),
                                          finding.count > finding.names.size()
                                              ? fmt::format(" and {} more", finding.count - finding.names.size())
                                              : "");
    const auto count = [&](std::string_view what) {
        return fmt::format("{} of {} machines {}: {}", finding.count, m_machines, what, names);
    };
    if (code == "unsupported-system")
        return count(fmt::format("do not support system {}", m_placement.system));
    if (code == "missing-feature")
        return count(fmt::format("lack feature {}", finding.detail));
    if (code == "mandatory-feature-mismatch")
        return count(fmt::format("only take steps that ask for feature {}", finding.detail));
    if (code == "missing-executor")
        return count(fmt::format("do not run {} work", m_placement.executor));
    if (code == "missing-tag")
        return count(fmt::format("lack tag {}", finding.detail));
    if (code == "wrong-os")
        return count("run another operating system");
    if (code == "user-not-allowed")
        return count(fmt::format("do not work for user {}", m_placement.user));
    if (code == "machine-not-named")
        return count("are not among those it names");
    if (code == "missing-resources")
        return count(fmt::format("are too small for {} ({})", describe(m_ask.reserved), finding.detail));
    if (code == "slots-full")
        return fmt::format("all slots busy ({} of {}) on {}", m_used, m_slots, names);
    if (code == "resources-full")
        return count(fmt::format("have no room for {} now ({})", describe(m_ask), finding.detail));
    if (code == "all-lost")
        return count("are not connected");
    if (code.starts_with("gated-") || code == "disk-low" || code == "memory-low")
        return count(fmt::format("are beyond a threshold ({})", finding.detail));
    if (code == "all-draining" || code == "all-quarantined")
        return count(fmt::format("take nothing now ({})", finding.detail));
    if (code == "machine-reserved")
        return count("are kept free for a step that needs much");
    if (code == "machine-avoided")
        return count("failed it or refused it before");
    return count(finding.detail);
}

std::string Survey::remedyFor(const std::string& code) const
{
    if (code == "unsupported-system")
        return fmt::format("connect a builder with system {}", m_placement.system);
    if (code == "missing-feature")
        return "connect a builder that has the feature (--features)";
    if (code == "mandatory-feature-mismatch")
        return "ask for the feature, or connect a builder without --mandatory-features";
    if (code == "missing-executor" || code == "missing-tag" || code == "wrong-os" || code == "user-not-allowed" ||
        code == "machine-not-named")
        return "connect a builder that fits, or change the job's affinity";
    if (code == "missing-resources")
        return "ask for less, or connect a larger machine";
    if (code == "all-draining")
        return "penstock undrain";
    if (code == "all-quarantined")
        return "mend the machine; it is tried again by itself, or at once with penstock machine NAME --trust";
    if (code == "all-lost")
        return "start the builder, and look at its log if it runs";
    if (code.starts_with("gated-"))
        return "it opens when the machine is below the threshold again; change that with penstock machine NAME --set";
    if (code == "disk-low" || code == "memory-low")
        return "free some on the machine, or lower the threshold with penstock machine NAME --set";
    if (code == "slots-full" || code == "resources-full")
        return "it starts when something ends and it is first in its queue";
    if (code == "machine-reserved")
        return "it is anybody's again when that step has started";
    return "it goes there when no other machine can take it";
}

void Survey::tell(StepExplanation& explanation) const
{
    std::uint32_t left = static_cast<std::uint32_t>(m_machines);
    explanation.funnel.push_back({.stage = "known", .left = left, .removedCount = 0, .removed = {}});
    std::size_t lastThatRemoved = kStages;
    for (std::size_t stage = 0; stage < kStages; ++stage) {
        FunnelStage funnel = m_funnel[stage];
        left -= funnel.removedCount;
        funnel.left = left;
        if (funnel.removedCount > 0)
            lastThatRemoved = stage;
        explanation.funnel.push_back(std::move(funnel));
    }
    if (m_machines == 0)
        explanation.reasons.push_back({.code = "all-lost", .text = "no machine has ever connected",
                                       .remedy = "start a builder: penstock-builder --server URL"});
    if (lastThatRemoved == kStages)
        return;
    // The last stage that took machines out is what binds: those it took would be able but for that.
    for (std::size_t back = lastThatRemoved + 1; back-- > 0;)
        for (const auto& [code, finding] : m_findings[back])
            explanation.reasons.push_back({.code = code,
                                           .text = textFor(code, finding),
                                           .numbers = [&] {
                                               auto numbers = finding.numbers;
                                               numbers["machines"] = static_cast<double>(finding.count);
                                               if (code == "slots-full") {
                                                   numbers["used"] = static_cast<double>(m_used);
                                                   numbers["slots"] = static_cast<double>(m_slots);
                                               }
                                               return numbers;
                                           }(),
                                           .remedy = remedyFor(code),
                                           .names = finding.names});
}

} // namespace penstock::core::detail
