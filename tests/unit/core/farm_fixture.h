// SPDX-License-Identifier: GPL-3.0-or-later
// A farm in a test's hands: events by short words, and the commands of the last batch sorted by kind. Every batch is
// followed by checkInvariants.
#pragma once

#include "server/core/farm_core.h"

#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace penstock::core::test {

inline const std::string kIdentity(32, 'a');
inline const std::string kInstance(32, '1');

[[nodiscard]] work::StepSpec commandStep(const std::string& name);
[[nodiscard]] work::StepSpec nixStep(const std::string& name);
[[nodiscard]] JobRequest commandJob(const std::string& name);
// Steps named a, b, c, …; edges {from, to}: from depends on to. The last step is the root.
[[nodiscard]] JobRequest nixJob(const std::string& name, const std::vector<std::string>& steps,
                                const std::vector<std::pair<std::uint32_t, std::uint32_t>>& edges);
// The same, and it claims only its root.
[[nodiscard]] JobRequest rootJob(const std::string& name, const std::vector<std::string>& steps,
                                 const std::vector<std::pair<std::uint32_t, std::uint32_t>>& edges);
[[nodiscard]] protocol::MachineFacts machineFacts(const std::string& name, std::uint32_t slots);
[[nodiscard]] protocol::AttemptResult result(AttemptId attempt, protocol::Outcome outcome, std::int32_t exitCode = 0);

// Does with the rows what a store does.
void keepIn(work::Recovery& rows, const Persist& persist);

struct FarmTest : ::testing::Test {
    CoreOptions options;
    std::optional<FarmCore> core;
    Now now{{std::chrono::hours(1)}, WallTime::fromMicros(1'700'000'000'000'000)};

    // Of the last batch.
    std::vector<Command> commands;
    std::optional<Persist> persist;
    std::vector<SendDesired> desired;
    std::vector<SendStored> stored;
    std::vector<CloseSession> closed;
    std::vector<SendWelcome> welcomed;
    std::vector<Reply> replies;

    void SetUp() override { core.emplace(options); }
    void restart(); // a new core with the same options
    void recover(); // the same, from everything that was persisted
    void advance(Duration by);

    void apply(std::span<Event> events);
    void send(Event event);
    void tick();
    void confirm(); // everything so far is durable
    void ask(Event event); // and expects that it is done
    [[nodiscard]] Error refusedEvent(Event event);
    void pass(Duration by); // time passes, and the timer fires once a second

    [[nodiscard]] JobId submit(JobRequest job);
    [[nodiscard]] Error refused(JobRequest job);
    [[nodiscard]] std::vector<JobId> submitAll(std::vector<JobRequest> jobs);

    // Connected, first report sent, nothing held.
    SessionId connect(const std::string& name, std::uint32_t slots = 1);
    SessionId connectAs(const std::string& identity, const std::string& instance,
                        const protocol::MachineFacts& facts, const std::string& credential = "local");
    void report(SessionId session, std::vector<AttemptId> held, std::uint64_t applied = 0,
                std::vector<AttemptId> finished = {});
    void accept(SessionId session, AttemptId attempt);
    void reject(SessionId session, AttemptId attempt, protocol::RejectReason reason);
    void finish(SessionId session, AttemptId attempt, protocol::Outcome outcome = protocol::Outcome::Succeeded,
                std::int32_t exitCode = 0);

    // Attempts assigned in the last batch, in order.
    [[nodiscard]] std::vector<AttemptId> assigned() const;
    [[nodiscard]] AttemptId onlyAssigned() const;
    [[nodiscard]] std::vector<AttemptId> stopped() const;
    [[nodiscard]] work::JobState stateOf(JobId job) const { return core->job(job)->progress.state; }
    [[nodiscard]] StepId stepOf(JobId job, std::size_t index = 0) const { return core->stepsOf(job).at(index); }
    [[nodiscard]] work::StepProgress progressOf(StepId step) const { return core->step(step, JobId(0))->progress; }

    // Of the newest step of that name, as it is stored, whether the core still has it or not.
    [[nodiscard]] std::optional<work::StepProgress> rowOf(const std::string& name) const;
    [[nodiscard]] StepId idOf(const std::string& name) const;
    [[nodiscard]] std::string assignedName() const; // of the only one

    [[nodiscard]] JobId jobOf(AttemptId attempt) const { return core->attempt(attempt)->job; }
    [[nodiscard]] protocol::Assignment assignment() const; // the first of the last batch
    [[nodiscard]] std::vector<JobId> assignedJobs() const; // in order
    void load(SessionId session, const protocol::LoadSample& sample);

    work::Recovery durable; // all that was persisted
    std::uint64_t nextSession = 1;
    std::uint64_t nextRequest = 1;
    char nextIdentity = 'b';
};

} // namespace penstock::core::test
