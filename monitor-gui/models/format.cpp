// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/models/format.h"

#include "monitor-gui/replica/link_status.h"

#include <array>
#include <QDateTime>
#include <QLocale>

namespace penstock::gui {

QString text(const std::string& utf8)
{
    return QString::fromStdString(utf8);
}

QString formatCount(std::uint64_t value)
{
    // The C locale leaves the separators out unless told otherwise.
    static const QLocale locale = [] {
        QLocale grouped = QLocale::c();
        grouped.setNumberOptions(QLocale::DefaultNumberOptions);
        return grouped;
    }();
    return locale.toString(static_cast<qulonglong>(value));
}

QString formatBytes(std::uint64_t bytes)
{
    static constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < kUnits.size()) {
        value /= 1024;
        ++unit;
    }
    const int digits = unit == 0 || value >= 100 ? 0 : 1;
    return QString::number(value, 'f', digits) + QChar(0x202F) + QLatin1String(kUnits[unit]);
}

QString formatDecimal(double value, int digits)
{
    return QString::number(value, 'f', digits);
}

QString formatAgeText(std::optional<Duration> age)
{
    return age ? text(formatAge(*age)) : dash();
}

QString formatClock(WallTime at)
{
    return QDateTime::fromMSecsSinceEpoch(at.micros() / 1000).toString(QStringLiteral("HH:mm:ss"));
}

QString joined(const std::vector<std::string>& parts)
{
    QStringList list;
    for (const std::string& part : parts)
        list.push_back(text(part));
    return list.isEmpty() ? dash() : list.join(QStringLiteral(", "));
}

QString dash()
{
    return QStringLiteral("\u2014");
}

Tone toneOf(MachineState state)
{
    switch (state) {
    case MachineState::Ready: return Tone::Succeeded;
    case MachineState::Draining: return Tone::Ready;
    case MachineState::Quarantined: return Tone::Cancelled;
    case MachineState::Disconnected: return Tone::Lost;
    case MachineState::Unknown: break;
    }
    return Tone::Blocked;
}

Tone toneOf(JobState state)
{
    switch (state) {
    case JobState::Queued: return Tone::Ready;
    case JobState::Running: return Tone::Running;
    case JobState::Succeeded: return Tone::Succeeded;
    case JobState::Failed: return Tone::Failed;
    case JobState::Cancelled: return Tone::Cancelled;
    case JobState::Unknown: break;
    }
    return Tone::Blocked;
}

Tone toneOf(StepState state)
{
    switch (state) {
    case StepState::Blocked: return Tone::Blocked;
    case StepState::Ready:
    case StepState::Delayed: return Tone::Ready;
    case StepState::Running: return Tone::Running;
    case StepState::Succeeded: return Tone::Succeeded;
    case StepState::Failed: return Tone::Failed;
    case StepState::Cancelled: return Tone::Cancelled;
    case StepState::Unknown: break;
    }
    return Tone::Blocked;
}

QString wordOf(MachineState state)
{
    switch (state) {
    case MachineState::Ready: return QStringLiteral("ready");
    case MachineState::Draining: return QStringLiteral("draining");
    case MachineState::Quarantined: return QStringLiteral("quarantined");
    case MachineState::Disconnected: return QStringLiteral("disconnected");
    case MachineState::Unknown: break;
    }
    return QStringLiteral("unknown");
}

QString wordOf(JobState state)
{
    switch (state) {
    case JobState::Queued: return QStringLiteral("queued");
    case JobState::Running: return QStringLiteral("running");
    case JobState::Succeeded: return QStringLiteral("succeeded");
    case JobState::Failed: return QStringLiteral("failed");
    case JobState::Cancelled: return QStringLiteral("cancelled");
    case JobState::Unknown: break;
    }
    return QStringLiteral("unknown");
}

QString wordOf(const StepRecord& step)
{
    switch (step.state) {
    case StepState::Blocked: return QStringLiteral("blocked");
    case StepState::Ready: return QStringLiteral("ready");
    case StepState::Delayed: return QStringLiteral("retry later");
    case StepState::Running: return step.phase.empty() ? QStringLiteral("running") : text(step.phase);
    case StepState::Succeeded:
    case StepState::Failed:
    case StepState::Cancelled: {
        QString word = text(step.result);
        word.replace(QLatin1Char('_'), QLatin1Char(' '));
        return word.isEmpty() ? QStringLiteral("ended") : word;
    }
    case StepState::Unknown: break;
    }
    return QStringLiteral("unknown");
}

} // namespace penstock::gui
