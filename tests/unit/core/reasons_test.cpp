// SPDX-License-Identifier: GPL-3.0-or-later
// Every code of explain.h from the situation that it names.
#include "tests/unit/core/farm_fixture.h"

#include <algorithm>
#include <functional>
#include <set>

namespace penstock::core::test {
namespace {

using protocol::Outcome;
using std::chrono::minutes;
using std::chrono::seconds;

struct Farm : FarmTest { // a farm outside of a test's body
    void TestBody() override {}
    using FarmTest::SetUp;

    SessionId machineWith(const std::function<void(protocol::MachineFacts&)>& change, std::uint32_t slots = 1)
    {
        protocol::MachineFacts facts = machineFacts("one", slots);
        change(facts);
        const SessionId session = connectAs(kIdentity, kInstance, facts);
        report(session, {});
        return session;
    }
    JobId placed(const std::function<void(work::Placement&)>& change)
    {
        JobRequest job = commandJob("a");
        change(job.steps.at(0).spec.placement);
        return submit(std::move(job));
    }
    JobId sized(const std::string& name, std::uint32_t cpus)
    {
        JobRequest job = commandJob(name);
        job.steps.at(0).spec.resources.cpus = cpus;
        return submit(std::move(job));
    }
    JobId ofGroup(const std::string& group)
    {
        JobRequest job = commandJob(group);
        job.spec.shareGroup = group;
        return submit(std::move(job));
    }
    JobId gated(const std::function<void(protocol::Thresholds&)>& limit,
                const std::function<void(protocol::LoadSample&)>& sample)
    {
        const SessionId one = machineWith([&](protocol::MachineFacts& facts) { limit(facts.thresholds); });
        protocol::LoadSample reported;
        reported.pressure.emplace();
        sample(reported);
        load(one, reported);
        return submit(commandJob("a"));
    }
};

struct Situation {
    std::string code;
    std::function<JobId(Farm&)> make; // the job whose first step says so first
    bool isFirst = true;              // the binding reason, else one of them
};

const std::vector<Situation>& situations()
{
    static const std::vector<Situation> all{
        {"inputs-not-built", [](Farm& farm) { return farm.submit(nixJob("j", {"top", "base"}, {{0, 1}})); }},
        {"failed-input",
         [](Farm& farm) {
             const SessionId one = farm.connect("one");
             const JobId job = farm.submit(nixJob("j", {"top", "base", "other"}, {{0, 1}}));
             farm.finish(one, farm.onlyAssigned(), Outcome::Failed, 1);
             return job;
         }},
        {"unsupported-system",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one"));
             return farm.placed([](work::Placement& placement) { placement.system = "aarch64-linux"; });
         }},
        {"missing-feature",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one"));
             return farm.placed([](work::Placement& placement) { placement.features = {"kvm"}; });
         }},
        {"mandatory-feature-mismatch",
         [](Farm& farm) {
             farm.machineWith([](protocol::MachineFacts& facts) {
                 facts.features = {"benchmark"};
                 facts.mandatoryFeatures = {"benchmark"};
             });
             return farm.submit(commandJob("a"));
         }},
        {"missing-executor",
         [](Farm& farm) {
             farm.machineWith([](protocol::MachineFacts& facts) { facts.executors = {"nix"}; });
             return farm.submit(commandJob("a"));
         }},
        {"missing-tag",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one"));
             return farm.placed([](work::Placement& placement) { placement.tags = {"lab"}; });
         }},
        {"wrong-os",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one"));
             return farm.placed([](work::Placement& placement) { placement.os = {"darwin"}; });
         }},
        {"user-not-allowed",
         [](Farm& farm) {
             farm.machineWith([](protocol::MachineFacts& facts) { facts.users = {"bob"}; });
             return farm.placed([](work::Placement& placement) { placement.user = "ann"; });
         }},
        {"machine-not-named",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one"));
             return farm.placed([](work::Placement& placement) { placement.machines = {"two"}; });
         }},
        {"missing-resources",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one"));
             return farm.sized("a", 99);
         }},
        {"all-draining",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one"));
             farm.ask(DrainMachine{RequestId(1), "one", true, "disk"});
             return farm.submit(commandJob("a"));
         }},
        {"all-quarantined",
         [](Farm& farm) {
             farm.options.health.failures = 1;
             farm.restart();
             const SessionId one = farm.connect("one");
             static_cast<void>(farm.submit(commandJob("bad")));
             farm.finish(one, farm.onlyAssigned(), Outcome::Infrastructure);
             return farm.submit(commandJob("a"));
         }},
        {"all-lost",
         [](Farm& farm) {
             farm.send(MachineDisconnected{farm.connect("one"), "reset"});
             return farm.submit(commandJob("a"));
         }},
        {"gated-cpu",
         [](Farm& farm) {
             return farm.gated([](auto& limits) { limits.cpuPsi = 75; },
                               [](auto& sample) { sample.pressure->cpu.someAvg10 = 81.2; });
         }},
        {"gated-mem",
         [](Farm& farm) {
             return farm.gated([](auto& limits) { limits.memoryPsi = 10; },
                               [](auto& sample) { sample.pressure->memory.fullAvg10 = 11; });
         }},
        {"gated-io",
         [](Farm& farm) {
             return farm.gated([](auto& limits) { limits.ioPsi = 10; },
                               [](auto& sample) { sample.pressure->io.fullAvg10 = 22.4; });
         }},
        {"gated-load",
         [](Farm& farm) {
             return farm.gated([](auto& limits) { limits.load1 = 4; }, [](auto& sample) { sample.load1 = 5; });
         }},
        {"disk-low",
         [](Farm& farm) {
             return farm.gated([](auto& limits) { limits.minFreeInodes = 100; },
                               [](auto& sample) {
                                   sample.diskFreeInodes = 99;
                                   sample.diskTotalInodes = 1'000;
                               });
         }},
        {"memory-low",
         [](Farm& farm) {
             return farm.gated([](auto& limits) { limits.minFreeMemoryBytes = 100; },
                               [](auto& sample) { sample.memoryAvailableBytes = 99; });
         }},
        {"slots-full",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one"));
             static_cast<void>(farm.submit(commandJob("busy")));
             return farm.submit(commandJob("a"));
         }},
        {"resources-full",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one", 4));
             static_cast<void>(farm.sized("busy", 3));
             return farm.sized("a", 2);
         }},
        {"machine-reserved",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one", 4));
             static_cast<void>(farm.submit(commandJob("busy")));
             static_cast<void>(farm.sized("large", 4));
             farm.pass(farm.options.policy.reserveAfter + seconds(2));
             return farm.submit(commandJob("a"));
         }},
        {"machine-avoided",
         [](Farm& farm) {
             const SessionId one = farm.connect("one");
             const JobId job = farm.submit(commandJob("a"));
             const AttemptId failed = farm.onlyAssigned();
             static_cast<void>(farm.connect("two"));
             static_cast<void>(farm.submit(commandJob("busy")));
             farm.finish(one, failed, Outcome::Infrastructure);
             farm.pass(seconds(70));
             return job;
         }},
        {"behind-higher-priority",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one"));
             static_cast<void>(farm.submit(commandJob("busy")));
             const JobId job = farm.submit(commandJob("a"));
             farm.ask(BumpJob{RequestId(1), farm.submit(commandJob("b")), true});
             return job;
         },
         false},
        {"jobset-share",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one"));
             static_cast<void>(farm.ofGroup("greedy"));
             const JobId job = farm.ofGroup("greedy");
             static_cast<void>(farm.ofGroup("modest"));
             return job;
         },
         false},
        {"behind-in-queue",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one"));
             return farm.submitAll({commandJob("busy"), commandJob("b"), commandJob("a")}).at(2);
         },
         false},
        {"retry-backoff",
         [](Farm& farm) {
             const SessionId one = farm.connect("one");
             const JobId job = farm.submit(commandJob("a"));
             farm.finish(one, farm.onlyAssigned(), Outcome::Infrastructure);
             return job;
         }},
        {"held",
         [](Farm& farm) {
             const JobId job = farm.submit(commandJob("a"));
             farm.ask(HoldJob{RequestId(1), job, true, "ann"});
             static_cast<void>(farm.connect("one"));
             return job;
         }},
        {"dispatch-paused",
         [](Farm& farm) {
             farm.ask(PauseDispatch{RequestId(1), true, "ann", "move"});
             static_cast<void>(farm.connect("one"));
             return farm.submit(commandJob("a"));
         }},
        {"concurrency-limit",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one", 4));
             JobRequest job = commandJob("a");
             job.spec.concurrencyGroup = "deploy";
             job.spec.concurrencyLimit = 1;
             return farm.submitAll({job, job}).at(1);
         }},
        {"namespace-limit",
         [](Farm& farm) {
             farm.ask(SetNamespace{RequestId(1), {.name = "default", .maxRunningSteps = 1}});
             static_cast<void>(farm.connect("one", 4));
             return farm.submitAll({commandJob("a"), commandJob("a")}).at(1);
         }},
        {"server-busy",
         [](Farm& farm) {
             farm.options.maxUnconfirmed = 1;
             farm.restart();
             static_cast<void>(farm.submit(commandJob("b")));
             return farm.submit(commandJob("a"));
         }},
        {"database-away",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one"));
             farm.send(StoreHealth{false, "gone"});
             return farm.submit(commandJob("a"));
         }},
        {"cancelled-pending",
         [](Farm& farm) {
             const SessionId one = farm.connect("one");
             const JobId job = farm.submit(commandJob("a"));
             farm.accept(one, farm.onlyAssigned());
             farm.ask(CancelJob{RequestId(1), job, "ann"});
             return job;
         }},
        {"starting",
         [](Farm& farm) {
             farm.options.visitsPerPass = 2;
             farm.restart();
             static_cast<void>(farm.connect("one", 4));
             farm.connectAs(std::string(32, 'z'), kInstance, [] { // says something, but nothing that binds
                 protocol::MachineFacts facts = machineFacts("other", 1);
                 facts.executors = {"nix"};
                 return facts;
             }());
             return farm.submitAll({commandJob("a"), commandJob("a")}).at(1);
         }},
        {"running",
         [](Farm& farm) {
             const SessionId one = farm.connect("one");
             const JobId job = farm.submit(commandJob("a"));
             farm.accept(one, farm.onlyAssigned());
             return job;
         }},
        {"connecting",
         [](Farm& farm) {
             static_cast<void>(farm.connect("one"));
             return farm.submit(commandJob("a"));
         }},
        {"sending-inputs",
         [](Farm& farm) {
             const SessionId one = farm.connect("one");
             const JobId job = farm.submit(nixJob("j", {"x"}, {}));
             const AttemptId attempt = farm.onlyAssigned();
             farm.accept(one, attempt);
             farm.send(AttemptProgressed{one, attempt, "sending-inputs", {}});
             return job;
         }},
    };
    return all;
}

