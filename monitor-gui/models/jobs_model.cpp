// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/models/jobs_model.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/replica/freshness.h"

#include <array>

namespace penstock::gui {

namespace {

constexpr std::array kHeadings{
    Heading{"Job", "State and number"},
    Heading{"Name", "What was asked for"},
    Heading{"Steps", "Finished steps of all steps"},
    Heading{"Time", "How long it has waited or run, or took", true}};
static_assert(kHeadings.size() == JobsModel::kColumns);

} // namespace

JobsModel::JobsModel(const LiveFarm& farm, QObject* parent) : RecordModel(kHeadings, parent), m_farm(farm)
{
    connect(&farm, &LiveFarm::refreshed, this, &JobsModel::refresh);
    connect(&farm, &LiveFarm::secondPassed, this, &JobsModel::refresh);
}

void JobsModel::refresh()
{
    std::vector<JobPtr> all;
    all.reserve(m_farm.farm().jobs().size());
    for (const auto& [id, job] : m_farm.farm().jobs())
        all.push_back(job);
    assign(std::move(all));
}

QVariant JobsModel::cell(const JobRecord& job, int column, int role) const
{
    switch (role) {
    case Qt::ToolTipRole:
        return QStringLiteral("job %1, %2, %3, of %4 in %5, priority %6%7")
            .arg(job.id.value())
            .arg(text(job.name), wordOf(job.state), text(job.user), text(job.space))
            .arg(job.priority)
            .arg(job.error.empty() ? QString() : QStringLiteral("\n") + text(job.error));
    case kToneRole:
        return column == Number ? QVariant(static_cast<int>(toneOf(job.state))) : QVariant();
    case kBarRole:
        if (column == Steps && job.stepsTotal > 0)
            return QVariant::fromValue(CellBar{double(job.stepsDone + job.stepsFailed) / job.stepsTotal, 0,
                                               false, 0,
                                               job.stepsFailed > 0 ? Tone::Failed : Tone::Running});
        return {};
    case kIdRole: return QVariant::fromValue(static_cast<quint64>(job.id.value()));
    default: return {};
    }
}

QString JobsModel::display(const JobRecord& job, int column) const
{
    switch (column) {
    case Number: return QString::number(job.id.value());
    case Name: return text(job.name);
    case Steps: return QStringLiteral("%1 / %2").arg(job.stepsDone + job.stepsFailed).arg(job.stepsTotal);
    default: break;
    }
    const std::optional<WallTime> begin = job.started ? job.started : job.created;
    return formatAgeText(ageOf(begin, job.finished.value_or(m_farm.serverNow())));
}

bool JobsModel::matches(const JobRecord& record, const QString& filter) const
{
    const auto has = [&](const QString& value) { return value.contains(filter, Qt::CaseInsensitive); };
    return has(QString::number(record.id.value())) || has(text(record.name)) || has(text(record.user)) ||
           has(text(record.space)) || has(wordOf(record.state));
}

bool JobsModel::lessThan(const JobRecord& left, const JobRecord& right, int column) const
{
    const auto share = [](const JobRecord& job) {
        return job.stepsTotal == 0 ? 0.0 : double(job.stepsDone + job.stepsFailed) / job.stepsTotal;
    };
    const auto age = [this](const JobRecord& job) {
        return ageOf(job.started ? job.started : job.created, job.finished.value_or(m_farm.serverNow()));
    };
    switch (column) {
    case Name: return left.name < right.name;
    case Steps: return share(left) < share(right);
    case Age: return age(left) < age(right);
    default: return left.id < right.id;
    }
}

} // namespace penstock::gui
