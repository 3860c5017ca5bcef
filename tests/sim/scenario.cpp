// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/scenario.h"

#include "tests/sim/ledger.h"
#include "tests/sim/sim_builder.h"
#include "tests/sim/sim_server.h"
#include "tests/sim/world.h"

#include <fmt/format.h>
#include <memory>
#include <vector>

namespace penstock::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Duration kFaultyTime = seconds(300);
constexpr Duration kHealedTime = minutes(600); // within which all must be over: back-off and quarantine take their time

core::CoreOptions optionsFor(Random& random)
{
    core::CoreOptions options;
    options.stopGrace = seconds(20);
    options.limits.infrastructure.initial = seconds(static_cast<std::int64_t>(random.between(1, 30)));
    options.limits.infrastructureFailures = static_cast<std::uint32_t>(random.between(0, 5));
    options.finishedJobsKept = random.between(0, 5);
    options.finishedStepsKept = random.between(1, 50);
    options.maxUnconfirmed = random.between(2, 40);
    options.visitsPerPass = random.chance(30) ? random.between(1, 5) : 20'000;
    return options;
}

class Scenario {
public:
    Scenario(std::uint64_t seed, bool verbose)
        : m_world(seed, verbose), m_ledger(m_world), m_server(m_world, m_ledger, optionsFor(m_world.random))
    {
    }
    RunResult run();

private:
    // One run has some of these faults, not all: a fault that is always there hides what happens without it.
    struct Faults {
        bool links = false;
        bool builders = false;
        bool server = false;
        bool disk = false;
        bool duplicate = false;
    };

    void addBuilders();
    void submitNow();
    [[nodiscard]] core::JobRequest randomJob();
    void disturb();
    void disturbBuilders();
    void disturbServer();
    void disturbJobs();
    void heal();
    void runUntil(Instant end);
    void checkOnlyServerDied();
    void sayWhy();
    [[nodiscard]] SimBuilder& anyBuilder() { return *m_builders.at(m_world.random.between(0, m_builders.size() - 1)); }

    World m_world;
    Ledger m_ledger;
    SimServer m_server;
    std::vector<std::unique_ptr<SimBuilder>> m_builders;
    Faults m_faults;
    bool m_isHealing = false;
    std::size_t m_goneForEver = 0; // index of a builder; the first two come back always
    std::vector<JobId> m_known;
};

protocol::MachineFacts factsFor(std::size_t index, Random& random)
{
    protocol::MachineFacts facts;
    facts.name = fmt::format("m{}", index);
    facts.systems = {"x86_64-linux"};
    if (index % 2 == 0)
        facts.features = {"kvm"};
    facts.executors = {"command", "nix"};
    facts.maxJobs = static_cast<std::uint32_t>(random.between(1, 4));
    facts.cores = facts.maxJobs;
    facts.os = "linux";
    facts.thresholds.load1 = 8;
    return facts;
}

void Scenario::addBuilders()
{
    const std::size_t count = m_world.random.between(2, 5);
    for (std::size_t i = 0; i < count; ++i) {
        const std::string identity = fmt::format("{:032x}", i + 1);
        const protocol::MachineFacts facts = factsFor(i, m_world.random);
        m_builders.push_back(std::make_unique<SimBuilder>(m_world, m_ledger, m_server, identity, facts));
        BuilderQuirks& quirks = m_builders.back()->quirks;
        quirks.longest = seconds(static_cast<std::int64_t>(m_world.random.between(1, 40)));
        quirks.lies = m_faults.builders && i == 1 && m_world.random.chance(40);
        if (quirks.lies)
            m_ledger.distrust(identity);
        quirks.infrastructurePercent = m_world.random.chance(10) ? 90 : 3;
    }
    if (m_faults.duplicate) {
        const protocol::MachineFacts facts = factsFor(0, m_world.random);
        m_builders.push_back(
            std::make_unique<SimBuilder>(m_world, m_ledger, m_server, fmt::format("{:032x}", 1), facts));
    }
    for (const auto& builder : m_builders)
        builder->start();
}