struct Reasons : ::testing::TestWithParam<Situation> {};

TEST_P(Reasons, ComeFromTheSituationTheyName)
{
    Farm farm;
    farm.SetUp();
    const JobId job = GetParam().make(farm);
    const Result<Explanation> why = farm.core->explain(job, 10, farm.now);
    ASSERT_TRUE(why) << why.error().message;
    ASSERT_FALSE(why->steps.empty());
    const StepExplanation& step = why->steps.at(0);
    ASSERT_FALSE(step.reasons.empty());
    std::vector<std::string> codes;
    for (const Reason& reason : step.reasons) {
        codes.push_back(reason.code);
        EXPECT_FALSE(reason.text.empty()) << reason.code;
        EXPECT_TRUE(std::count(kWaitingCodes.begin(), kWaitingCodes.end(), reason.code) +
                        std::count(kOtherCodes.begin(), kOtherCodes.end(), reason.code) == 1) << reason.code;
    }
    EXPECT_EQ(std::count(codes.begin(), codes.end(), GetParam().code), 1) << ::testing::PrintToString(codes);
    if (GetParam().isFirst) {
        EXPECT_EQ(codes.front(), GetParam().code);
    }
    std::uint32_t left = 0;
    for (const FunnelStage& stage : step.funnel) {
        if (&stage != &step.funnel.front()) {
            EXPECT_EQ(left, stage.left + stage.removedCount) << stage.stage;
        }
        left = stage.left;
    }
    // What a dashboard counts is one of the codes as well.
    for (const auto& [code, count] : farm.core->totals().waiting)
        EXPECT_EQ(std::count(kWaitingCodes.begin(), kWaitingCodes.end(), code), 1) << code;
}

