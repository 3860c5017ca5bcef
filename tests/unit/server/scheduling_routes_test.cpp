// SPDX-License-Identifier: GPL-3.0-or-later
// What people ask and tell the scheduler over HTTP: order, holds, shares, limits, thresholds, explanations.
#include "tests/unit/server/routes_fixture.h"

namespace penstock::test {
namespace {

using SchedulingRoutesTest = RoutesTest;

TEST_F(SchedulingRoutesTest, BumpsAndHoldsJobsAndRefusesUnknownOnes)
{
    ask(post("/api/v1/jobs", R"({"command":"a"})"));
    for (const auto* verb : {"bump", "unbump", "hold", "release"}) {
        EXPECT_EQ(ask(post(fmt::format("/api/v1/jobs/1/{}", verb), "")).body, R"({"id":1})") << verb;
        const auto unknown = ask(post(fmt::format("/api/v1/jobs/42/{}", verb), ""));
        EXPECT_EQ(unknown.status, 404U) << verb;
        EXPECT_TRUE(has(unknown, R"("detail":"no job 42")")) << verb;
        EXPECT_TRUE(has(ask(post(fmt::format("/api/v1/jobs/x/{}", verb), "")), "no job x")) << verb;
    }
    gateway.calls.clear();
    EXPECT_EQ(ask(post("/api/v1/jobs/1/hold", R"({"note":"until Monday"})")).status, 200U);
    EXPECT_EQ(ask(post("/api/v1/jobs/1/hold", "{}")).status, 200U);
    EXPECT_EQ(gateway.calls, (std::vector<std::string>{"hold 1 [local: until Monday]", "hold 1 [by local]"}));
    EXPECT_EQ(ask(post("/api/v1/jobs/1/hold", R"({"why":"x"})")).status, 422U);
    EXPECT_EQ(ask(post("/api/v1/jobs/1/hold", "{")).status, 400U);
    EXPECT_EQ(gateway.calls.size(), 2U);
}

TEST_F(SchedulingRoutesTest, ShowsWhatAJobSaysOfItsOrder)
{
    ask(post("/api/v1/jobs", R"({"command":"a","shares_group":"g","concurrency":{"group":"deploy","limit":2}})"));
    const auto job = ask(get("/api/v1/jobs/1"));
    EXPECT_TRUE(has(job, R"("share_group":"g","priority":0,"bumped_at":null,"held":false,"hold_note":null,)"
                         R"("concurrency":{"group":"deploy","limit":2})"))
        << job.body;
    ask(post("/api/v1/jobs", R"({"command":"a","resources":{"cpus":2,"memory":5,"gpu":1}})"));
    EXPECT_TRUE(has(ask(get("/api/v1/jobs/2")), R"("concurrency":null)"));
    EXPECT_TRUE(has(ask(get("/api/v1/jobs/2/steps")),
                    R"("resources":{"cpus":2,"memory_bytes":5,"named":{"gpu":1}})"));
}

TEST_F(SchedulingRoutesTest, ExplainsWithEveryStructuredField)
{
    http::StepExplanation step;
    step.step = StepId(9);
    step.name = "step";
    step.state = work::StepState::Ready;
    step.reasons = {{"slots-full", "2 of 2 slots", {{"slots", 2}}, "add a machine", {"m1"}}, {"held", "held"}};
    step.funnel = {{"known", 3, 0, {}}, {"room", 0, 3, {{"m1", "2 of 2 slots"}}}};
    step.change = "a free slot";
    step.earliest = WallTime::fromMicros(1'500'000);
    gateway.explanation = {JobId(0), work::JobState::Queued, WallTime::fromMicros(0), {step}, 4, {}};
    EXPECT_EQ(
        ask(get("/api/v1/jobs/1/explain")).body,
        R"({"job":1,"state":"queued","result":null,"finished":null,"error":null,)"
        R"("evaluated":"1970-01-01T00:00:00.000Z","steps":[{"step":9,"name":"step","state":"ready","reasons":[)"
        R"({"code":"slots-full","text":"2 of 2 slots","numbers":{"slots":2},"remedy":"add a machine","names":["m1"]},)"
        R"({"code":"held","text":"held","numbers":{},"remedy":null,"names":[]}],"funnel":[)"
        R"({"stage":"known","left":3,"removed_count":0,"removed":[]},)"
        R"({"stage":"room","left":0,"removed_count":3,"removed":[{"machine":"m1","why":"2 of 2 slots"}]}],)"
        R"("change":"a free slot","earliest":"1970-01-01T00:00:01.500Z","latest":null}],"more":4})");
}

TEST_F(SchedulingRoutesTest, ExplainsThatAJobIsOver)
{
    gateway.explanation.state = work::JobState::Failed;
    gateway.explanation.ended = work::JobProgress{};
    gateway.explanation.ended->result = work::StepResult::TimedOut;
    gateway.explanation.ended->finished = WallTime::fromMicros(0);
    gateway.explanation.ended->error = "ran for 10 s";
    EXPECT_TRUE(has(ask(get("/api/v1/jobs/1/explain")),
                    R"("state":"failed","result":"timed_out","finished":"1970-01-01T00:00:00.000Z",)"
                    R"("error":"ran for 10 s")"));
}

TEST_F(SchedulingRoutesTest, OverridesThresholdsOneByOne)
{
    const auto set = send("PATCH", "/api/v1/machines/m1",
                          R"({"thresholds":{"cpu_psi":70,"min_free_disk_bytes":"1GiB","min_free_inodes":0}})");
    EXPECT_EQ(set.status, 200U);
    EXPECT_TRUE(has(set, R"("overrides":{"cpu_psi":70,"min_free_disk_bytes":1073741824,"min_free_inodes":0})"))
        << set.body;
    const auto unset = send("PATCH", "/api/v1/machines/m1", R"({"thresholds":{"cpu_psi":null,"load1":3.5}})");
    EXPECT_TRUE(has(unset, R"("overrides":{"load1":3.5,"min_free_disk_bytes":1073741824,"min_free_inodes":0})"))
        << unset.body;
    EXPECT_EQ(send("PATCH", "/api/v1/machines/none", R"({"thresholds":{}})").status, 404U);
    const auto high = send("PATCH", "/api/v1/machines/m1", R"({"thresholds":{"io_psi":101}})");
    EXPECT_EQ(high.status, 422U);
    EXPECT_TRUE(has(high, "thresholds.io_psi: must be a number from 0 to 100"));
    EXPECT_TRUE(has(send("PATCH", "/api/v1/machines/m1", R"({"thresholds":{"cpu_ps":1}})"), "did you mean"));
    EXPECT_TRUE(has(send("PATCH", "/api/v1/machines/m1", "{}"), "thresholds: is missing"));
    EXPECT_EQ(send("PATCH", "/api/v1/machines/m1").status, 400U);
}

TEST_F(SchedulingRoutesTest, ShowsWhatTheSchedulerMakesOfAMachine)
{
    auto& machine = gateway.farm[0];
    machine.thresholds.ioPsi = 10;
    machine.thresholds.minFreeInodes = 5;
    machine.over = {"io pressure 22.4% > 10.0%"};
    machine.health = {work::HealthState::Quarantined, 3, 2, WallTime::fromMicros(1'500'000), "disk errors"};
    machine.capacity = {8, 1024, {{"gpu", 2}}};
    machine.reserved = {3, 512, {{"gpu", 1}}};
    machine.closed = http::Closed{"gated-io", "io pressure 22.4% > 10.0% for 180 s"};
    machine.score = -5;
    const auto shown = ask(get("/api/v1/machines/m1"));
    for (const auto* part :
         {R"("io_psi":10,"load1":0,"min_free_disk_bytes":0,"min_free_memory_bytes":0,"min_free_inodes":5)",
          R"("overrides":{},"over":["io pressure 22.4% > 10.0%"])",
          R"("capacity":{"cpus":8,"memory_bytes":1024,"named":{"gpu":2}})",
          R"("reserved":{"cpus":3,"memory_bytes":512,"named":{"gpu":1}},"foreign_cpus":0,"open":false)",
          R"("closed":{"code":"gated-io","text":"io pressure 22.4% > 10.0% for 180 s"},"score":-5)",
          R"("health":{"state":"quarantined","failures_in_row":3,"quarantines":2,)"
          R"("until":"1970-01-01T00:00:01.500Z","reason":"disk errors"})"})
        EXPECT_TRUE(has(shown, part)) << part << "\n" << shown.body;
    machine.closed.reset();
    EXPECT_TRUE(has(ask(get("/api/v1/machines/m1")), R"("open":true,"closed":null)"));
}

TEST_F(SchedulingRoutesTest, TrustsAndRemovesMachines)
{
    EXPECT_EQ(ask(post("/api/v1/machines/m1/trust", "")).status, 200U);
    EXPECT_TRUE(has(ask(post("/api/v1/machines/none/trust", "")), "no machine none"));
    EXPECT_EQ(send("DELETE", "/api/v1/machines/m1").body, R"({"machine":"m1","removed":true})");
    EXPECT_EQ(send("DELETE", "/api/v1/machines/m1").status, 404U);
}

TEST_F(SchedulingRoutesTest, ListsQueuesWithTheFullestGroupFirst)
{
    EXPECT_EQ(ask(get("/api/v1/queues")).body,
              R"({"queues":[{"key":"x86_64-linux+kvm","system":"x86_64-linux","features":["kvm"],"queued":5,)"
              R"("delayed":1,"running":2,"blocked":3,"oldest_ready":"1970-01-01T00:00:01.500Z",)"
              R"("eligible_machines":4,"free_slots":6,)"
              R"("groups":[{"group":"b","queued":4},{"group":"a","queued":1}]}]})");
}

TEST_F(SchedulingRoutesTest, SetsShares)
{
    EXPECT_EQ(send("PUT", "/api/v1/shares/a%2Fb", R"({"shares":7})").body,
              R"({"group":"a/b","shares":7,"used_seconds":0,"used_percent":0,"target_percent":0,"running":0,)"
              R"("queued":0})");
    EXPECT_TRUE(has(ask(get("/api/v1/shares")), R"({"shares":[{"group":"a/b","shares":7)"));
    EXPECT_TRUE(has(send("PUT", "/api/v1/shares/a", R"({"shares":0})"), "shares: must be from 1 to 1000000, not 0"));
    EXPECT_TRUE(has(send("PUT", "/api/v1/shares/a", "{}"), "shares: is missing"));
    EXPECT_EQ(send("PUT", "/api/v1/shares/a%20b", R"({"shares":1})").status, 422U);
}

TEST_F(SchedulingRoutesTest, LimitsNamespacesAndKeepsWhatIsNotSaid)
{
    EXPECT_EQ(send("PUT", "/api/v1/namespaces/x", R"({"max_cpus":8,"max_queued_jobs":100})").status, 200U);
    EXPECT_EQ(send("PUT", "/api/v1/namespaces/x", R"({"max_running_steps":3,"max_cpus":0})").body,
              R"({"name":"x","max_running_steps":3,"max_queued_jobs":100,"max_cpus":0,"open_jobs":0,)"
              R"("running_steps":0,"running_cpus":0})");
    EXPECT_TRUE(has(ask(get("/api/v1/namespaces")), R"({"namespaces":[{"name":"x")"));
    EXPECT_EQ(ask(get("/api/v1/namespaces/x")).status, 200U);
    EXPECT_TRUE(has(ask(get("/api/v1/namespaces/y")), "no namespace y"));
    EXPECT_TRUE(has(send("PUT", "/api/v1/namespaces/x", R"({"max_cpus":-1})"),
                    "max_cpus: must be from 0 to 1000000000, not -1"));
    EXPECT_EQ(send("PUT", "/api/v1/namespaces/x", R"({"max_cpu":1})").status, 422U);
}

TEST_F(SchedulingRoutesTest, PausesTheFarmAndSaysSoInStatus)
{
    EXPECT_TRUE(has(ask(get("/api/v1/status")), R"("dispatch":{"paused":false,"who":null,"note":null,"since":null})"));
    EXPECT_EQ(ask(post("/api/v1/dispatch/pause", R"({"note":"new switch"})")).body,
              R"({"paused":true,"who":"local","note":"new switch","since":"1970-01-01T00:00:01.500Z"})");
    EXPECT_TRUE(has(ask(get("/api/v1/status")), R"("dispatch":{"paused":true,"who":"local")"));
    EXPECT_TRUE(has(ask(get("/api/v1/status")), R"("waiting":{"slots-full":3})"));
    EXPECT_TRUE(has(ask(post("/api/v1/dispatch/resume", "")), R"("paused":false)"));
    EXPECT_EQ(ask(post("/api/v1/dispatch/pause", fmt::format(R"({{"note":"{}"}})", std::string(1'001, 'x')))).status,
              422U);
}

TEST_F(SchedulingRoutesTest, KeepsBuildersAwayFromAllOfIt)
{
    auth::Identity builder{auth::Kind::Builder, "t", "b1"};
    for (const auto action : {auth::Action::Submit, auth::Action::Operate, auth::Action::Watch})
        EXPECT_FALSE(auth::mayDo(builder, action));
}

} // namespace
} // namespace penstock::test
