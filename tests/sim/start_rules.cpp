// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/start_rules.h"

#include "server/core/event.h"
#include "server/sched/history.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace penstock::sim {
namespace {

using work::HealthState;
using work::StepState;

std::string kindOf(const work::StepSpec& spec)
{
    const work::Placement& wanted = spec.placement;
    std::string named;
    for (const auto& [name, amount] : spec.resources.named)
        named += fmt::format("{}={},", name, amount);
    return fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", wanted.system, fmt::join(wanted.features, ","),
                       fmt::join(wanted.tags, ","), fmt::join(wanted.os, ","),
                       fmt::join(wanted.machines, ","), wanted.executor, wanted.user, spec.resources.cpus,
                       spec.resources.memoryBytes, named);
}

bool has(const std::vector<std::string>& words, const std::string& word)
{
    return std::find(words.begin(), words.end(), word) != words.end();
}

} // namespace

bool StartRules::Job::isWanted() const
{
    const bool isCancelled = progress.result == work::StepResult::Cancelled;
    return !work::isFinished(progress.state) && !progress.held && !isCancelled;
}

void StartRules::machineIs(const std::string& identity, const protocol::MachineFacts& facts)
{
    const sched::MachineFree room = m_options.policy.room;
    m_loadCounts = m_loadCounts || room == sched::MachineFree::Dynamic ||
                   (room != sched::MachineFree::Static && (facts.thresholds.cpuPsi > 0 || facts.thresholds.load1 > 0));
    const auto [found, isNew] = m_facts.try_emplace(identity, facts);
    if (isNew)
        return;
    protocol::MachineFacts& most = found->second;
    most.maxJobs = std::max(most.maxJobs, facts.maxJobs);
    most.cores = std::max(most.cores, facts.cores);
    most.memoryBytes = std::max(most.memoryBytes, facts.memoryBytes);
}

const protocol::MachineFacts* StartRules::factsOf(const Machine& machine) const
{
    const auto found = m_facts.find(machine.row.identity);
    return found == m_facts.end() ? nullptr : &found->second;
}

// -------------------------------------------------------------------------------------------------------
// rows

void StartRules::machineChanged(const work::MachineRow& row)
{
    Machine& machine = m_machines[row.id];
    const HealthState from = machine.row.health.state;
    const HealthState to = row.health.state;
    machine.row = row;
    if (from == to)
        return;
    m_world.reach(fmt::format("health.{}_to_{}", work::toString(from), work::toString(to)));
    if (to == HealthState::Quarantined || to == HealthState::Healthy)
        ++m_sentences[row.identity];
}

void StartRules::jobsChanged(const work::Changes& changes)
{
    for (const work::JobRow& row : changes.newJobs) {
        const std::string& share = row.spec.shareGroup.empty() ? row.spec.nameSpace : row.spec.shareGroup;
        m_jobs[row.id] = {row.progress, {row.spec.nameSpace, row.spec.concurrencyGroup}, share, {}};
        if (!row.spec.concurrencyGroup.empty())
            m_groupLimits[m_jobs[row.id].gate] = row.spec.concurrencyLimit;
    }
    for (const work::JobUpdate& update : changes.jobs) {
        Job& job = m_jobs[update.id];
        if (update.progress.held && !job.progress.held)
            m_world.reach("hold");
        if (update.progress.bumped && !job.progress.bumped)
            m_world.reach("bump");
        job.progress = update.progress;
        if (job.progress.bumped && !work::isFinished(job.progress.state))
            m_bumped.insert(update.id);
        else
            m_bumped.erase(update.id);
    }
}

void StartRules::stepChanged(StepId id, const work::StepProgress& progress)
{
    Step& step = m_steps[id];
    step.progress = progress;
    if (progress.state == StepState::Ready)
        m_ready[step.kind].insert(id);
    else if (const auto found = m_ready.find(step.kind);
             found != m_ready.end() && found->second.erase(id) > 0 && found->second.empty())
        m_ready.erase(found);
}

void StartRules::attemptEnded(const work::AttemptUpdate& update)
{
    const auto found = m_live.find(update.id);
    if (found == m_live.end() || update.progress.state != work::AttemptState::Ended)
        return;
    if (const auto machine = m_machines.find(found->second.machine); machine != m_machines.end()) {
        machine->second.live.erase(update.id);
        if (update.progress.end == work::AttemptEnd::Infrastructure)
            countBlackHole(machine->second);
    }
    if (update.progress.end == work::AttemptEnd::Succeeded)
        m_learned[std::string(sched::historyKey(m_steps[found->second.step].name))] = m_world.now().wall;
    m_live.erase(found);
}

