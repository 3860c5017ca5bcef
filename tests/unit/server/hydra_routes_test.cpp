// SPDX-License-Identifier: GPL-3.0-or-later
// The routes of Hydra's queue runner, read as its consumers read them: the machines page and the admin page of the web
// interface, hydra-send-stats, and Hydra's own tests.
#include "tests/unit/server/routes_fixture.h"

#include <algorithm>
#include <initializer_list>
#include <regex>
#include <string>

namespace penstock::test {
namespace {

using nix::JsonValue;

constexpr std::string_view kDrv = "3x7h8d5l0nfyahspvd5ylq2bkjv5hc7i-hello-2.12.drv";

struct HydraRoutesTest : RoutesTest {
    HydraRoutesTest()
    {
        http::HydraMachine machine;
        machine.key = machine.name = "m1";
        machine.systems = {"x86_64-linux", "i686-linux"};
        machine.supportedFeatures = {"kvm"};
        machine.jobs = {std::string(kDrv)};
        machine.maxJobs = 4;
        machine.memoryBytes = 1'000;
        machine.memoryUsed = 400;
        machine.finished = 3;
        machine.failed = 1;
        machine.times = {2, std::chrono::seconds(10), std::chrono::seconds(2), std::chrono::seconds(7),
                         std::chrono::seconds(1)};
        machine.pressure = http::HydraPressures{{1.5, 2, 3, 4}, {}, {}, {}, {}};
        machine.hasRoom = machine.hasSlots = machine.isCalm = true;
        hydra.fleet = {machine};
        hydra.groups = {{7, "nixpkgs", "trunk", std::chrono::seconds(90), 250}};
        hydra.farm.queues["x86_64-linux"] = {2, 5, 1, std::chrono::seconds(3)};
        hydra.farm.stepsReady = 5;
        hydra.farm.stepsDelayed = 1;
        hydra.farm.stepsRunning = 2;
        hydra.farm.stepsBlocked = 100;
        hydra.farm.stepsDone = 2;
        hydra.farm.times = machine.times;
        hydra.farm.machines = 1;
        hydra.farm.machinesInUse = 1;
        hydra.farm.buildsOpen = 9;
        hydra.farm.buildsUnfinished = 12;
    }

