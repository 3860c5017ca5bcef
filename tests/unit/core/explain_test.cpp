// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/core/farm_fixture.h"

#include <algorithm>

namespace penstock::core::test {
namespace {

struct Explain : FarmTest {
    [[nodiscard]] std::vector<std::string> codes(JobId job, std::size_t step = 0) const
    {
        std::vector<std::string> codes;
        const Result<Explanation> explanation = core->explain(job, 100, now);
        for (const Reason& reason : explanation->steps.at(step).reasons)
            codes.push_back(reason.code);
        return codes;
    }
    [[nodiscard]] bool has(JobId job, const std::string& code) const
    {
        const std::vector<std::string> all = codes(job);
        return std::find(all.begin(), all.end(), code) != all.end();
    }
};

TEST_F(Explain, SaysThatNoMachineEverConnected)
{
    EXPECT_TRUE(has(submit(commandJob("a")), "all-lost"));
}

TEST_F(Explain, SaysWhichSystemIsMissing)
{
    static_cast<void>(connect("one"));
    JobRequest request = commandJob("a");
    request.steps.at(0).spec.placement.system = "aarch64-linux";
    const JobId job = submit(request);
    EXPECT_TRUE(has(job, "unsupported-system"));
    EXPECT_FALSE(core->explain(job, 1, now)->steps.at(0).change.empty());
}

TEST_F(Explain, SaysWhichFeatureTagOrUserIsMissing)
{
    protocol::MachineFacts facts = machineFacts("one", 1);
    facts.users = {"bob"};
    report(connectAs(kIdentity, kInstance, facts), {});
    JobRequest feature = commandJob("a");
    feature.steps.at(0).spec.placement.features = {"kvm"};
    EXPECT_TRUE(has(submit(feature), "missing-feature"));
    JobRequest tag = commandJob("a");
    tag.steps.at(0).spec.placement.tags = {"gpu"};
    EXPECT_TRUE(has(submit(tag), "missing-tag"));
    JobRequest user = commandJob("a");
    user.steps.at(0).spec.placement.user = "ann";
    EXPECT_TRUE(has(submit(user), "user-not-allowed"));
    JobRequest name = commandJob("a");
    name.steps.at(0).spec.placement.machines = {"two"};
    EXPECT_TRUE(has(submit(name), "machine-not-named"));
}

TEST_F(Explain, SaysHowManySlotsAreBusyAndHowManyAreAhead)
{
    static_cast<void>(connect("one"));
    const std::vector<JobId> jobs = submitAll({commandJob("a"), commandJob("b"), commandJob("c")});
    EXPECT_EQ(codes(jobs.at(0)), std::vector<std::string>{"connecting"});
    EXPECT_EQ(codes(jobs.at(2)), (std::vector<std::string>{"slots-full", "behind-in-queue"}));
    const auto why = core->explain(jobs.at(2), 1, now);
    EXPECT_DOUBLE_EQ(why->steps.at(0).reasons.at(0).numbers.at("slots"), 1);
    EXPECT_DOUBLE_EQ(why->steps.at(0).reasons.at(1).numbers.at("ahead"), 1);
}

TEST_F(Explain, SaysThatMachinesDrainOrAreAway)
{
    const SessionId one = connect("one");
    send(DrainMachine{RequestId(9), "one", true, ""});
    const JobId job = submit(commandJob("a"));
    EXPECT_TRUE(has(job, "all-draining"));
    send(MachineDisconnected{one, ""});
    EXPECT_TRUE(has(job, "all-lost"));
}

TEST_F(Explain, SaysWhatAStepWaitsFor)
{
    const JobId job = submit(nixJob("j", {"base", "top"}, {{1, 0}}));
    const auto why = core->explain(job, 100, now);
    EXPECT_EQ(why->steps.at(1).reasons.at(0).code, "inputs-not-built");
    EXPECT_NE(why->steps.at(1).reasons.at(0).text.find("base"), std::string::npos);
}

TEST_F(Explain, SaysThatTheDatabaseIsAwayAndWhenItTriesAgain)
{
    const SessionId one = connect("one", 2);
    JobRequest request = commandJob("a");
    request.steps.at(0).spec.retry.retries = 1;
    const JobId delayed = submit(request);
    finish(one, onlyAssigned(), protocol::Outcome::Failed, 1);
    EXPECT_EQ(codes(delayed), std::vector<std::string>{"retry-backoff"});
    send(StoreHealth{false, "gone"});
    EXPECT_TRUE(has(submit(commandJob("b")), "database-away"));
}

// A job of its own concurrency group is a leaf of its own.
JobRequest inGroup(const std::string& group, std::size_t steps)
{
    JobRequest job = commandJob(group);
    job.spec.concurrencyGroup = group;
    job.spec.concurrencyLimit = 1'000;
    while (job.steps.size() < steps)
        job.steps.push_back({commandStep("s"), {}, true});
    return job;
}

TEST_F(Explain, LooksAtTheLeavesOnceHoweverManyStepsAreAskedAbout)
{
    const SessionId session = connect("one");
    static_cast<void>(submit(commandJob("runs")));
    accept(session, onlyAssigned());
    std::vector<JobRequest> others;
    for (int i = 0; i < 40; ++i)
        others.push_back(inGroup(std::to_string(i), 1));
    static_cast<void>(submitAll(std::move(others)));
    const JobId wide = submit(inGroup("wide", 100));
    const Result<Explanation> all = core->explain(wide, 100, now);
    ASSERT_EQ(all->steps.size(), 100U);
    EXPECT_EQ(all->looked, 41U) << "as many as there are";
    for (std::size_t at = 0; at < 100; ++at)
        EXPECT_EQ(all->steps.at(at).reasons.back().numbers.at("ahead"), static_cast<double>(40 + at));
}

TEST_F(Explain, TellsOfOneStepWithoutTheOthers)
{
    const SessionId session = connect("one");
    static_cast<void>(submit(commandJob("runs")));
    accept(session, onlyAssigned());
    const JobId wide = submit(inGroup("wide", 100));
    const JobId other = submit(inGroup("other", 1));
    const Result<Explanation> all = core->explain(wide, 100, now);
    const Result<Explanation> one = core->explainStep(wide, stepOf(wide, 70), now);
    ASSERT_EQ(one->steps.size(), 1U);
    EXPECT_EQ(one->steps.at(0).step, stepOf(wide, 70));
    EXPECT_EQ(one->steps.at(0).reasons.back().text, all->steps.at(70).reasons.back().text);
    EXPECT_EQ(one->steps.at(0).latest, all->steps.at(70).latest);
    EXPECT_EQ(one->looked, 2U);
    EXPECT_TRUE(core->explainStep(wide, stepOf(other), now)->steps.empty()) << "a step of another job";
    EXPECT_EQ(core->explainStep(JobId(99), stepOf(other), now).error().code, ErrorCode::NotFound);
}

TEST_F(Explain, CountsWhatFewLeavesWaitForEachTimeAndWhatManyWaitForOnceASecond)
{
    using Waiting = std::map<std::string, std::uint64_t>;
    static_cast<void>(submit(inGroup("first", 3)));
    static_cast<void>(submit(inGroup("second", 1)));
    EXPECT_EQ(core->totals().waiting, (Waiting{{"all-lost", 4}}));
    EXPECT_EQ(core->totals().looked, 2U);
    std::vector<JobRequest> many;
    for (int i = 0; i < 5'000; ++i)
        many.push_back(inGroup(std::to_string(i), 1));
    static_cast<void>(submitAll(std::move(many)));
    pass(std::chrono::seconds(1));
    EXPECT_EQ(core->totals().waiting, (Waiting{{"all-lost", 5'004}}));
    EXPECT_EQ(core->totals().looked, 0U) << "however often it is asked";
    static_cast<void>(submit(inGroup("third", 1)));
    EXPECT_EQ(core->totals().waiting, (Waiting{{"all-lost", 5'004}})) << "as of the last second";
    pass(std::chrono::seconds(1));
    EXPECT_EQ(core->totals().waiting, (Waiting{{"all-lost", 5'005}}));
    ask(PauseDispatch{RequestId(0), true, "ada", "move"});
    EXPECT_EQ(core->totals().waiting, (Waiting{{"dispatch-paused", 5'005}})) << "what holds for all is told at once";
    EXPECT_EQ(core->totals().looked, 0U);
}

TEST_F(Explain, KnowsNoFinishedOrUnknownJob)
{
    EXPECT_EQ(core->explain(JobId(42), 1, now).error().message, "no job 42");
}

TEST_F(Explain, CountsQueuesPerSystemAndFeatures)
{
    static_cast<void>(connect("one"));
    JobRequest kvm = nixJob("k", {"x"}, {});
    kvm.steps.at(0).spec.placement.features = {"kvm"};
    static_cast<void>(submitAll({commandJob("a"), commandJob("b"), kvm}));
    const std::vector<QueueView> queues = core->queues();
    ASSERT_EQ(queues.size(), 2U);
    EXPECT_EQ(queues.at(0).key, "any");
    EXPECT_EQ(queues.at(0).running, 1U);
    EXPECT_EQ(queues.at(0).queued, 1U);
    EXPECT_EQ(queues.at(0).eligibleMachines, 1U);
    EXPECT_EQ(queues.at(0).freeSlots, 0U);
    EXPECT_TRUE(queues.at(0).oldestReady.has_value());
    EXPECT_EQ(queues.at(1).key, "x86_64-linux+kvm");
    EXPECT_EQ(queues.at(1).eligibleMachines, 0U);
}

} // namespace
} // namespace penstock::core::test
