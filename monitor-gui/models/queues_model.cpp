// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/models/queues_model.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/replica/freshness.h"
#include "monitor-gui/replica/verdict.h"

#include <array>

namespace penstock::gui {

namespace {

constexpr std::array kHeadings{
    Heading{"System", "System the steps need"},
    Heading{"Features", "Features a machine must have"},
    Heading{"Running, ready, blocked", "All steps of the queue in proportion to the fullest queue"},
    Heading{"Ready", "Steps that could start now", true},
    Heading{"Running", "Steps that run", true},
    Heading{"Blocked", "Steps that wait for other steps", true},
    Heading{"Oldest wait", "How long the oldest ready step has waited", true},
    Heading{"Machines", "Connected machines that can run these steps", true},
    Heading{"Free slots", "Slots free on those machines", true},
    Heading{"Share groups", "Groups with most ready steps here"},
    Heading{"How it stands", "One sentence on why it stands so"}};
static_assert(kHeadings.size() == QueuesModel::kColumns);

Tone toneOf(VerdictKind kind)
{
    switch (kind) {
    case VerdictKind::Quiet: return Tone::Succeeded;
    case VerdictKind::Moving: return Tone::Running;
    case VerdictKind::Busy: return Tone::Ready;
    case VerdictKind::Starving: return Tone::Failed;
    }
    return Tone::Plain;
}

QString groupsText(const QueueRecord& queue, const QString& between)
{
    QStringList groups;
    for (const GroupCount& group : queue.groups)
        groups << QStringLiteral("%1 %2").arg(text(group.group), formatCount(group.steps));
    return groups.isEmpty() ? dash() : groups.join(between);
}

std::uint64_t largestGroup(const QueueRecord& queue)
{
    return queue.groups.empty() ? 0 : queue.groups.front().steps;
}

} // namespace

QueuesModel::QueuesModel(const LiveFarm& farm, QObject* parent) : RecordModel(kHeadings, parent), m_farm(farm)
{
    connect(&farm, &LiveFarm::refreshed, this, &QueuesModel::refresh);
    connect(&farm, &LiveFarm::secondPassed, this, &QueuesModel::refresh);
}

void QueuesModel::refresh()
{
    std::vector<QueuePtr> all;
    double largest = 1;
    for (const auto& [key, queue] : m_farm.farm().queues()) {
        all.push_back(queue);
        largest = std::max(largest, static_cast<double>(queue->queued + queue->running + queue->blocked));
    }
    m_largest = largest;
    assign(std::move(all));
}

QVariant QueuesModel::cell(const QueueRecord& queue, int column, int role) const
{
    switch (role) {
    case Qt::ToolTipRole: return toolTip(queue, column);
    case kToneRole:
        if (column == Sentence)
            return static_cast<int>(toneOf(verdictOf(queue, m_farm.serverNow()).kind));
        return {};
    case kPartsRole:
        if (column == Share)
            return QVariant::fromValue(CellParts{static_cast<double>(queue.running) / m_largest,
                                                 static_cast<double>(queue.queued) / m_largest,
                                                 static_cast<double>(queue.blocked) / m_largest});
        return {};
    default: return {};
    }
}

QString QueuesModel::display(const QueueRecord& queue, int column) const
{
    switch (column) {
    case System: return queue.system.empty() ? QStringLiteral("any") : text(queue.system);
    case Features: return joined(queue.features);
    case Share: return {};
    case Queued: return formatCount(queue.queued);
    case Running: return formatCount(queue.running);
    case Blocked: return formatCount(queue.blocked);
    case Oldest: return formatAgeText(ageOf(queue.oldestReady, m_farm.serverNow()));
    case Machines: return formatCount(queue.eligibleMachines);
    case FreeSlots: return formatCount(queue.freeSlots);
    case Groups: return groupsText(queue, QStringLiteral(", "));
    default: return text(verdictOf(queue, m_farm.serverNow()).sentence);
    }
}

QString QueuesModel::toolTip(const QueueRecord& queue, int column) const
{
    if (column == Groups && !queue.groups.empty())
        return QStringLiteral("Ready steps by share group:\n%1").arg(groupsText(queue, QStringLiteral("\n")));
    if (column == Queued && queue.delayed > 0)
        return QStringLiteral("%1, of which %2 wait for their retry time")
            .arg(formatCount(queue.queued), formatCount(queue.delayed));
    return display(queue, column);
}

bool QueuesModel::matches(const QueueRecord& record, const QString& filter) const
{
    return text(describeNeeds(record)).contains(filter, Qt::CaseInsensitive) ||
           display(record, Sentence).contains(filter, Qt::CaseInsensitive) ||
           display(record, Groups).contains(filter, Qt::CaseInsensitive);
}

bool QueuesModel::lessThan(const QueueRecord& left, const QueueRecord& right, int column) const
{
    const auto wait = [](const QueueRecord& record) {
        return record.oldestReady.value_or(WallTime::fromMicros(INT64_MAX));
    };
    switch (column) {
    case Features: return left.features < right.features;
    case Share:
        return left.queued + left.running + left.blocked < right.queued + right.running + right.blocked;
    case Queued: return left.queued < right.queued;
    case Running: return left.running < right.running;
    case Blocked: return left.blocked < right.blocked;
    case Oldest: return wait(left) > wait(right);
    case Machines: return left.eligibleMachines < right.eligibleMachines;
    case FreeSlots: return left.freeSlots < right.freeSlots;
    case Groups: return largestGroup(left) < largestGroup(right);
    case Sentence:
        return verdictOf(left, m_farm.serverNow()).kind > verdictOf(right, m_farm.serverNow()).kind;
    default: return left.key < right.key;
    }
}

} // namespace penstock::gui
