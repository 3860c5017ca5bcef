// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/scenario.h"

#include "tests/sim/draw.h"
#include "tests/sim/numbers.h"
#include "tests/sim/trouble.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class Scenario {
public:
    explicit Scenario(const RunSettings& settings)
        : m_world(settings.seed, settings.verbose),
          m_drawn(draw(m_world.random, settings.isLarge)),
          m_site(m_world, m_drawn.plan),
          m_trouble(m_site),
          m_numbers(m_site)
    {}
    RunResult run();

private:
    void disturb();
    void heal();
    void runUntil(Instant end);
    [[nodiscard]] bool isOver() const;
    [[nodiscard]] Duration healingBound() const;
    void checkOnlyServerDied();
    void countPaths();
    void sayWhy();

    World m_world;
    Drawn m_drawn;
    Site m_site;
    Trouble m_trouble;
    Numbers m_numbers;
    Instant m_healed;
};

void Scenario::disturb()
{
    if (m_site.isHealing)
        return;
    for (const auto& workload : m_drawn.workloads)
        workload->disturb(m_site);
    m_trouble.disturb();
    m_world.after(m_world.random.duration(milliseconds(50), seconds(2)), [this] { disturb(); });
}

// From now on nothing breaks any more: what was asked for must come to its end.
void Scenario::heal()
{
    m_site.isHealing = true;
    m_world.note("heal");
    m_healed = m_world.now().mono;
    m_trouble.heal();
    for (const auto& workload : m_drawn.workloads)
        workload->heal(m_site);
}

// All that is open, one after the other, each as long as the longest and tried again a few times; and before
// that what must have run out: grace times, back-offs, quarantines, the unsupported.
Duration Scenario::healingBound() const
{
    constexpr std::int64_t kTries = 3;
    Duration longest = seconds(40);
    for (const auto& [name, truth] : m_site.truths)
        longest = std::max(longest, truth.longest);
    std::int64_t slots = 0;
    for (const protocol::MachineFacts& machine : m_site.plan.machines)
        slots += machine.maxJobs;
    const auto open = static_cast<std::int64_t>(m_site.ledger.openSteps());
    return minutes(20) + (m_site.plan.isLarge ? longest * (open / slots + 100) : longest * open * kTries);
}

bool Scenario::isOver() const
{
    return m_site.isHealing && m_site.ledger.unfinished() == 0 && m_site.server.isUp() &&
           m_site.server.core().totals().jobsOpen == 0 && m_site.ledger.rules().nobodyIsQuarantined();
}

void Scenario::runUntil(Instant end)
{
    while (!m_world.violation() && m_world.now().mono < end) {
        if (!m_world.step())
            return;
        m_site.server.checkCore();
        m_numbers.observe();
        if (m_world.steps() % 64 == 0 && isOver())
            return;
    }
}

// What the farm itself says of whatever did not end: most often the shortest way to the cause.
void Scenario::sayWhy()
{
    for (const JobId job : m_site.server.core().newestJobs(false, 20))
        if (const auto why = m_site.server.core().explain(job, 20, m_world.now()))
            for (const core::StepExplanation& step : why->steps)
                for (const core::Reason& reason : step.reasons)
                    m_world.note(fmt::format("why: job {} step {}: {}: {}", job.value(), step.step.value(),
                                             reason.code, reason.text));
}

// Running jobs are adopted and not restarted when only the server died.
void Scenario::checkOnlyServerDied()
{
    const Faults& faults = m_site.plan.faults;
    if (faults.links || faults.builders || faults.duplicate)
        return;
    m_world.reach("only_the_server");
    if (m_site.ledger.lostWhileRunning() > 0)
        m_world.violate(fmt::format("{} running attempts were lost though only the server died",
                                    m_site.ledger.lostWhileRunning()));
    if (m_site.server.counters().adopted > 0)
        m_world.reach("only_the_server.adopted");
}

void Scenario::countPaths()
{
    const core::Counters counters = m_site.server.counters();
    const auto reach = [this](const char* name, std::uint64_t count) {
        if (count > 0)
            m_world.reach(name);
    };
    reach("core.fenced", counters.fenced);
    reach("core.refused", counters.refused);
    reach("core.adopted", counters.adopted);
    reach("core.retries", counters.retries);
    reach("core.plan_cut_short", counters.plansCutShort);
    reach("core.quarantines", counters.quarantines);
    reach("core.probes", counters.probes);
    reach("core.reservations", counters.reservations);
    reach("core.promotions", counters.promotions);
    reach("core.asks_raised", counters.asksRaised);
    reach("roots.unwanted_cancelled", counters.stepsUnwanted);
}

RunResult Scenario::run()
{
    m_site.ledger.rules().compareOrder(m_site.plan.comparesOrder);
    m_site.server.start();
    m_site.addBuilders();
    for (const auto& workload : m_drawn.workloads)
        workload->begin(m_site);
    m_world.after(Duration(0), [this] { disturb(); });
    runUntil(m_world.now().mono + m_site.plan.faultyTime);
    heal();
    runUntil(m_healed + healingBound());
    if (!m_world.violation()) {
        m_site.ledger.checkEnd();
        m_site.ledger.rules().checkHealth();
        m_numbers.checkEnd();
        for (const auto& workload : m_drawn.workloads)
            workload->check(m_site);
        checkOnlyServerDied();
    }
    if (m_world.violation() && m_site.server.isUp())
        sayWhy();
    countPaths();
    return {.hash = m_world.hash(),
            .steps = m_world.steps(),
            .violation = m_world.violation(),
            .reached = m_world.reached(),
            .made = m_drawn.words,
            .longestIdleMillis = m_numbers.longestIdle().count() / 1000,
            .longestHealingSeconds = (m_world.now().mono - m_healed).count() / 1'000'000,
            .worstShareError = m_numbers.worstShareError()};
}

} // namespace

RunResult run(const RunSettings& settings)
{
    return Scenario(settings).run();
}

} // namespace penstock::sim
