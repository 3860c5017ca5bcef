// SPDX-License-Identifier: GPL-3.0-or-later
// How machines and reasons look.
#include "monitor-gui/models/format.h"
#include "monitor-gui/replica/freshness.h"
#include "monitor-gui/replica/link_status.h"

#include <cmath>

namespace penstock::gui {

namespace {

MachineLook quarantineLook(const MachineRecord& machine, WallTime serverNow)
{
    if (machine.health.state == HealthState::Probing)
        return {Tone::Cancelled, QStringLiteral("on probe"), 1};
    QString word = QStringLiteral("quarantined");
    if (machine.health.until && *machine.health.until > serverNow) {
        const auto left = std::chrono::ceil<std::chrono::seconds>(*machine.health.until - serverNow);
        word += left < std::chrono::seconds(100)
                    ? QStringLiteral(" %1 s").arg(left.count())
                    : QStringLiteral(" %1 min").arg(std::chrono::ceil<std::chrono::minutes>(left).count());
    }
    return {Tone::Cancelled, word, 0};
}

MachineLook readyLook(const MachineRecord& machine)
{
    if (pastGate(machine) || (machine.room && !machine.room->crossed.empty()))
        return {Tone::Held, QStringLiteral("gated"), 2};
    if (machine.slots > 0 && machine.used >= machine.slots)
        return {Tone::Running, QStringLiteral("full"), 6};
    if (machine.room && !machine.room->open)
        return {Tone::Ready, QStringLiteral("closed"), 3};
    if (machine.health.state == HealthState::Parole)
        return {Tone::Succeeded, QStringLiteral("on parole"), 7};
    return {Tone::Succeeded, QStringLiteral("ready"), 8};
}

bool endsWith(const std::string& name, std::string_view end)
{
    return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
}

} // namespace

MachineLook lookOf(const MachineRecord& machine, WallTime serverNow)
{
    switch (machine.state) {
    case MachineState::Quarantined: return quarantineLook(machine, serverNow);
    case MachineState::Ready: return readyLook(machine);
    case MachineState::Disconnected: return {toneOf(machine.state), wordOf(machine.state), 4};
    case MachineState::Draining: return {toneOf(machine.state), wordOf(machine.state), 5};
    case MachineState::Unknown: break;
    }
    return {toneOf(machine.state), wordOf(machine.state), 9};
}

Tone toneOf(ReasonKind kind)
{
    switch (kind) {
    case ReasonKind::Inputs: return Tone::Blocked;
    case ReasonKind::Machines: return Tone::Failed;
    case ReasonKind::Pressure: return Tone::Held;
    case ReasonKind::Busy: return Tone::Running;
    case ReasonKind::Order: return Tone::Ready;
    case ReasonKind::Operator: return Tone::Cancelled;
    case ReasonKind::Farm: return Tone::Lost;
    case ReasonKind::Unknown: break;
    }
    return Tone::Plain;
}

QString formatNumber(const std::string& name, double value)
{
    if (endsWith(name, "bytes") && value >= 0)
        return formatBytes(static_cast<std::uint64_t>(std::min(value, 1e18)));
    if (endsWith(name, "seconds") && value >= 0)
        return text(formatAge(std::chrono::microseconds(static_cast<std::int64_t>(std::min(value, 1e11) * 1e6))));
    if (endsWith(name, "percent"))
        return formatDecimal(value) + QStringLiteral("\u202F%");
    if (value >= 0 && value < 1e15 && std::floor(value) == value)
        return formatCount(static_cast<std::uint64_t>(value));
    return formatDecimal(value);
}

} // namespace penstock::gui