void StartRules::committed(const work::Changes& changes)
{
    ++m_revision;
    if (changes.pause) {
        m_pause = *changes.pause;
        m_world.reach(m_pause.paused ? "pause" : "resume");
    }
    for (const work::NamespaceRow& row : changes.namespaces)
        m_namespaces[row.name] = row;
    for (const work::MachineRow& row : changes.machines)
        machineChanged(row);
    jobsChanged(changes);
    for (const work::StepRow& row : changes.newSteps) {
        m_steps[row.id] = {row.spec.name,   row.spec.placement, row.spec.resources, row.progress, {},
                           kindOf(row.spec)};
        stepChanged(row.id, row.progress);
    }
    for (const work::JobStepRow& row : changes.jobSteps) {
        m_steps[row.step].jobs.insert(row.job);
        m_jobs[row.job].steps.insert(row.step);
    }
    for (const work::DependencyRow& row : changes.dependencies) {
        m_steps[row.step].below.insert(row.dependsOn);
        m_steps[row.dependsOn].above.insert(row.step);
    }
    for (const work::StepRow& row : changes.newSteps)
        m_hasUnlisted = m_hasUnlisted || m_steps[row.id].jobs.empty();
    for (const work::StepUpdate& update : changes.steps)
        stepChanged(update.id, update.progress);
    for (const work::AttemptUpdate& update : changes.attempts)
        attemptEnded(update);
    for (const work::AttemptRow& row : changes.newAttempts) {
        m_live[row.id] = {row.step, row.machine};
        m_machines[row.machine].live.insert(row.id);
    }
    for (const work::AttemptRow& row : changes.newAttempts)
        checkStart(row);
    for (const MachineId id : changes.removedMachines) {
        if (!m_machines[id].live.empty())
            m_world.violate(fmt::format("machine {} was removed with live attempts", id.value()));
        m_machines.erase(id);
        m_world.reach("machine.removed");
    }
}

// -----------------------------------------------------------------------------------------------------
// starts

void StartRules::checkStart(const work::AttemptRow& row)
{
    const Step& step = m_steps[row.step];
    const bool isProbe = m_jobs[row.job].gate.first == core::kOwnNamespace;
    if (m_pause.paused)
        m_world.violate(fmt::format("attempt {} started while the farm is paused", row.id.value()));
    if (isHeld(step))
        m_world.violate(
            fmt::format("step {} started, but every job of it is held, cancelled or over", row.step.value()));
    if (step.jobs.empty())
        m_world.reach("roots.below_started");
    const std::set<JobId> jobs = jobsOf(step);
    if (!jobs.contains(row.job))
        m_world.violate(fmt::format("attempt {} is told to be for job {}, which does not need it", row.id.value(),
                                    row.job.value()));
    checkMachine(row, step, isProbe);
    checkGates(step);
    if (m_compareOrder && !isProbe)
        checkOrder(step, row.created);
}

void StartRules::checkMachine(const work::AttemptRow& row, const Step& step, bool isProbe)
{
    const Machine& machine = m_machines[row.machine];
    const HealthState health = machine.row.health.state;
    const auto complain = [&](std::string_view what) {
        m_world.violate(fmt::format("attempt {} started on {} {}", row.id.value(), machine.row.name, what));
    };
    if (health == HealthState::Quarantined)
        complain("in quarantine");
    if (isProbe != (health == HealthState::Probing))
        complain(isProbe ? "as a probe that nobody waits for" : "that waits for its probe");
    if (health == HealthState::Parole && machine.live.size() > 1)
        complain("on parole beside others");
    if (machine.row.drained)
        complain("that is drained");
    const protocol::MachineFacts* facts = factsOf(machine);
    if (facts == nullptr)
        return;
    if (!suits(step.placement, *facts))
        complain(fmt::format("that cannot run it: {}", step.kind));
    // A probe runs beside what is still there.
    if (!isProbe)
        checkRoom(machine, *facts);
}

void StartRules::checkRoom(const Machine& machine, const protocol::MachineFacts& facts)
{
    const bool isDynamic = m_options.policy.room == sched::MachineFree::Dynamic;
    work::Resources sum;
    for (const AttemptId id : machine.live) {
        const work::Resources& wanted = m_steps[m_live[id].step].resources;
        sum.cpus += std::max(wanted.cpus, 1U);
        sum.memoryBytes += wanted.memoryBytes;
        for (const auto& [name, amount] : wanted.named)
            sum.named[name] += amount;
    }
    const auto most = [&](std::string_view what, std::uint64_t used, std::uint64_t all) {
        if (used > all)
            m_world.violate(fmt::format("{} has {} {} and is given {}", machine.row.name, all, what, used));
    };
    if (!isDynamic) {
        most("slots", machine.live.size(), facts.maxJobs);
        most("cpus", sum.cpus, std::max(facts.cores, facts.maxJobs));
    }
    if (facts.memoryBytes != 0)
        most("bytes of memory", sum.memoryBytes, facts.memoryBytes);
    for (const auto& [name, amount] : sum.named) {
        const auto found = facts.resources.find(name);
        most(name, amount, found == facts.resources.end() ? 0 : found->second);
    }
}