core::JobRequest Scenario::randomJob()
{
    Random& random = m_world.random;
    core::JobRequest job;
    job.spec.name = "j";
    job.spec.user = random.chance(50) ? "ann" : "bob";
    job.spec.priority = static_cast<std::int32_t>(random.between(0, 2));
    if (random.chance(20))
        job.spec.key = fmt::format("k{}", random.between(1, 10));
    const bool isCommand = random.chance(40);
    const std::uint64_t count = isCommand ? 1 : random.between(1, 12);
    for (std::uint64_t i = 0; i < count; ++i) {
        core::StepRequest step;
        step.root = i + 1 == count;
        step.spec.placement.executor = isCommand ? "command" : "nix";
        step.spec.placement.user = job.spec.user;
        if (random.chance(20))
            step.spec.placement.features = {"kvm"};
        if (random.chance(5))
            step.spec.placement.machines = {"m0", "m1"};
        step.spec.retry = {.retries = static_cast<std::uint32_t>(random.between(0, 2)), .initial = seconds(1),
                           .factor = 3, .max = seconds(20), .jitterPercent = 10};
        // Few names, so that jobs share; a name has the same dependencies everywhere: the smaller ones.
        const std::uint64_t name = isCommand ? 0 : i + random.between(0, 1) * 20;
        step.spec.name = fmt::format("s{}", name);
        if (isCommand)
            step.spec.work = std::make_shared<const work::Work>(work::CommandWork{{"true"}, {}});
        else
            step.spec.work = std::make_shared<const work::Work>(
                work::NixWork{fmt::format("/nix/store/{}.drv", name), "Derive()", {}, {{"out", ""}}});
        for (std::uint32_t below = 0; below < i; ++below)
            if (random.chance(30))
                step.dependsOn.push_back(below);
        job.steps.push_back(std::move(step));
    }
    return job;
}

void Scenario::submitNow()
{
    std::vector<core::JobRequest> jobs;
    for (std::uint64_t i = m_world.random.between(1, 4); i > 0; --i)
        jobs.push_back(randomJob());
    m_server.submit(std::move(jobs), [this](const auto& answer) {
        if (!answer)
            return m_world.reach(fmt::format("submit.{}", toString(answer.error().code)));
        const std::vector<JobId>& ids = std::get<core::Submitted>(*answer).jobs;
        m_ledger.acknowledged(ids);
        m_known.insert(m_known.end(), ids.begin(), ids.end());
    });
}

void Scenario::disturbBuilders()
{
    Random& random = m_world.random;
    SimBuilder& builder = anyBuilder();
    if (m_faults.links && random.chance(30))
        builder.cutLink(random.chance(40));
    if (m_faults.links && random.chance(10)) {
        builder.setNetwork(false);
        builder.cutLink(true);
        m_world.after(random.duration(seconds(1), seconds(40)), [&builder] { builder.setNetwork(true); });
    }
    if (m_faults.builders && random.chance(15)) {
        builder.crash();
        if (!m_isHealing)
            m_world.after(random.duration(milliseconds(100), seconds(40)), [&builder] { builder.start(); });
    }
    if (m_faults.builders)
        builder.lie();
    if (random.chance(5))
        builder.setLoad(static_cast<double>(random.between(0, 12)));
    if (random.chance(3)) {
        builder.drain(true);
        m_world.after(random.duration(seconds(1), seconds(20)), [&builder] { builder.drain(false); });
    }
}

void Scenario::disturbServer()
{
    Random& random = m_world.random;
    if (m_faults.server && m_server.isUp() && random.chance(8)) {
        m_server.crash(random.between(0, m_server.inFlight()));
        m_world.after(random.duration(milliseconds(50), seconds(12)), [this] { m_server.start(); });
    }
    if (m_faults.disk && random.chance(10)) {
        const Duration latency = random.duration(milliseconds(1), milliseconds(400));
        m_server.setDisk(latency, false);
        m_world.after(random.duration(milliseconds(10), seconds(15)),
                      [this, latency] { m_server.setDisk(latency, true); });
    }
}

void Scenario::disturbJobs()
{
    Random& random = m_world.random;
    if (random.chance(40))
        submitNow();
    if (!m_known.empty() && random.chance(12)) {
        const JobId job = m_known.at(random.between(0, m_known.size() - 1));
        m_ledger.cancelAsked(job);
        m_server.cancelJob(job, [this](const auto& answer) {
            m_world.reach(answer ? "cancel.done" : fmt::format("cancel.{}", toString(answer.error().code)));
        });
    }
    if (random.chance(8)) {
        const std::vector<JobId> bad = m_ledger.finishedBadly();
        if (!bad.empty()) {
            const JobId job = bad.at(random.between(0, bad.size() - 1));
            m_ledger.reopenAsked(job);
            m_server.reopenJob(job, [this](const auto& answer) {
                m_world.reach(answer ? "reopen.done" : fmt::format("reopen.{}", toString(answer.error().code)));
            });
        }
    }
    if (random.chance(3)) {
        const std::string name = fmt::format("m{}", random.between(0, 5));
        m_server.drain(name, true, [](const auto&) {});
        m_world.after(random.duration(seconds(1), seconds(10)),
                      [this, name] { m_server.drain(name, false, [](const auto&) {}); });
    }
}

