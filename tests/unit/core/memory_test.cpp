// SPDX-License-Identifier: GPL-3.0-or-later
// What the farm remembers: experience with steps of a name, and over a restart shares, limits, holds, bumps, a pause.
#include "tests/unit/core/farm_fixture.h"

#include <chrono>
#include <limits>

namespace penstock::core::test {
namespace {

using Memory = FarmTest;
using std::chrono::minutes;
using std::chrono::seconds;
using Jobs = std::vector<JobId>;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;

JobRequest jobOfGroup(const std::string& name, const std::string& group)
{
    JobRequest job = commandJob(name);
    job.spec.shareGroup = group;
    return job;
}

struct Experience : FarmTest {
    SessionId one{0};
    void comeBack()
    {
        protocol::MachineFacts facts = machineFacts("one", 4);
        facts.memoryBytes = 4 * kGiB;
        facts.thresholds.load1 = 100; // where load counts, expected cpus do
        one = connectAs(kIdentity, kInstance, facts);
        report(one, {});
    }
    AttemptId begin(const std::string& name)
    {
        static_cast<void>(submit(commandJob(name)));
        return onlyAssigned();
    }
    template <class Change> void run(const std::string& name, Change change) { end(begin(name), change); }
    template <class Change> void end(AttemptId attempt, Change change)
    {
        protocol::AttemptResult ended = result(attempt, protocol::Outcome::Succeeded);
        ended.startedAt = now.wall;
        pass(seconds(100));
        ended.stoppedAt = now.wall;
        ended.cpuUser = seconds(250);
        ended.cpuSystem = seconds(50);
        ended.maxRssBytes = kGiB;
        change(ended);
        send(AttemptFinished{one, ended});
    }
    void run(const std::string& name)
    {
        run(name, [](protocol::AttemptResult&) {});
    }
    void loadOf(double load1)
    {
        protocol::LoadSample sample;
        sample.load1 = load1;
        load(one, sample);
    }
    [[nodiscard]] MachineView only() const { return core->machine(core->machines().at(0)).value(); }
    [[nodiscard]] std::uint64_t memoryTaken() const { return only().reserved.memoryBytes; }
    [[nodiscard]] std::string closed() const { return only().closed; }
};

TEST_F(Experience, ExpectsTheMemoryAndTheCpusOfTheLastRun)
{
    comeBack();
    run("gcc-12.1");
    static_cast<void>(submit(commandJob("gcc-12.2")));
    EXPECT_EQ(assignment().memoryBytes, 0U); // nothing was asked for, and nothing is promised
    EXPECT_EQ(assignment().cpus, 1U);
    EXPECT_EQ(memoryTaken(), kGiB + kGiB / 2); // a fifth more, on the grid
    static_cast<void>(submit(commandJob("gcc-12.3")));
    EXPECT_TRUE(assigned().empty()); // three and three are more than four cores
    static_cast<void>(submit(commandJob("other")));
    EXPECT_TRUE(assigned().empty()); // of it nothing is known: half a machine
}

TEST_F(Experience, IsOverruledByWhatAStepAsksFor)
{
    comeBack();
    run("gcc-12.1");
    JobRequest small = commandJob("gcc-12.2");
    small.steps.at(0).spec.resources = {.cpus = 4, .memoryBytes = kGiB / 4, .named = {}};
    static_cast<void>(submit(small));
    EXPECT_EQ(assignment().memoryBytes, kGiB / 4);
    EXPECT_EQ(assignment().cpus, 4U);
}

TEST_F(Experience, OutlivesARestart)
{
    comeBack();
    const JobId waiting = submit(commandJob("keeps the clock going"));
    finish(one, onlyAssigned(), protocol::Outcome::Infrastructure);
    ask(HoldJob{RequestId(1), waiting, true, ""});
    run("gcc-12.1");
    pass(seconds(20)); // by then it is stored
    recover();
    comeBack();
    static_cast<void>(submit(commandJob("gcc-12.2")));
    EXPECT_EQ(memoryTaken(), kGiB + kGiB / 2);
}

TEST_F(Experience, KeepsNoStepFromEveryMachineForEver)
{
    const auto lies = [](protocol::AttemptResult& ended) { ended.maxRssBytes = 1'000 * kGiB; };
    comeBack();
    run("gcc-12.1", lies);
    static_cast<void>(submit(commandJob("gcc-12.2")));
    const AttemptId alone = onlyAssigned();
    const JobId waiting = submit(commandJob("gcc-12.3"));
    EXPECT_TRUE(assigned().empty()); // beside it there is no room for what is expected
    const Result<Explanation> why = core->explain(waiting, 1, now);
    ASSERT_TRUE(why.has_value());
    EXPECT_EQ(why->steps.at(0).reasons.at(0).code, "resources-full");
    EXPECT_NE(why->steps.at(0).reasons.at(0).text.find("MiB expected"), std::string::npos)
        << why->steps.at(0).reasons.at(0).text;
    finish(one, alone);
    EXPECT_EQ(assignedJobs(), Jobs{waiting});
}

TEST_F(Experience, CountsForStepsThatWaitAlready)
{
    const auto small = [](protocol::AttemptResult& ended) { ended.cpuUser = ended.cpuSystem = seconds(50); };
    comeBack();
    run("known-1", small);
    const AttemptId first = begin("gcc-12.1"); // of it and the next nothing is known: half a machine each
    static_cast<void>(begin("long"));
    const JobId waiting = submit(commandJob("gcc-12.2"));
    const JobId before = submit(commandJob("known-2"));
    ask(BumpJob{RequestId(1), before, true});
    end(first, small);
    EXPECT_EQ(assignedJobs(), Jobs{before}); // one core is left, where the other is still taken to need two
    pass(seconds(2));
    EXPECT_EQ(stateOf(waiting), work::JobState::Running);
}

TEST_F(Experience, LearnsNoMoreThanAMachineCanMean)
{
    const auto beyond = [](protocol::AttemptResult& ended) {
        ended.cpuUser = ended.cpuSystem = Duration(std::numeric_limits<std::int64_t>::max());
    };
    comeBack();
    run("gcc-12.1", beyond);
    static_cast<void>(submit(commandJob("gcc-12.2")));
    EXPECT_EQ(closed(), "4096 of 4 cpus are expected to be busy");
}

TEST_F(Experience, ScalesWhatWasUsedByALoadThatCanBe)
{
    comeBack();
    // Over its own threshold while the step runs, and back below it when the next one comes.
    run("gcc-12.1", [this](protocol::AttemptResult&) { loadOf(1e300); });
    loadOf(1);
    static_cast<void>(submit(commandJob("gcc-12.2")));
    EXPECT_EQ(closed(), "192 of 4 cpus are expected to be busy"); // three times 64
}

TEST_F(Experience, TakesARunFromTheBeginningOfTimeToItsEndAsAYear)
{
    comeBack();
    run("gcc-12.1", [](protocol::AttemptResult& ended) {
        ended.startedAt = WallTime::fromMicros(std::numeric_limits<std::int64_t>::min());
        ended.stoppedAt = WallTime::fromMicros(std::numeric_limits<std::int64_t>::max());
    });
    static_cast<void>(submit(commandJob("gcc-12.2"))); // keeps the clock going
    pass(seconds(20)); // by then what was learned is stored
    ASSERT_EQ(durable.history.size(), 1U);
    EXPECT_EQ(durable.history.at(0).duration, std::chrono::hours(24 * 366));
}

TEST_F(Memory, KeepsBumpsHoldsAndThePauseOverARestart)
{
    ask(PauseDispatch{RequestId(1), true, "ann", "move"});
    const Jobs jobs = submitAll({commandJob("a"), commandJob("b"), commandJob("c")});
    ask(BumpJob{RequestId(2), jobs.at(2), true});
    ask(HoldJob{RequestId(3), jobs.at(0), true, "ann"});
    recover();
    EXPECT_EQ(core->totals().pause.note, "move");
    static_cast<void>(connect("one", 3));
    EXPECT_TRUE(assigned().empty());
    ask(PauseDispatch{RequestId(4), false, "ann", ""});
    EXPECT_EQ(assignedJobs(), (Jobs{jobs.at(2), jobs.at(1)}));
    EXPECT_TRUE(core->job(jobs.at(0))->progress.held);
}

TEST_F(Memory, KeepsSharesAndLimitsOfNamespacesOverARestart)
{
    ask(SetShares{RequestId(1), {"a", 1000}});
    ask(SetNamespace{RequestId(2), {.name = "default", .maxRunningSteps = 3}});
    static_cast<void>(submitAll({jobOfGroup("a", "a"), jobOfGroup("a", "a"), jobOfGroup("a", "a"), jobOfGroup("b", "b"),
                                 jobOfGroup("b", "b")}));
    recover();
    static_cast<void>(connect("one", 5));
    std::map<std::string, int> running;
    for (const JobId job : assignedJobs())
        ++running[core->job(job)->shareGroup];
    EXPECT_EQ(running, (std::map<std::string, int>{{"a", 2}, {"b", 1}}));
}

TEST_F(Memory, KeepsTheUseOfGroupsOverARestartFromTheFirstStepOn)
{
    const SessionId one = connect("one", 1);
    static_cast<void>(submit(jobOfGroup("a", "a")));
    const AttemptId first = onlyAssigned();
    const JobId ofA = submit(jobOfGroup("a", "a"));
    const JobId ofB = submit(jobOfGroup("b", "b"));
    pass(minutes(3));
    ask(PauseDispatch{RequestId(1), true, "ann", ""});
    finish(one, first);
    pass(seconds(20));
    recover();
    send(PauseDispatch{RequestId(2), false, "ann", ""});
    static_cast<void>(connect("two", 1)); // before the first second has passed
    EXPECT_EQ(assignedJobs(), Jobs{ofB});
    EXPECT_EQ(stateOf(ofA), work::JobState::Queued);
}

TEST_F(Memory, CountsWhatRanBeforeARestartAtTheGatesOfItsNamespace)
{
    ask(SetNamespace{RequestId(1), {.name = "default", .maxRunningSteps = 1}});
    static_cast<void>(connect("one", 2));
    const Jobs jobs = submitAll({commandJob("a"), commandJob("b")});
    const AttemptId first = onlyAssigned();
    recover();
    const SessionId again = connectAs(std::string(32, 'b'), kInstance, machineFacts("one", 2));
    report(again, {first});
    EXPECT_TRUE(assigned().empty());
    finish(again, first);
    EXPECT_EQ(assignedJobs(), Jobs{jobs.at(1)});
}

} // namespace
} // namespace penstock::core::test