bool StartRules::suits(const work::Placement& wanted, const protocol::MachineFacts& facts)
{
    const auto contains = [](const std::vector<std::string>& all) {
        return [&all](const std::string& word) { return has(all, word); };
    };
    const bool features =
        std::all_of(wanted.features.begin(), wanted.features.end(), [&](const std::string& word) {
            return has(facts.features, word) || has(facts.mandatoryFeatures, word);
        });
    return features && std::ranges::all_of(facts.mandatoryFeatures, contains(wanted.features)) &&
           std::ranges::all_of(wanted.tags, contains(facts.tags)) && has(facts.executors, wanted.executor) &&
           (wanted.system.empty() || wanted.system == "builtin" || has(facts.systems, wanted.system)) &&
           (wanted.os.empty() || has(wanted.os, facts.os)) &&
           (wanted.machines.empty() || has(wanted.machines, facts.name)) &&
           (facts.users.empty() || has(facts.users, wanted.user));
}

bool StartRules::isHeld(const Step& step) const
{
    return std::ranges::none_of(jobsOf(step), [this](JobId id) { return m_jobs.at(id).isWanted(); });
}

std::set<JobId> StartRules::jobsOf(const Step& step) const
{
    std::set<JobId> jobs = step.jobs;
    if (!m_hasUnlisted) // then whoever lists a step lists all below it that is open
        return jobs;
    std::set<StepId> seen;
    std::vector<const Step*> due{&step};
    while (!due.empty()) {
        const Step& at = *due.back();
        due.pop_back();
        jobs.insert(at.jobs.begin(), at.jobs.end());
        for (const StepId above : at.above)
            if (m_steps.at(above).progress.state != StepState::Finished && seen.insert(above).second)
                due.push_back(&m_steps.at(above));
    }
    return jobs;
}

// What it lists, and what those need that is not finished.
std::set<StepId> StartRules::stepsUnder(const Job& job) const
{
    std::set<StepId> steps = job.steps;
    std::vector<StepId> due(steps.begin(), steps.end());
    while (m_hasUnlisted && !due.empty()) {
        const Step& at = m_steps.at(due.back());
        due.pop_back();
        if (at.progress.state == StepState::Finished)
            continue;
        for (const StepId below : at.below)
            if (steps.insert(below).second)
                due.push_back(below);
    }
    return steps;
}

bool StartRules::fits(const Step& step, const Machine& machine) const
{
    const protocol::MachineFacts* facts = factsOf(machine);
    if (facts == nullptr || machine.row.drained || machine.row.health.state != HealthState::Healthy ||
        !suits(step.placement, *facts) || machine.live.size() >= facts->maxJobs)
        return false;
    work::Resources sum = step.resources;
    sum.cpus = std::max(sum.cpus, 1U);
    for (const AttemptId id : machine.live) {
        const work::Resources& taken = m_steps.at(m_live.at(id).step).resources;
        sum.cpus += std::max(taken.cpus, 1U);
        sum.memoryBytes += taken.memoryBytes;
        for (const auto& [name, amount] : taken.named)
            sum.named[name] += amount;
    }
    return sum.cpus <= std::max(facts->cores, facts->maxJobs) &&
           (facts->memoryBytes == 0 || sum.memoryBytes <= facts->memoryBytes) &&
           std::ranges::all_of(sum.named, [facts](const auto& amount) {
               const auto found = facts->resources.find(amount.first);
               return found != facts->resources.end() && amount.second <= found->second;
           });
}

// ------------------------------------------------------------------------------------------------------
// gates

// Known only when all jobs of the step agree: which of them counts is the farm's own affair.
std::optional<std::set<StartRules::Gate>> StartRules::gatesOf(const Step& step) const
{
    std::optional<Gate> gate;
    for (const JobId id : jobsOf(step)) {
        if (gate && *gate != m_jobs.at(id).gate)
            return std::nullopt;
        gate = m_jobs.at(id).gate;
    }
    return gate ? std::optional(std::set<Gate>{*gate, {gate->first, ""}}) : std::nullopt;
}

