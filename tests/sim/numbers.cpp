// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/numbers.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace penstock::sim {
namespace {

using std::chrono::seconds;

constexpr Duration kLongestOfTenants = seconds(25);
constexpr Duration kSettled = seconds(20); // everybody has connected and reported

} // namespace

void Numbers::observe()
{
    const Instant now = m_site.world.now().mono;
    if (!m_site.shares.empty() && m_isBacklogged)
        measureShares(now);
    if (now - m_begin < kSettled)
        return;
    if (m_site.plan.isStrict)
        watchIdle(now);
    if ((m_site.isHealing || m_site.plan.isCalm) && now - m_lookedAt > seconds(10)) {
        m_lookedAt = now;
        watchForgotten(now);
    }
}

// Nothing holds a step back here but a slot, so what is free is taken at once.
void Numbers::watchIdle(Instant now)
{
    const StartRules& rules = m_site.ledger.rules();
    if (m_idleSince) {
        m_longestIdle = std::max(m_longestIdle, now - *m_idleSince);
        if (now - *m_idleSince > kIdleBound)
            m_site.world.violate(fmt::format("a slot has stood idle for {} ms while a step that fits waits",
                                             (now - *m_idleSince).count() / 1000));
    }
    if (std::exchange(m_revision, rules.revision()) == rules.revision())
        return;
    const bool isIdle = std::ranges::any_of(rules.machines(), [&rules](const auto& machine) {
        return std::ranges::any_of(rules.ready(), [&](const auto& kind) {
            return rules.fits(rules.steps().at(*kind.second.begin()), machine.second);
        });
    });
    if (!isIdle)
        m_idleSince.reset();
    else if (!m_idleSince)
        m_idleSince = now;
}

// The disk does not keep up, and nothing may start.
bool Numbers::isBehind() const
{
    return !m_site.server.isUp() ||
           m_site.server.core().totals().unconfirmedBatches >= m_site.plan.options.maxUnconfirmed;
}

bool Numbers::isThere(const StartRules::Machine& machine) const
{
    return std::ranges::any_of(m_site.builders, [&machine](const auto& builder) {
        return builder->identity() == machine.row.identity && !builder->isRetired();
    });
}

// A machine that has nothing to do, and a step that it could take.
void Numbers::watchForgotten(Instant now)
{
    const StartRules& rules = m_site.ledger.rules();
    for (const auto& [id, machine] : rules.machines()) {
        const auto couldRun = [&rules, &machine = machine, id = id](StepId step) {
            const StartRules::Step& waiting = rules.steps().at(step);
            const auto& avoid = waiting.progress.avoid;
            return !rules.isHeld(waiting) && rules.gatesAllow(waiting) && rules.fits(waiting, machine) &&
                   std::find(avoid.begin(), avoid.end(), id) == avoid.end();
        };
        const bool isForgotten = machine.live.empty() && isThere(machine) && !rules.isPaused() && !isBehind() &&
                                 std::ranges::any_of(rules.ready(), [&](const auto& kind) {
                                     return std::ranges::any_of(kind.second, couldRun);
                                 });
        if (!isForgotten) {
            m_forgottenSince.erase(id);
            continue;
        }
        const Instant since = m_forgottenSince.try_emplace(id, now).first->second;
        if (now - since > kForgottenBound)
            m_site.world.violate(
                fmt::format("{} has had nothing to do for {} s while steps that it could run wait",
                            machine.row.name, (now - since).count() / 1'000'000));
    }
}

void Numbers::measureShares(Instant now)
{
    const StartRules& rules = m_site.ledger.rules();
    if (m_measuredAt != Instant{})
        for (const auto& [group, running] : m_running)
            m_used[group] += (now - m_measuredAt) * static_cast<std::int64_t>(running);
    const bool isCounting = m_measuredAt != Instant{};
    m_measuredAt = now;
    m_running.clear();
    for (const auto& [id, live] : rules.live())
        ++m_running[rules.jobs().at(*rules.jobsOf(rules.steps().at(live.step)).begin()).share];
    if (now - m_sampledAt < seconds(1))
        return;
    if (isCounting)
        m_sharesMeasured += now - m_sampledAt;
    m_sampledAt = now;
    std::map<std::string, std::uint64_t> waiting;
    for (const auto& [kind, steps] : rules.ready())
        for (const StepId step : steps)
            ++waiting[rules.jobs().at(*rules.jobsOf(rules.steps().at(step)).begin()).share];
    const bool all =
        std::ranges::all_of(m_site.shares, [&](const auto& share) { return waiting[share.first] > 0; });
    if (all)
        return;
    if (now - m_begin > kSettled) {
        m_isBacklogged = false; // from now on there is nothing to compare
        return;
    }
    m_used.clear();
    m_measuredAt = {};
    m_sharesMeasured = Duration(0);
}

void Numbers::checkEnd()
{
    const Duration window = m_site.plan.options.policy.shareWindow;
    if (m_sharesMeasured < 3 * window)
        return;
    m_site.world.reach("shares.measured");
    Duration total{0};
    for (const auto& [group, used] : m_used)
        total += used;
    std::int64_t shares = 0;
    for (const auto& [group, amount] : m_site.shares)
        shares += amount;
    for (const auto& [group, amount] : m_site.shares) {
        const Duration entitled = total / shares * amount;
        // Slots are whole and what is held counts as much as what was used, so that a group may hold half a
        // slot more or less than its part all the time; and nothing that runs is taken back: each slot may be
        // a step late.
        const auto held = total / shares * amount / m_sharesMeasured + 1;
        const Duration bound = m_sharesMeasured / 2 + held * kLongestOfTenants;
        const Duration error(std::abs((m_used[group] - entitled).count()));
        m_worstShareError = std::max(m_worstShareError,
                                     static_cast<double>(error.count()) / static_cast<double>(total.count()));
        if (error > bound)
            m_site.world.violate(fmt::format("{} used {} slot-seconds where {} are its share, over {} s",
                                             group, m_used[group].count() / 1'000'000,
                                             entitled.count() / 1'000'000,
                                             m_sharesMeasured.count() / 1'000'000));
    }
}

} // namespace penstock::sim