INSTANTIATE_TEST_SUITE_P(Explain, Reasons, ::testing::ValuesIn(situations()), [](const auto& which) {
    std::string name = which.param.code;
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
});

TEST(ReasonCodes, AreAllProducedByASituation)
{
    std::multiset<std::string> produced;
    for (const Situation& situation : situations())
        produced.insert(situation.code);
    std::multiset<std::string> listed(kWaitingCodes.begin(), kWaitingCodes.end());
    listed.insert(kOtherCodes.begin(), kOtherCodes.end());
    EXPECT_EQ(produced, listed);
}

TEST(ReasonCodes, SayNothingOfAReservationToTheStepThatItIsFor)
{
    Farm farm;
    farm.SetUp();
    static_cast<void>(farm.connect("one", 4));
    static_cast<void>(farm.submit(commandJob("busy")));
    const JobId large = farm.sized("large", 4);
    farm.pass(farm.options.policy.reserveAfter + seconds(2));
    ASSERT_EQ(farm.core->counters().reservations, 1U);
    EXPECT_EQ(farm.core->explain(large, 1, farm.now)->steps.at(0).reasons.at(0).code, "resources-full");
}

TEST(ReasonCodes, CountStepsOfAMachineWithoutCpusAsWaitingForResources)
{
    Farm farm;
    farm.SetUp();
    static_cast<void>(farm.connect("one", 4));
    static_cast<void>(farm.sized("busy", 4)); // slots are free, cpus are not
    static_cast<void>(farm.submit(commandJob("a")));
    EXPECT_EQ(farm.core->totals().waiting, (std::map<std::string, std::uint64_t>{{"resources-full", 1}}));
}

} // namespace
} // namespace penstock::core::test