void StartRules::checkGates(const Step& step)
{
    const auto gates = gatesOf(step);
    if (!gates)
        return;
    for (const Gate& gate : *gates) {
        std::uint32_t running = 0;
        std::uint32_t cpus = 0;
        for (const auto& [id, live] : m_live) {
            const Step& other = m_steps[live.step];
            const auto theirs = gatesOf(other);
            if (!theirs || !theirs->contains(gate) || isHeld(other))
                continue;
            ++running;
            cpus += std::max(other.resources.cpus, 1U);
        }
        const auto most = [&](std::string_view what, std::uint32_t limit, std::uint32_t used) {
            if (limit == 0 || used < limit)
                return;
            m_world.reach(fmt::format("gate.{}_full", gate.second.empty() ? what : "group"));
            if (used > limit)
                m_world.violate(fmt::format("{} {} of {}/{} run, the limit is {}", used, what, gate.first,
                                            gate.second, limit));
        };
        if (!gate.second.empty())
            most("steps", m_groupLimits[gate], running);
        else if (const auto row = m_namespaces.find(gate.first); row != m_namespaces.end()) {
            most("steps", row->second.maxRunningSteps, running);
            most("cpus", row->second.maxCpus, cpus);
        }
    }
}

bool StartRules::gatesAllow(const Step& step) const
{
    const auto gates = gatesOf(step);
    if (!gates)
        return false;
    return std::ranges::all_of(*gates, [this](const Gate& gate) {
        if (!gate.second.empty())
            return false; // of groups only the limit is checked
        const auto row = m_namespaces.find(gate.first);
        return row == m_namespaces.end() || (row->second.maxRunningSteps == 0 && row->second.maxCpus == 0);
    });
}

// ------------------------------------------------------------------------------------------------------
// order

// Steps of one name ask for the same, except that those in the queue hear of a new success within one round of the
// patrol, a second for 4,000 steps; where load counts, one of which more is known may fit where another does not.
bool StartRules::expectsAlike(const Step& step, WallTime decided) const
{
    const auto learned = m_learned.find(std::string(sched::historyKey(step.name)));
    const auto rounds = static_cast<std::int64_t>(m_steps.size() / 4'000 + 1);
    return !m_loadCounts || learned == m_learned.end() ||
           decided - learned->second > std::chrono::seconds(1) * rounds + std::chrono::milliseconds(500);
}

// No equal step that was bumped may still wait: what one machine takes, it takes as well.
void StartRules::checkOrder(const Step& started, WallTime decided)
{
    const auto isBumped = [this](const Step& step) {
        return std::ranges::any_of(jobsOf(step), [this](JobId id) {
            return m_jobs.at(id).isWanted() && m_jobs.at(id).progress.bumped.has_value();
        });
    };
    const auto isPlain = [](const Step& step) {
        return step.progress.attempts <= 1 && step.progress.avoid.empty();
    };
    if (isBumped(started) || !isPlain(started) || !expectsAlike(started, decided))
        return;
    for (const JobId bumped : m_bumped)
        for (const StepId id : stepsUnder(m_jobs[bumped])) {
            const Step& step = m_steps[id];
            if (step.progress.state != StepState::Ready || step.progress.attempts > 0 ||
                step.kind != started.kind || step.name != started.name || !isBumped(step) ||
                !gatesAllow(step))
                continue;
            m_world.violate(
                fmt::format("step {} was bumped and waits while an equal step starts", id.value()));
        }
}

// -----------------------------------------------------------------------------------------------------
// health

// A machine that fails everything fails, per sentence, as many as it takes to tell and what its slots held by
// then.
void StartRules::countBlackHole(const Machine& machine)
{
    const std::string& identity = machine.row.identity;
    const auto found = m_blackHoles.find(identity);
    if (found == m_blackHoles.end() || m_options.health.failures == 0)
        return;
    // Repeated failures of one step count once, and a step may be tried again here when no other machine is
    // open.
    const std::uint64_t once =
        std::uint64_t{m_options.health.failures} * (m_options.limits.infrastructureFailures + 1) +
        m_facts[identity].maxJobs;
    if (++found->second > once * (m_sentences[identity] + 1))
        m_world.violate(fmt::format("{} fails everything and has failed {} attempts in {} sentences",
                                    identity, found->second, m_sentences[identity]));
}

// Nobody who could be probed by now.
bool StartRules::nobodyIsQuarantined() const
{
    return std::ranges::none_of(m_machines, [this](const auto& entry) {
        const work::MachineHealth& health = entry.second.row.health;
        return health.state == HealthState::Quarantined && health.until && m_world.now().wall < *health.until;
    });
}

void StartRules::checkHealth()
{
    constexpr Duration kPatience = std::chrono::minutes(5);
    for (const auto& [id, machine] : m_machines) {
        const work::MachineHealth& health = machine.row.health;
        if (health.state == HealthState::Quarantined && health.until &&
            m_world.now().wall - *health.until > kPatience)
            m_world.violate(fmt::format("{} should have left quarantine long ago", machine.row.name));
    }
}

} // namespace penstock::sim
