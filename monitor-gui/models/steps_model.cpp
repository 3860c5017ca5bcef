// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/models/steps_model.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/replica/freshness.h"

#include <array>

namespace penstock::gui {

namespace {

constexpr std::array kHeadings{
    Heading{"Step", "What it makes; a ring marks what was asked for"},
    Heading{"State", "Phase of a running step, result of a finished one"},
    Heading{"Machine", "Machine of the newest attempt"},
    Heading{"Tries", "Attempts so far", true},
    Heading{"Time", "How long it has run or took", true},
    Heading{"Waited", "How long it has been or was ready without a slot", true},
    Heading{"Remark", "Why it waits, or how it ended"}};
static_assert(kHeadings.size() == StepsModel::kColumns);

// What a person looks for first: running, ready, blocked, failed, then the finished.
int rankOf(StepState state)
{
    switch (state) {
    case StepState::Running: return 0;
    case StepState::Failed: return 1;
    case StepState::Ready: return 2;
    case StepState::Delayed: return 3;
    case StepState::Blocked: return 4;
    case StepState::Succeeded: return 5;
    case StepState::Cancelled: return 6;
    case StepState::Unknown: break;
    }
    return 7;
}

} // namespace

StepsModel::StepsModel(const LiveFarm& farm, QObject* parent) : RecordModel(kHeadings, parent), m_farm(farm)
{
    connect(&farm, &LiveFarm::refreshed, this, &StepsModel::refresh);
    connect(&farm, &LiveFarm::secondPassed, this, &StepsModel::refresh);
}

void StepsModel::refresh()
{
    std::vector<StepPtr> all;
    all.reserve(m_farm.job().steps().size());
    for (const auto& [id, step] : m_farm.job().steps())
        all.push_back(step);
    assign(std::move(all));
}

QVariant StepsModel::cell(const StepRecord& step, int column, int role) const
{
    switch (role) {
    case Qt::ToolTipRole:
        return column == Name && !step.drvPath.empty() ? text(step.drvPath) : display(step, column);
    case kToneRole:
        return column == Name ? QVariant(static_cast<int>(toneOf(step.state))) : QVariant();
    case kIdRole: return QVariant::fromValue(static_cast<quint64>(step.id.value()));
    default: return {};
    }
}

QString StepsModel::display(const StepRecord& step, int column) const
{
    switch (column) {
    case Name: return step.requested ? text(step.name) + QStringLiteral("  \u25CB") : text(step.name);
    case State: return wordOf(step);
    case Machine: return step.machine.empty() ? dash() : text(step.machine);
    case Tries: return step.attempts == 0 ? dash() : QString::number(step.attempts);
    case Time: return formatAgeText(runTime(step));
    case Waited: return formatAgeText(waitTime(step));
    default: return reason(step);
    }
}

QString StepsModel::reason(const StepRecord& step) const
{
    const auto& steps = m_farm.job().steps();
    if (step.failedDependency) {
        const auto failed = steps.find(*step.failedDependency);
        return QStringLiteral("because %1 failed")
            .arg(failed == steps.end() ? QStringLiteral("step %1").arg(step.failedDependency->value())
                                       : text(failed->second->name));
    }
    if (!step.error.empty())
        return text(step.error);
    if (step.state == StepState::Blocked) {
        QStringList waiting;
        for (const StepId id : step.dependsOn) {
            const auto found = steps.find(id);
            if (found != steps.end() && found->second->state != StepState::Succeeded)
                waiting.push_back(text(found->second->name));
        }
        return waiting.isEmpty() ? QStringLiteral("waits for other steps")
                                 : QStringLiteral("waits for %1").arg(waiting.join(QStringLiteral(", ")));
    }
    if (step.state == StepState::Ready)
        return QStringLiteral("waits for a slot");
    if (step.state == StepState::Delayed)
        return QStringLiteral("waits for its retry time");
    if (step.signal != 0)
        return QStringLiteral("signal %1").arg(step.signal);
    return step.exitCode != 0 ? QStringLiteral("exit code %1").arg(step.exitCode) : QString();
}

std::optional<Duration> StepsModel::runTime(const StepRecord& step) const
{
    return ageOf(step.started, step.finished.value_or(m_farm.serverNow()));
}

std::optional<Duration> StepsModel::waitTime(const StepRecord& step) const
{
    const WallTime until = step.started ? *step.started : step.finished.value_or(m_farm.serverNow());
    return ageOf(step.ready, until);
}

bool StepsModel::matches(const StepRecord& record, const QString& filter) const
{
    const auto has = [&](const QString& value) { return value.contains(filter, Qt::CaseInsensitive); };
    return has(text(record.name)) || has(wordOf(record)) || has(text(record.machine));
}

bool StepsModel::lessThan(const StepRecord& left, const StepRecord& right, int column) const
{
    switch (column) {
    case Name: return left.name < right.name;
    case Machine: return left.machine < right.machine;
    case Tries: return left.attempts < right.attempts;
    case Time: return runTime(left) < runTime(right);
    case Waited: return waitTime(left) < waitTime(right);
    default: return rankOf(left.state) < rankOf(right.state);
    }
}

} // namespace penstock::gui
