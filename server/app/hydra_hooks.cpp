// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/hydra_desk.h"

#include <utility>

namespace penstock::app {
namespace {

http::HydraCounters countersOf(const hydra::IntakeCounters& counted, unsigned connections)
{
    http::HydraCounters counters;
    counters.passesStarted = counted.passesStarted;
    counters.passesFinished = counted.passesFinished;
    counters.passesCutShort = counted.passesInterrupted;
    counters.wakeups = counted.wakeUps;
    counters.buildsLoaded = counted.buildsRead;
    counters.stepsLoaded = counted.stepsCreated;
    counters.buildsRead = counted.buildsRead;
    counters.readTime = counted.readTime;
    counters.busyTime = counted.busy;
    counters.buildsWaiting = counted.waiting;
    counters.cachedSuccesses = counted.cachedSuccesses;
    counters.cachedFailures = counted.cachedFailures;
    counters.aborted = counted.aborted;
    counters.connections = counted.connections + connections;
    counters.lastDiff = counted.lastDiff;
    counters.lastError = counted.lastError;
    return counters;
}

} // namespace

HydraHooks hooksOf(hydra::Intake& intake, std::string databaseUrl, unsigned connections)
{
    HydraHooks hooks;
    hooks.databaseUrl = std::move(databaseUrl);
    hooks.counters = [&intake, connections] { return countersOf(intake.counters(), connections); };
    hooks.loadBuild = [&intake](std::uint64_t build, hydra::Answer<void> answer) {
        intake.buildOne(static_cast<hydra::BuildId>(build), std::move(answer));
    };
    hooks.addBuild = [&intake](std::int32_t jobset, std::string drv, hydra::Answer<void> answer) {
        intake.addBuild(std::move(drv), jobset, [answer = std::move(answer)](Result<hydra::BuildId> build) {
            answer(build ? Result<void>() : fail(std::move(build).error()));
        });
    };
    return hooks;
}

} // namespace penstock::app