    JsonValue read(std::string_view path)
    {
        const auto reply = ask(get(path));
        EXPECT_EQ(reply.status, 200U) << path << " " << reply.body;
        auto value = nix::parseJson(reply.body);
        EXPECT_TRUE(value);
        return *std::move(value);
    }
};

// Null when there is no such member.
const JsonValue* at(const JsonValue* value, std::initializer_list<std::string_view> keys)
{
    for (const std::string_view key : keys)
        value = value == nullptr ? nullptr : value->member(key);
    return value;
}

bool isDefined(const JsonValue* value)
{
    // Null in JSON is none of these.
    return value != nullptr && (value->asBool() != nullptr || value->asNumber() != nullptr ||
                                value->asString() != nullptr || value->asArray() != nullptr ||
                                value->asObject() != nullptr);
}

// hydra-send-stats reads these and dies of one that is not defined.
TEST_F(HydraRoutesTest, TellAllThatHydraSendStatsReads)
{
    const auto status = read("/status");
    for (const auto* key :
         {"status", "time", "uptime", "nrStepsBuilding", "nrStepsRunnable", "nrStepsUnfinished", "nrStepsDone",
          "nrRetries", "nrUnsupportedSteps", "maxNrRetries", "avgStepTimeMs", "avgStepBuildTimeMs", "queueStats",
          "nrBuildsRead", "nrBuildsUnfinished", "nrBuildsDone", "nrQueueWakeups", "machinesTotal", "machinesInUse"})
        EXPECT_TRUE(isDefined(at(&status, {"queueRunner", key}))) << key;
    for (const auto* key : {"totalRunnable", "activeRunnable", "nrRunnableWaiting", "nrRunnableDisabled"})
        EXPECT_TRUE(isDefined(at(&status, {"queueRunner", "queueStats", "x86_64-linux", key}))) << key;
    EXPECT_TRUE(has(ask(get("/status")), R"("status":"up")"));
    EXPECT_TRUE(has(ask(get("/status")), R"("queueStats":{"x86_64-linux":{"activeRunnable":2,"totalRunnable":8,)"
                                         R"("nrRunnableWaiting":5,"nrRunnableDisabled":1,"avgRunnableTime":0,)"
                                         R"("waitTimeMs":3000}})"));
    EXPECT_TRUE(has(ask(get("/status")), R"("nrBuildsUnfinished":12)"));
    EXPECT_TRUE(has(ask(get("/status")), R"("avgStepTimeMs":5000,"avgStepImportTimeMs":1000,)"
                                         R"("avgStepBuildTimeMs":3500,"avgStepUploadTimeMs":500)"));
}

// Every key that the spec lists, so that none is lost by accident.
TEST_F(HydraRoutesTest, KeepEveryKeyOfTheRunnersStatus)
{
    const auto status = read("/status");
    for (const auto* key :
         {"proc", "supportedFeatures", "buildCount", "jobsetCount", "stepCount", "runnableCount",
          "queueChecksStarted", "queueBuildLoads", "queueStepsCreated", "queueChecksEarlyExits",
          "queueChecksFinished", "dispatcherTimeSpentRunning", "dispatcherTimeSpentWaiting",
          "queueMonitorTimeSpentRunning", "queueMonitorTimeSpentWaiting", "buildReadTimeMs", "nrBuildsSucceeded",
          "nrBuildsFailed", "nrStepsStarted", "nrStepsWaiting", "nrUnsupportedStepsAborted", "nrSubstitutesStarted",
          "nrSubstitutesFailed", "nrSubstitutesSucceeded", "avgStepImportTimeMs", "avgStepUploadTimeMs",
          "totalStepTimeMs", "totalStepImportTimeMs", "totalStepBuildTimeMs", "totalStepUploadTimeMs",
          "nrDispatcherWakeups", "dispatchTimeMs", "s3UploadsPending"})
        EXPECT_TRUE(isDefined(at(&status, {"queueRunner", key}))) << key;
    EXPECT_TRUE(isDefined(at(&status, {"queueRunner", "proc", "rssBytes"})));
    EXPECT_NE(at(&status, {"queueRunner", "proc", "cgroup"}), nullptr);
    EXPECT_NE(at(&status, {"store"}), nullptr);
    EXPECT_TRUE(isDefined(at(&status, {"s3"})));
    for (const auto* key : {"id", "projectName", "name", "seconds", "shares"})
        EXPECT_TRUE(isDefined(at(&status, {"jobsets", "nixpkgs:trunk", key}))) << key;
    EXPECT_TRUE(isDefined(at(&status, {"machines", "m1"})));
}

// The machines page; a machine is found by the very text that buildsteps.machine holds.
TEST_F(HydraRoutesTest, TellAllThatTheMachinesPageReads)
{
    const auto view = read("/status/machines");
    const auto machine = [&](std::initializer_list<std::string_view> keys) {
        std::vector<std::string_view> path{"machines", "m1"};
        path.insert(path.end(), keys.begin(), keys.end());
        const JsonValue* value = &view;
        for (const auto key : path)
            value = at(value, {key});
        return value;
    };
    for (const auto* key : {"systems", "supportedFeatures", "mandatoryFeatures", "jobs", "substituters"})
        EXPECT_TRUE(machine({key}) != nullptr && machine({key})->asArray() != nullptr) << key;
    for (const auto* key :
         {"hostname", "uptime", "cpuCount", "bogomips", "speedFactor", "maxJobs", "buildDirAvailThreshold",
          "storeAvailThreshold", "load1Threshold", "cpuPsiThreshold", "memPsiThreshold", "score", "totalMem",
          "cgroups", "useSubstitutes", "nixVersion", "hasCapacity", "hasDynamicCapacity", "hasStaticCapacity"})
        EXPECT_TRUE(isDefined(machine({key}))) << key;
    EXPECT_NE(machine({"ioPsiThreshold"}), nullptr);
    for (const auto* key :
         {"currentJobs", "nrStepsDone", "avgStepTimeMs", "avgStepImportTimeMs", "avgStepBuildTimeMs",
          "avgStepUploadTimeMs", "totalStepTimeMs", "totalStepImportTimeMs", "totalStepBuildTimeMs",
          "totalStepUploadTimeMs", "idleSince", "lastFailure", "disabledUntil", "consecutiveFailures", "lastPing",
          "sinceLastPing", "load1", "load5", "load15", "memUsage", "pressure", "buildDirFreePercent",
          "storeFreePercent", "currentUploadingPathCount", "currentDownloadingPathCount", "jobsInLast30sStart",
          "jobsInLast30sCount", "failedBuilds", "succeededBuilds"})
        EXPECT_TRUE(isDefined(machine({"stats", key}))) << key;
    for (const auto* kind : {"cpuSome", "memSome", "memFull", "ioSome", "ioFull"})
        for (const auto* average : {"avg10", "avg60", "avg300", "total"})
            EXPECT_TRUE(isDefined(machine({"stats", "pressure", kind, average}))) << kind << average;
    const auto text = ask(get("/status/machines/")).body;
    EXPECT_NE(text.find(R"("machinesCount":1)"), std::string::npos);
    EXPECT_NE(text.find(fmt::format(R"("jobs":["{}"])", kDrv)), std::string::npos);
    EXPECT_NE(text.find(R"("failedBuilds":1,"succeededBuilds":2)"), std::string::npos);
}

// What the process uses changes from one question to the next.
std::string withoutMemory(const std::string& body)
{
    return std::regex_replace(body, std::regex(R"(sizeBytes":\d+|(rss|shared)Bytes":\d+)"), "");
}

TEST_F(HydraRoutesTest, AreThereWithASlashAtTheEndToo)
{
    for (const auto* path :
         {"/status", "/status/machines", "/status/jobsets", "/status/builds", "/status/steps", "/status/runnable",
          "/status/queues", "/status/queues/jobs", "/status/queues/scheduled", "/status/uploads",
          "/status/build/1/active"}) {
        EXPECT_EQ(ask(get(path)).status, 200U) << path;
        EXPECT_EQ(withoutMemory(ask(get(fmt::format("{}/", path))).body), withoutMemory(ask(get(path)).body)) << path;
    }
    EXPECT_EQ(send("PUT", "/build/", fmt::format(R"({{"jobsetId":1,"drv":"{}"}})", kDrv)).status, 200U);
    EXPECT_EQ(send("POST", "/build_one/", R"({"buildId":1})").status, 200U);
}

TEST_F(HydraRoutesTest, ListInPagesAndSaySo)
{
    for (std::uint64_t id = 1; id <= 5; ++id) {
        http::HydraBuild build;
        build.id = id;
        build.name = fmt::format("job{}", id);
        build.drvPath = fmt::format("/nix/store/{}", kDrv);
        hydra.queued.push_back(build);
    }
    const auto first = ask(get("/status/builds?limit=2"));
    EXPECT_TRUE(has(first, R"("name":"job2")") && !has(first, R"("name":"job3")")) << first.body;
    EXPECT_TRUE(has(first, R"("buildCount":5,"next":2,"note":"2 of 5 are shown; the next ones come with ?after=2")"));
    const auto last = ask(get("/status/builds?limit=2&after=4"));
    EXPECT_TRUE(has(last, R"("name":"job5")") && !has(last, "next")) << last.body;
    for (const auto* query : {"limit=0", "limit=1001", "after=x", "page=1"}) {
        const auto refused = ask(get(fmt::format("/status/builds?{}", query)));
        EXPECT_EQ(refused.status, 400U) << query;
    }
    EXPECT_TRUE(has(ask(get("/status/uploads?limit=1")),
                    R"({"paths":["/nix/store/a"],"pathCount":2,"note":"1 are shown, and there are more"})"));
    EXPECT_EQ(ask(get("/status/uploads")).body, R"({"paths":["/nix/store/a","/nix/store/b"],"pathCount":2})");
    EXPECT_EQ(ask(get("/status/uploads?limit=10000")).status, 200U);
    for (const auto* query : {"after=1", "limit=10001"}) // paths have no order to go on in
        EXPECT_EQ(ask(get(fmt::format("/status/uploads?{}", query))).status, 400U) << query;
}

TEST_F(HydraRoutesTest, ShowStepsAsTheRunnerDoes)
{
    http::HydraStep ready;
    ready.id = 4;
    ready.drvPath = "/nix/store/r.drv";
    ready.system = "x86_64-linux";
    ready.isRunnable = true;
    ready.runnableSince = WallTime::fromMicros(1'500'000);
    ready.lowestBuild = 12;
    ready.globalPriority = 5;
    ready.localPriority = 100;
    http::HydraStep running = ready;
    running.id = 5;
    running.drvPath = "/nix/store/s.drv";
    running.isRunnable = false;
    running.isScheduled = true;
    running.tries = 2;
    http::HydraStep blocked;
    blocked.id = 6;
    blocked.drvPath = "/nix/store/b.drv";
    blocked.dependencies = 3;
    hydra.live = {ready, running, blocked};
    EXPECT_TRUE(has(ask(get("/status/steps")), R"("stepCount":3)"));
    EXPECT_TRUE(has(ask(get("/status/steps")),
                    R"({"drvPath":"/nix/store/b.drv","runnable":false,"finished":false,"previousFailure":false,)"
                    R"("created":true,"tries":0,"highestGlobalPriority":null,"highestLocalPriority":null,)"
                    R"("lowestBuildId":null,"depsCount":3})"));
    EXPECT_TRUE(has(ask(get("/status/runnable")), R"("stepCount":1)"));
    EXPECT_EQ(ask(get("/status/queues/scheduled")).body,
              R"({"steps":[{"drvPath":"/nix/store/s.drv","alreadyScheduled":true,"runnable":false,"finished":false,)"
              R"("cancelled":false,"runnableSince":"1970-01-01T00:00:01.500Z","tries":2,"lowestShareUsed":null,)"
              R"("highestGlobalPriority":5,"highestLocalPriority":100,"lowestBuildId":12}],"stepCount":1})");
    EXPECT_TRUE(has(ask(get("/status/queues/jobs")), R"("stepCount":2)"));
    EXPECT_TRUE(has(ask(get("/status/queues")), R"({"queues":{"x86_64-linux":[{"drvPath":"/nix/store/r.drv",)"));
}

TEST_F(HydraRoutesTest, SayWhetherABuildIsActive)
{
    hydra.unfinished = {3};
    EXPECT_EQ(ask(get("/status/build/3/active")).body, R"({"active":true})");
    EXPECT_EQ(ask(get("/status/build/4/active")).body, R"({"active":false})");
    for (const auto* id : {"x", "0", "-1", "2147483648", "99999999999999999999"}) {
        const auto refused = ask(get(fmt::format("/status/build/{}/active", id)));
        EXPECT_EQ(refused.status, 404U) << id;
        EXPECT_TRUE(has(refused, fmt::format(R"("error":"no build {}")", id))) << refused.body;
    }
}

TEST_F(HydraRoutesTest, TakeBothSpellingsOfWhatIsAsked)
{
    for (const auto* key : {"jobsetId", "jobset_id"})
        EXPECT_EQ(send("PUT", "/build", fmt::format(R"({{"{}":7,"drv":"{}"}})", key, kDrv)).body, "{}");
    EXPECT_EQ(send("PUT", "/build", fmt::format(R"({{"jobsetId":7,"drv":"/nix/store/{}"}})", kDrv)).status, 200U);
    for (const auto* key : {"buildId", "build_id"})
        EXPECT_EQ(send("POST", "/build_one", fmt::format(R"({{"{}":3}})", key)).body, "{}");
    const auto added = fmt::format("add 7 {}", kDrv);
    EXPECT_EQ(hydra.calls, (std::vector<std::string>{added, added, added, "load 3", "load 3"}));
}

TEST_F(HydraRoutesTest, RefuseWhatCannotBeMeant)
{
    const auto says = [&](std::string_view method, std::string_view path, std::string_view body, unsigned status,
                          std::string_view text) {
        const auto reply = send(method, path, body);
        EXPECT_EQ(reply.status, status) << body << reply.body;
        EXPECT_TRUE(has(reply, R"("error":)") && has(reply, R"("detail":)") && has(reply, text)) << reply.body;
        EXPECT_EQ(reply.type, "application/problem+json");
    };
    says("PUT", "/build", "{", 400, "");
    says("PUT", "/build", "", 400, "");
    says("PUT", "/build", "[]", 422, "");
    says("PUT", "/build", R"({"drv":"x.drv"})", 422, "jobsetId");
    says("PUT", "/build", R"({"jobsetId":7})", 422, "drv");
    says("PUT", "/build", R"({"jobsetId":7,"drv":"hello.drv"})", 422, "hello.drv");
    says("PUT", "/build", fmt::format(R"({{"jobsetId":0,"drv":"{}"}})", kDrv), 422, "jobsetId");
    says("PUT", "/build", fmt::format(R"({{"jobsetId":7,"jobset_id":7,"drv":"{}"}})", kDrv), 422, "one of them");
    says("PUT", "/build", fmt::format(R"({{"jobsetID":7,"drv":"{}"}})", kDrv), 422, "jobsetID");
    says("POST", "/build_one", R"({"buildId":"3"})", 422, "buildId");
    says("POST", "/build_one", R"({"buildId":2147483648})", 422, "2147483648");
    says("POST", "/build_one", "{}", 422, "buildId");
    EXPECT_TRUE(hydra.calls.empty());
}

TEST_F(HydraRoutesTest, TellMistakesInTheRunnersWayOnAllItsPaths)
{
    const auto says = [](const http::Reply& reply, unsigned status) {
        EXPECT_EQ(reply.status, status);
        EXPECT_TRUE(reply.body.starts_with(R"({"error":")") && has(reply, R"("detail":)")) << reply.body;
        EXPECT_EQ(reply.body.find("\"error\"", 2), std::string::npos) << reply.body;
    };
    says(ask(get("/status/nothing\"here")), 404);
    says(send("DELETE", "/status", ""), 405);
    says(ask(get("/status/builds?page=1")), 400);
    says(send("GET", "/build", ""), 405);
    EXPECT_FALSE(has(ask(get("/nothing")), "\"error\""));
}

TEST_F(HydraRoutesTest, TakeATokenAsAPassword)
{
    const auto reply = ask("GET /status/machines HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic eDp5\r\n\r\n");
    EXPECT_EQ(reply.status, 401U) << reply.body; // "y" is no token, but was read as one
    EXPECT_TRUE(std::ranges::count(reply.headers, std::pair<std::string, std::string>("WWW-Authenticate",
                                                                                      "Basic realm=\"penstock\"")) > 0);
}

TEST_F(HydraRoutesTest, PassOnWhatWentWrong)
{
    hydra.isServed = false;
    EXPECT_EQ(send("POST", "/build_one", R"({"buildId":3})").status, 404U);
    hydra.trouble = Error{ErrorCode::Unavailable, "the database is away"};
    for (const auto* path :
         {"/status", "/status/machines", "/status/jobsets", "/status/builds", "/status/steps", "/status/queues",
          "/status/uploads", "/status/build/1/active"}) {
        const auto reply = ask(get(path));
        EXPECT_EQ(reply.status, 503U) << path;
        EXPECT_TRUE(has(reply, R"({"error":"the database is away","type":)")) << reply.body;
    }
    hydra.trouble = Error{ErrorCode::Conflict, "build 3 is finished"};
    EXPECT_EQ(send("POST", "/build_one", R"({"buildId":3})").status, 409U);
}

} // namespace
} // namespace penstock::test
