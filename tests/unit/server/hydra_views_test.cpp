// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/hydra_metrics.h"
#include "server/app/hydra_views.h"
#include "server/app/process_metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <fcntl.h>
#include <optional>
#include <set>
#include <unistd.h>
#include <utility>

namespace penstock::app {
namespace {

using namespace std::chrono_literals;

constexpr Now kNow{{std::chrono::hours(1)}, WallTime::fromMicros(1'700'000'000'000'000)};

core::MachineView machine()
{
    core::MachineView view;
    view.id = MachineId(7);
    view.condition = core::MachineCondition::Ready;
    view.facts.name = "b1";
    view.facts.systems = {"x86_64-linux"};
    view.facts.features = {"kvm"};
    view.facts.mandatoryFeatures = {"big"};
    view.facts.maxJobs = 2;
    view.facts.memoryBytes = 1'000;
    view.thresholds.minFreeDiskBytes = 50;
    view.thresholds.ioPsi = 10;
    protocol::LoadSample load;
    load.load1 = 1.5;
    load.memoryAvailableBytes = 400;
    load.diskTotalBytes = 200;
    load.diskFreeBytes = 100;
    load.pressure = protocol::PressureSample{};
    load.pressure->memory.fullAvg10 = 3;
    view.load = load;
    view.used = 1;
    view.hasRoom = true;
    view.connected = kNow.wall + Duration(-60s);
    view.lastSeen = kNow.wall + Duration(-2s);
    view.finished = 5;
    view.failed = 2;
    view.running.emplace_back();
    view.running.back().phase = "sending-inputs";
    view.runningNames = {"hello"};
    view.runningKeys = {"/nix/store/abc-hello.drv"};
    view.times = {4, 40s, 8s, 28s, 4s};
    return view;
}

std::optional<http::HydraMachine> shown(core::MachineView view)
{
    return hydraMachine(std::move(view), kNow);
}

TEST(HydraViews, ShowAMachineInHydrasMeasures)
{
    const auto view = shown(machine());
    ASSERT_TRUE(view);
    EXPECT_EQ(view->name, "b1");
    EXPECT_EQ(view->jobs, (std::vector<std::string>{"abc-hello.drv"}));
    EXPECT_EQ(view->supportedFeatures, (std::vector<std::string>{"kvm"})); // the page adds the mandatory ones itself
    EXPECT_EQ(view->memoryUsed, 600U);
    EXPECT_EQ(view->buildDirFree, 50);
    EXPECT_EQ(view->buildDirThreshold, 25);
    EXPECT_EQ(view->ioThreshold, 10);
    EXPECT_EQ(view->pressure->memFull.avg10, 3);
    EXPECT_EQ(view->uptime, 60s);
    EXPECT_EQ(view->sinceLastSeen, 2s);
    EXPECT_EQ(view->fetching, 1U);
    EXPECT_EQ(view->uploading, 0U);
    EXPECT_TRUE(view->hasRoom && view->hasSlots && view->isCalm);
    EXPECT_EQ(view->times.build, 28s);
}

TEST(HydraViews, TellSlotsFromLoad)
{
    auto full = machine();
    full.used = 2;
    full.hasRoom = false;
    EXPECT_FALSE(shown(full)->hasSlots);
    EXPECT_TRUE(shown(full)->isCalm);
    auto loaded = machine();
    loaded.hasRoom = false;
    loaded.over.emplace_back();
    EXPECT_TRUE(shown(loaded)->hasSlots);
    EXPECT_FALSE(shown(loaded)->isCalm);
}

TEST(HydraViews, LeaveOutMachinesThatAreGoneUnlessTheyHoldSteps)
{
    auto gone = machine();
    gone.connected.reset();
    EXPECT_TRUE(shown(gone));
    gone.running.clear();
    EXPECT_FALSE(shown(gone));
}

TEST(HydraViews, GiveEveryMachineAKeyOfItsOwn)
{
    MachineKeys keys;
    EXPECT_EQ(keys.keyOf("b1", MachineId(1)), "b1");
    EXPECT_EQ(keys.keyOf("b2", MachineId(2)), "b2");
    EXPECT_EQ(keys.keyOf("b1", MachineId(3)), "b1#3");
}

TEST(HydraViews, TakeShareGroupsForJobsets)
{
    core::ShareView share;
    share.group = "nixpkgs:trunk:small";
    share.used = 90s;
    share.shares = 250;
    const auto jobset = hydraJobset(share);
    EXPECT_EQ(jobset.project, "nixpkgs");
    EXPECT_EQ(jobset.name, "trunk:small");
    EXPECT_EQ(jobset.used, 90s);
    EXPECT_EQ(jobset.shares, 250U);
}

TEST(HydraViews, CountBuildsOnlyWhereThereAreAny)
{
    http::HydraFarm farm;
    farm.buildsOpen = 3;
    farm.buildsSucceeded = 10;
    farm.buildsFailed = 2;
    http::HydraCounters counters;
    counters.cachedSuccesses = 5;
    counters.cachedFailures = 1;
    counters.aborted = 1;
    auto served = farm;
    addHydraCounters(served, counters, true);
    EXPECT_EQ(served.buildsDone, 19U);
    EXPECT_EQ(served.buildsSucceeded, 15U);
    EXPECT_EQ(served.buildsFailed, 4U);
    addHydraCounters(farm, {}, false);
    EXPECT_EQ(farm.buildsOpen + farm.buildsDone + farm.buildsSucceeded, 0U);
}

TEST(HydraViews, CountBuildsThatTheFarmDoesNotKnowYetAsUnfinished)
{
    http::HydraFarm farm;
    farm.buildsOpen = 3;
    http::HydraCounters counters;
    counters.buildsWaiting = 4;
    addHydraCounters(farm, counters, true);
    EXPECT_EQ(farm.buildsUnfinished, 7U);
    EXPECT_EQ(farm.buildsOpen, 3U);
}

TEST(HydraViews, TellWhatTheIntakeHasCounted)
{
    hydra::IntakeCounters intake;
    intake.buildsRead = 9;
    intake.buildsHanded = 5;
    intake.cachedSuccesses = 3;
    intake.aborted = 1;
    intake.busy = 12s;
    intake.lastDiff = 20ms;
    intake.connections = 2;
    const auto counters = hydraCounters(intake, 60s, 6);
    EXPECT_EQ(counters.buildsRead, 9U);
    EXPECT_EQ(counters.buildsLoaded, 5U); // those that ended where they were found are not among them
    EXPECT_EQ(counters.idleTime, 48s);
    EXPECT_EQ(counters.lastDiff, 20ms);
    EXPECT_EQ(counters.connections, 8U);
    EXPECT_EQ(hydraCounters(intake, 10s, 6).idleTime, 0s); // what is measured apart need not fit
}

double valueOf(const std::vector<http::MetricFamily>& families, std::string_view name)
{
    const auto found = std::ranges::find(families, name, &http::MetricFamily::name);
    return found == families.end() || found->samples.empty() ? -1 : found->samples.front().value;
}

TEST(HydraMetrics, ShowWhatTheIntakeHasCounted)
{
    const core::FarmCore farm{core::CoreOptions{}};
    hydra::IntakeCounters intake;
    intake.busy = 12s;
    intake.lastDiff = 20ms;
    intake.waiting = 4;
    std::vector<http::MetricFamily> families;
    appendHydraMetrics(farm, {}, kNow, hydraCounters(intake, 60s, 6), families);
    EXPECT_EQ(valueOf(families, "hydraqueuerunner_monitor_time_spent_running_total"), 12e6);
    EXPECT_EQ(valueOf(families, "hydraqueuerunner_monitor_time_spent_waiting_total"), 48e6);
    EXPECT_EQ(valueOf(families, "penstock_hydra_last_diff_seconds"), 0.02);
    EXPECT_EQ(valueOf(families, "hydraqueuerunner_builds_unfinished"), 4);
}

TEST(HydraMetrics, TellHowTheCoreSpendsItsTime)
{
    dispatch::DispatchCounters dispatch;
    dispatch.busyMicros = 3'000'000;
    dispatch.batches = 5;
    std::vector<http::MetricFamily> families;
    appendHydraTurns(dispatch, 60s, families);
    EXPECT_EQ(valueOf(families, "hydraqueuerunner_dispatcher_time_spent_running_total"), 3e6);
    EXPECT_EQ(valueOf(families, "hydraqueuerunner_dispatcher_time_spent_waiting_total"), 57e6);
    EXPECT_EQ(valueOf(families, "hydraqueuerunner_dispatch_wakeup"), 5);
}

TEST(HydraMetrics, CountCopiesToFurtherStores)
{
    std::vector<http::MetricFamily> families;
    appendHydraCopies({2, 5, 1}, families);
    EXPECT_EQ(valueOf(families, "hydraqueuerunner_s3_uploads_pending"), 2);
    EXPECT_EQ(valueOf(families, "hydraqueuerunner_overflow_copies_queued_total"), 7);
    EXPECT_EQ(valueOf(families, "hydraqueuerunner_overflow_copies_succeeded_total"), 5);
    EXPECT_EQ(valueOf(families, "hydraqueuerunner_overflow_copies_failed_total"), 1);
}

TEST(ProcessMetrics, TellOfThisProcess)
{
    std::vector<http::MetricFamily> families;
    appendProcessMetrics(families);
    EXPECT_GT(valueOf(families, "process_resident_memory_bytes"), 1e6);
    EXPECT_GT(valueOf(families, "process_virtual_memory_bytes"), valueOf(families, "process_resident_memory_bytes"));
    EXPECT_GE(valueOf(families, "process_cpu_seconds_total"), 0);
    const double before = valueOf(families, "process_open_fds");
    EXPECT_GE(before, 3);
    EXPECT_GE(valueOf(families, "process_max_fds"), before);
    const auto now = static_cast<double>(::time(nullptr));
    EXPECT_NEAR(valueOf(families, "process_start_time_seconds"), now, 600);
    const int more = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    families.clear();
    appendProcessMetrics(families);
    EXPECT_EQ(valueOf(families, "process_open_fds"), before + 1);
    ::close(more);
}

TEST(HydraMetrics, HaveEachNameOnceAndTellOfTheIntakeOnlyWhereThereIsOne)
{
    const core::FarmCore farm{core::CoreOptions{}};
    std::vector<http::MetricFamily> plain;
    appendHydraMetrics(farm, {}, kNow, std::nullopt, plain);
    std::vector<http::MetricFamily> served;
    appendHydraMetrics(farm, {}, kNow, http::HydraCounters(), served);
    EXPECT_GT(served.size(), plain.size());
    for (const auto* families : {&plain, &served}) {
        std::set<std::string> names;
        for (const auto& family : *families) {
            EXPECT_TRUE(names.insert(family.name).second) << family.name;
            EXPECT_TRUE(family.name.starts_with("hydraqueuerunner_") || family.name.starts_with("penstock_hydra_"));
            EXPECT_FALSE(family.help.empty()) << family.name;
        }
        EXPECT_TRUE(names.contains("hydraqueuerunner_builds_succeeded"));
        EXPECT_TRUE(names.contains("hydraqueuerunner_machine_type_runnable"));
        EXPECT_EQ(names.contains("penstock_hydra_builds_waiting"), families == &served);
    }
}

} // namespace
} // namespace penstock::app
