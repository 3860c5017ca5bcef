// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/core/farm_fixture.h"

#include <algorithm>
#include <set>

namespace penstock::core::test {

work::StepSpec commandStep(const std::string& name)
{
    work::StepSpec spec;
    spec.name = name;
    spec.placement.executor = "command";
    spec.work = std::make_shared<const work::Work>(work::CommandWork{{"sh", "-c", "true"}, {{"K", "V"}}});
    return spec;
}

work::StepSpec nixStep(const std::string& name)
{
    work::StepSpec spec;
    spec.name = name;
    spec.placement.executor = "nix";
    spec.placement.system = "x86_64-linux";
    spec.work = std::make_shared<const work::Work>(
        work::NixWork{"/nix/store/" + name + ".drv", "Derive()", {"/nix/store/in"}, {{"out", "/nix/store/" + name}}});
    return spec;
}

JobRequest commandJob(const std::string& name)
{
    JobRequest job;
    job.spec.name = name;
    job.spec.user = "ann";
    job.steps.push_back({commandStep(name), {}, true});
    return job;
}

JobRequest rootJob(const std::string& name, const std::vector<std::string>& steps,
                   const std::vector<std::pair<std::uint32_t, std::uint32_t>>& edges)
{
    JobRequest job = nixJob(name, steps, edges);
    job.claims = Claims::Roots;
    return job;
}

JobRequest nixJob(const std::string& name, const std::vector<std::string>& steps,
                  const std::vector<std::pair<std::uint32_t, std::uint32_t>>& edges)
{
    JobRequest job;
    job.spec.name = name;
    for (const std::string& step : steps)
        job.steps.push_back({nixStep(step), {}, false});
    for (const auto& [from, to] : edges)
        job.steps.at(from).dependsOn.push_back(to);
    job.steps.back().root = true;
    return job;
}

protocol::MachineFacts machineFacts(const std::string& name, std::uint32_t slots)
{
    protocol::MachineFacts facts;
    facts.name = name;
    facts.systems = {"x86_64-linux"};
    facts.executors = {"command", "nix"};
    facts.maxJobs = slots;
    facts.cores = slots;
    facts.os = "linux";
    return facts;
}

protocol::AttemptResult result(AttemptId attempt, protocol::Outcome outcome, std::int32_t exitCode)
{
    protocol::AttemptResult result;
    result.attempt = attempt;
    result.outcome = outcome;
    result.exitCode = exitCode;
    return result;
}

void keepIn(work::Recovery& rows, const Persist& persist)
{
    rows.marks = persist.marks;
    const work::Changes& changes = persist.changes;
    const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
    const auto upsert = [](auto& to, const auto& from, auto isSame) {
        for (const auto& row : from) {
            std::erase_if(to, [&](const auto& old) { return isSame(old, row); });
            to.push_back(row);
        }
    };
    const auto update = [](auto& to, const auto& from) {
        for (const auto& change : from)
            for (auto& row : to)
                if (row.id == change.id)
                    row.progress = change.progress;
    };
    const auto sameName = [](const auto& a, const auto& b) { return a.name == b.name; };
    upsert(rows.machines, changes.machines, [](const auto& a, const auto& b) { return a.id == b.id; });
    append(rows.jobs, changes.newJobs);
    append(rows.steps, changes.newSteps);
    append(rows.dependencies, changes.dependencies);
    append(rows.jobSteps, changes.jobSteps);
    append(rows.attempts, changes.newAttempts);
    update(rows.jobs, changes.jobs);
    update(rows.steps, changes.steps);
    update(rows.attempts, changes.attempts);
    upsert(rows.shareGroups, changes.shareGroups, sameName);
    upsert(rows.namespaces, changes.namespaces, sameName);
    upsert(rows.history, changes.history, sameName);
    upsert(rows.usage, changes.usage,
           [](const auto& a, const auto& b) { return a.group == b.group && a.bucket == b.bucket; });
    rows.pause = changes.pause.value_or(rows.pause);
    for (const MachineId id : changes.removedMachines)
        std::erase_if(rows.machines, [id](const auto& row) { return row.id == id; });
}

void FarmTest::restart()
{
    core.emplace(options);
}

void FarmTest::recover()
{
    work::Recovery open = durable;
    std::erase_if(open.attempts, [](const auto& row) { return row.progress.state == work::AttemptState::Ended; });
    std::erase_if(open.jobs, [](const auto& row) { return work::isFinished(row.progress.state); });
    const auto isOpen = [&](JobId id) {
        return std::any_of(open.jobs.begin(), open.jobs.end(), [id](const auto& job) { return job.id == id; });
    };
    std::erase_if(open.jobSteps, [&](const auto& row) { return !isOpen(row.job); });
    std::set<StepId> unfinished;
    for (const work::StepRow& row : durable.steps)
        if (!row.progress.result)
            unfinished.insert(row.id);
    std::set<StepId> told; // to unfinished ones that depend on it
    for (const work::DependencyRow& row : open.dependencies)
        if (unfinished.contains(row.step))
            told.insert(row.dependsOn);
    std::erase_if(open.steps, [&](const auto& step) {
        return step.progress.result && (step.progress.revealed.empty() || !told.contains(step.id)) &&
               std::none_of(open.jobSteps.begin(), open.jobSteps.end(),
                            [&](const auto& row) { return row.step == step.id; });
    });
    std::erase_if(open.dependencies, [&](const auto& row) {
        return std::none_of(open.steps.begin(), open.steps.end(),
                            [&](const auto& step) { return step.id == row.step; });
    });
    restart();
    const Result<std::vector<Command>> recovered = core->recover(open, now);
    ASSERT_TRUE(recovered) << recovered.error().message;
    for (const Command& command : *recovered)
        if (const auto* persisted = std::get_if<Persist>(&command))
            keepIn(durable, *persisted);
    const Result<void> checked = core->checkInvariants();
    EXPECT_TRUE(checked.has_value()) << (checked ? "" : checked.error().message);
}

void FarmTest::ask(Event event)
{
    send(std::move(event));
    ASSERT_EQ(replies.size(), 1U);
    EXPECT_TRUE(replies.at(0).answer.has_value()) << replies.at(0).answer.error().message;
}

Error FarmTest::refusedEvent(Event event)
{
    send(std::move(event));
    EXPECT_EQ(replies.size(), 1U);
    EXPECT_FALSE(replies.at(0).answer.has_value());
    return replies.at(0).answer ? Error{} : replies.at(0).answer.error();
}

void FarmTest::pass(Duration by)
{
    for (Duration passed{0}; passed < by; passed += std::chrono::seconds(1)) {
        advance(std::chrono::seconds(1));
        tick();
    }
}

protocol::Assignment FarmTest::assignment() const
{
    for (const SendDesired& send : desired)
        if (!send.desired.assign.empty())
            return send.desired.assign.front();
    ADD_FAILURE() << "nothing was assigned";
    return {};
}

std::vector<JobId> FarmTest::assignedJobs() const
{
    std::vector<JobId> jobs;
    for (const AttemptId attempt : assigned())
        jobs.push_back(jobOf(attempt));
    return jobs;
}

void FarmTest::load(SessionId session, const protocol::LoadSample& sample)
{
    send(MachineReported{session, 0, {}, sample});
}

void FarmTest::advance(Duration by)
{
    now.mono = now.mono + by;
    now.wall = now.wall + by;
}

void FarmTest::send(Event event)
{
    apply(std::span<Event>(&event, 1));
}

void FarmTest::tick()
{
    send(TimerFired{});
}

void FarmTest::apply(std::span<Event> events)
{
    commands = core->consume(events, now);
    persist.reset();
    desired.clear();
    stored.clear();
    closed.clear();
    welcomed.clear();
    replies.clear();
    for (const Command& command : commands) {
        if (const auto* c = std::get_if<Persist>(&command)) {
            persist = *c;
            keepIn(durable, *c);
        } else if (const auto* d = std::get_if<SendDesired>(&command))
            desired.push_back(*d);
        else if (const auto* s = std::get_if<SendStored>(&command))
            stored.push_back(*s);
        else if (const auto* x = std::get_if<CloseSession>(&command))
            closed.push_back(*x);
        else if (const auto* w = std::get_if<SendWelcome>(&command))
            welcomed.push_back(*w);
        else if (const auto* r = std::get_if<Reply>(&command))
            replies.push_back(*r);
    }
    const Result<void> checked = core->checkInvariants();
    EXPECT_TRUE(checked.has_value()) << (checked ? "" : checked.error().message);
}

std::optional<work::StepProgress> FarmTest::rowOf(const std::string& name) const
{
    for (auto row = durable.steps.rbegin(); row != durable.steps.rend(); ++row)
        if (row->spec.name == name)
            return row->progress;
    return std::nullopt;
}

StepId FarmTest::idOf(const std::string& name) const
{
    for (auto row = durable.steps.rbegin(); row != durable.steps.rend(); ++row)
        if (row->spec.name == name)
            return row->id;
    ADD_FAILURE() << "no step " << name;
    return StepId(0);
}

std::string FarmTest::assignedName() const
{
    return assigned().size() == 1 ? assignment().name : std::to_string(assigned().size()) + " assignments";
}

void FarmTest::confirm()
{
    send(StoreConfirmed{UINT64_MAX});
}

std::vector<JobId> FarmTest::submitAll(std::vector<JobRequest> jobs)
{
    send(SubmitJobs{RequestId(nextRequest++), std::move(jobs)});
    EXPECT_EQ(replies.size(), 1U);
    EXPECT_TRUE(replies.at(0).answer.has_value());
    return std::get<Submitted>(*replies.at(0).answer).jobs;
}

JobId FarmTest::submit(JobRequest job)
{
    std::vector<JobRequest> jobs;
    jobs.push_back(std::move(job));
    return submitAll(std::move(jobs)).at(0);
}

Error FarmTest::refused(JobRequest job)
{
    std::vector<JobRequest> jobs;
    jobs.push_back(std::move(job));
    send(SubmitJobs{RequestId(nextRequest++), std::move(jobs)});
    EXPECT_FALSE(replies.at(0).answer.has_value());
    return replies.at(0).answer.error();
}

SessionId FarmTest::connectAs(const std::string& identity, const std::string& instance,
                              const protocol::MachineFacts& facts, const std::string& credential)
{
    const SessionId session(nextSession++);
    send(MachineConnected{session, identity, instance, credential, "0.1.0", facts});
    return session;
}

SessionId FarmTest::connect(const std::string& name, std::uint32_t slots)
{
    const SessionId session = connectAs(std::string(32, nextIdentity++), kInstance, machineFacts(name, slots));
    report(session, {});
    return session;
}

void FarmTest::report(SessionId session, std::vector<AttemptId> held, std::uint64_t applied,
                      std::vector<AttemptId> finished)
{
    MachineReported event{session, applied, {}, {}};
    for (const AttemptId attempt : held)
        event.held.push_back({attempt, false});
    for (const AttemptId attempt : finished)
        event.held.push_back({attempt, true});
    send(std::move(event));
}

void FarmTest::accept(SessionId session, AttemptId attempt)
{
    send(AttemptAnswered{session, {attempt, true, protocol::RejectReason::Unspecified, {}}});
}

void FarmTest::reject(SessionId session, AttemptId attempt, protocol::RejectReason reason)
{
    send(AttemptAnswered{session, {attempt, false, reason, {}}});
}

void FarmTest::finish(SessionId session, AttemptId attempt, protocol::Outcome outcome, std::int32_t exitCode)
{
    send(AttemptFinished{session, result(attempt, outcome, exitCode)});
}

std::vector<AttemptId> FarmTest::assigned() const
{
    std::vector<AttemptId> attempts;
    for (const SendDesired& send : desired)
        for (const protocol::Assignment& assignment : send.desired.assign)
            attempts.push_back(assignment.attempt);
    return attempts;
}

AttemptId FarmTest::onlyAssigned() const
{
    const std::vector<AttemptId> attempts = assigned();
    EXPECT_EQ(attempts.size(), 1U);
    return attempts.empty() ? AttemptId(0) : attempts.front();
}

std::vector<AttemptId> FarmTest::stopped() const
{
    std::vector<AttemptId> attempts;
    for (const SendDesired& send : desired)
        for (const protocol::StopOrder& stop : send.desired.stop)
            attempts.push_back(stop.attempt);
    return attempts;
}

} // namespace penstock::core::test
