// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/health.h"

#include <array>
#include <cstddef>
#include <limits>

namespace penstock::work {
namespace {

// Indexed by the enumerator's value.
constexpr std::array<std::string_view, 4> kHealthStates{"healthy", "quarantined", "probing", "parole"};

void increase(std::uint32_t& count)
{
    if (count < std::numeric_limits<std::uint32_t>::max())
        ++count;
}

// Back-off spreads by a step's id; a machine's health knows none, and quarantines need no spread: machines do not
// compete for the moment at which theirs ends.
const StepId kNoSpread{1};

struct Transition {
    MachineHealth& health;
    const HealthPolicy& policy;
    Now now;

    void operator()(const MachineFailed& event) const
    {
        if (health.state == HealthState::Quarantined)
            return; // of what began before: the sentence is passed
        health.reason = event.reason;
        if (health.state == HealthState::Healthy && event.sameStep && health.failuresInRow > 0)
            return; // one bad step must not take a machine out of the farm
        increase(health.failuresInRow);
        if (policy.failures == 0)
            health.state = HealthState::Healthy; // switched off while this machine was on its way back
        else if (health.state != HealthState::Healthy || health.failuresInRow >= policy.failures)
            quarantine();
    }
    void operator()(const MachineDidWell& event) const
    {
        switch (health.state) {
        case HealthState::Quarantined: return;
        case HealthState::Probing:
            if (event.isProbe)
                health.state = HealthState::Parole;
            return;
        case HealthState::Healthy:
        case HealthState::Parole: health = MachineHealth{}; return;
        }
    }
    void operator()(const QuarantineOver&) const
    {
        if (health.state != HealthState::Quarantined)
            return;
        health.state = HealthState::Probing;
        health.until.reset();
    }
    void operator()(const Trusted&) const { health = MachineHealth{}; }

    void quarantine() const
    {
        health.state = HealthState::Quarantined;
        increase(health.quarantines);
        health.until = now.wall + backOff(policy.backOff, kNoSpread, health.quarantines);
    }
};

} // namespace

MachineHealth next(const MachineHealth& health, const HealthEvent& event, const HealthPolicy& policy, Now now)
{
    MachineHealth moved = health;
    std::visit(Transition{moved, policy, now}, event);
    return moved;
}

std::string_view toString(HealthState state)
{
    return kHealthStates[static_cast<std::size_t>(state)];
}

std::optional<HealthState> parseHealthState(std::string_view word)
{
    for (std::size_t i = 0; i < kHealthStates.size(); ++i)
        if (kHealthStates[i] == word)
            return static_cast<HealthState>(i);
    return std::nullopt;
}

} // namespace penstock::work
