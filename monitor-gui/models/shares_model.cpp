// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/models/shares_model.h"

#include "monitor-gui/models/format.h"

#include <array>

namespace penstock::gui {

namespace {

constexpr std::array kHeadings{
    Heading{"Group", "Who competes for the farm: a jobset, a namespace"},
    Heading{"Shares", "Its weight against the other groups", true},
    Heading{"Target", "Its part of the farm by shares, of the groups that have work", true},
    Heading{"Used", "Its part of the machine time used lately; the mark is its target"},
    Heading{"Time", "Machine time it has used lately", true},
    Heading{"Running", "Steps of it that run", true},
    Heading{"Queued", "Steps of it that could start", true},
    Heading{"How it stands", "Whether it goes first or last now"}};
static_assert(kHeadings.size() == SharesModel::kColumns);

constexpr double kNear = 2; // percent points: as good as on target

double ahead(const ShareRecord& share)
{
    return share.usedPercent - share.targetPercent;
}

Tone toneOf(const ShareRecord& share)
{
    if (share.running + share.queued == 0)
        return Tone::Lost;
    return ahead(share) > kNear ? Tone::Ready : ahead(share) < -kNear ? Tone::Running : Tone::Succeeded;
}

QString sentenceOf(const ShareRecord& share)
{
    if (share.running + share.queued == 0)
        return QStringLiteral("No work now; what it used still counts.");
    if (ahead(share) > kNear)
        return share.queued > 0 ? QStringLiteral("Above its target: others go first.")
                                : QStringLiteral("Above its target; nothing of it waits.");
    if (ahead(share) < -kNear)
        return share.queued > 0 ? QStringLiteral("Below its target: goes first where it can run.")
                                : QStringLiteral("Below its target; nothing of it waits.");
    return QStringLiteral("On its target.");
}

} // namespace

SharesModel::SharesModel(const LiveFarm& farm, QObject* parent) : RecordModel(kHeadings, parent), m_farm(farm)
{
    connect(&farm, &LiveFarm::refreshed, this, &SharesModel::refresh);
}

void SharesModel::refresh()
{
    std::vector<SharePtr> all;
    all.reserve(m_farm.farm().shares().size());
    for (const auto& [group, share] : m_farm.farm().shares())
        all.push_back(share);
    assign(std::move(all));
}

QVariant SharesModel::cell(const ShareRecord& share, int column, int role) const
{
    switch (role) {
    case Qt::ToolTipRole: return display(share, column);
    case kToneRole: return column == Sentence ? QVariant(static_cast<int>(toneOf(share))) : QVariant();
    case kBarRole:
        if (column == Used)
            return QVariant::fromValue(CellBar{std::min(1.0, share.usedPercent / 100),
                                               std::min(1.0, share.targetPercent / 100), false, 0, Tone::Running});
        return {};
    default: return {};
    }
}

QString SharesModel::display(const ShareRecord& share, int column) const
{
    switch (column) {
    case Group: return share.group.empty() ? dash() : text(share.group);
    case Shares: return formatCount(share.shares);
    case Target: return formatDecimal(share.targetPercent) + QStringLiteral(" %");
    case Used: return formatDecimal(share.usedPercent) + QStringLiteral(" %");
    case Time: return formatAgeText(share.used);
    case Running: return formatCount(share.running);
    case Queued: return formatCount(share.queued);
    default: return sentenceOf(share);
    }
}

bool SharesModel::matches(const ShareRecord& record, const QString& filter) const
{
    return text(record.group).contains(filter, Qt::CaseInsensitive) ||
           sentenceOf(record).contains(filter, Qt::CaseInsensitive);
}

bool SharesModel::lessThan(const ShareRecord& left, const ShareRecord& right, int column) const
{
    switch (column) {
    case Shares: return left.shares < right.shares;
    case Target: return left.targetPercent < right.targetPercent;
    case Used: return left.usedPercent < right.usedPercent;
    case Time: return left.used < right.used;
    case Running: return left.running < right.running;
    case Queued: return left.queued < right.queued;
    case Sentence: return ahead(left) < ahead(right);
    default: return left.group < right.group;
    }
}

} // namespace penstock::gui
