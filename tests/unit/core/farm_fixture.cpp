// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/core/farm_fixture.h"

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

void FarmTest::restart()
{
    core.emplace(options);
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
        if (const auto* c = std::get_if<Persist>(&command))
            persist = *c;
        else if (const auto* d = std::get_if<SendDesired>(&command))
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