void Scenario::disturb()
{
    if (m_isHealing)
        return;
    disturbJobs();
    disturbBuilders();
    disturbServer();
    m_world.after(m_world.random.duration(milliseconds(50), seconds(2)), [this] { disturb(); });
}

// From now on nothing breaks any more: what was asked for must come to its end.
void Scenario::heal()
{
    m_isHealing = true;
    m_world.note("heal");
    if (m_faults.builders && m_world.random.chance(50))
        m_goneForEver = m_world.random.between(2, 5);
    if (m_faults.server && m_world.random.chance(50))
        m_server.crash(m_server.inFlight());
    if (m_faults.duplicate)
        m_builders.back()->retire();
    m_server.setDisk(milliseconds(2), true);
    m_server.start();
    for (std::size_t i = 0; i < m_builders.size() - (m_faults.duplicate ? 1 : 0); ++i) {
        SimBuilder& builder = *m_builders[i];
        if (i >= 2 && i == m_goneForEver) { // its work must not wait for it
            builder.retire();
            m_world.reach("machine.gone_for_ever");
            continue;
        }
        builder.setNetwork(true);
        builder.setLoad(0);
        builder.drain(false);
        builder.quirks.lies = false;
        builder.quirks.rejectPercent = 0;
        builder.quirks.infrastructurePercent = 0;
        builder.start();
        m_server.drain(fmt::format("m{}", i), false, [](const auto&) {});
    }
}

void Scenario::runUntil(Instant end)
{
    while (!m_world.violation() && m_world.now().mono < end) {
        if (!m_world.step())
            return;
        m_server.checkCore();
        if (m_isHealing && m_world.steps() % 64 == 0 && m_ledger.unfinished() == 0 && m_server.isUp() &&
            m_server.core().totals().jobsOpen == 0)
            return;
    }
}

// What the farm itself says of whatever did not end: most often the shortest way to the cause.
void Scenario::sayWhy()
{
    for (const JobId job : m_server.core().newestJobs(false, 20))
        if (const auto why = m_server.core().explain(job, 20, m_world.now()))
            for (const core::StepExplanation& step : why->steps)
                for (const core::Reason& reason : step.reasons)
                    m_world.note(fmt::format("why: job {} step {}: {}: {}", job.value(), step.step.value(),
                                             reason.code, reason.text));
}

// Running jobs are adopted and not restarted when only the server died.
void Scenario::checkOnlyServerDied()
{
    if (m_faults.links || m_faults.builders || m_faults.duplicate)
        return;
    m_world.reach("only_the_server");
    if (m_ledger.lostWhileRunning() > 0)
        m_world.violate(fmt::format("{} running attempts were lost though only the server died",
                                    m_ledger.lostWhileRunning()));
    if (m_server.counters().adopted > 0)
        m_world.reach("only_the_server.adopted");
}

RunResult Scenario::run()
{
    Random& random = m_world.random;
    m_faults = {random.chance(60), random.chance(50), random.chance(60), random.chance(40), random.chance(25)};
    m_server.start();
    addBuilders();
    m_world.after(Duration(0), [this] { disturb(); });
    const Instant begin = m_world.now().mono;
    runUntil(begin + kFaultyTime);
    heal();
    runUntil(begin + kFaultyTime + kHealedTime);
    if (!m_world.violation())
        m_ledger.checkEnd();
    if (m_world.violation() && m_server.isUp())
        sayWhy();
    checkOnlyServerDied();
    const core::Counters counters = m_server.counters();
    const auto reach = [this](const char* name, std::uint64_t count) {
        if (count > 0)
            m_world.reach(name);
    };
    reach("core.fenced", counters.fenced);
    reach("core.refused", counters.refused);
    reach("core.adopted", counters.adopted);
    reach("core.retries", counters.retries);
    reach("core.plan_cut_short", counters.plansCutShort);
    return {m_world.hash(), m_world.steps(), m_world.violation(), m_world.reached()};
}

} // namespace

RunResult run(std::uint64_t seed, bool verbose)
{
    return Scenario(seed, verbose).run();
}

} // namespace penstock::sim
