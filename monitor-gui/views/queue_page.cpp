// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/queue_page.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/models/series.h"
#include "monitor-gui/views/paint.h"

#include <QVBoxLayout>

namespace penstock::gui {

QueuePage::QueuePage(const LiveFarm& farm, const ThemeSource& theme, QWidget* parent)
    : Page(parent),
      m_farm(farm),
      m_model(farm),
      m_table(new RecordTable(m_model, theme, QStringLiteral("Queues"))),
      m_panel(new Panel(QStringLiteral("Queues"), m_table, theme, this)),
      m_waiting(new TimeChart({QStringLiteral("Waiting, steps"),
                               {},
                               ChartKind::Stacked,
                               10,
                               0,
                               false,
                               {{QStringLiteral("ready"), Tone::Ready, Qt::DashLine},
                                {QStringLiteral("blocked"), Tone::Blocked, Qt::DotLine}}},
                              theme, this)),
      m_rates(new TimeChart({QStringLiteral("Attempts per minute"),
                             {},
                             ChartKind::Lines,
                             5,
                             1,
                             false,
                             {{QStringLiteral("finished"), Tone::Succeeded, Qt::SolidLine},
                              {QStringLiteral("failed"), Tone::Failed, Qt::DashLine}}},
                            theme, this))
{
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(kSpace, kSpace, kSpace, kSpace);
    layout->setSpacing(kSpace);
    layout->addWidget(m_panel, 3);
    auto* charts = new QHBoxLayout;
    charts->setSpacing(kSpace);
    charts->addWidget(m_waiting);
    charts->addWidget(m_rates);
    layout->addLayout(charts, 2);
    m_table->setWidths({116, 84, 170, 62, 70, 70, 92, 76, 76});
    m_table->sortByColumn(QueuesModel::Sentence, Qt::AscendingOrder);
    connect(&m_panel->filterField(QStringLiteral("Filter queues (Ctrl+K)")), &QLineEdit::textChanged, this,
            [this](const QString& text) {
                m_model.setFilter(text);
                showSummary();
            });
    connect(&farm, &LiveFarm::refreshed, this, &QueuePage::showSummary);
    connect(&farm, &LiveFarm::refreshed, this, &QueuePage::showCharts);
}

void QueuePage::find()
{
    m_panel->filterField({}).setFocus();
    m_panel->filterField({}).selectAll();
}

void QueuePage::shown()
{
    m_drawn = 0;
    showSummary();
    showCharts();
}

void QueuePage::showCharts()
{
    if (!isVisible() || m_farm.history().revision() == m_drawn)
        return;
    m_drawn = m_farm.history().revision();
    const std::vector<FarmSample> samples = m_farm.history().since(std::chrono::minutes(15));
    const WallTime now = m_farm.farm().asOf();
    const QList<QPair<double, double>> gaps = gapsOf(samples, now);
    const QString collecting = QStringLiteral("Collecting: the chart begins with the second sample.");
    m_waiting->show({pointsOf(samples, now, [](const FarmSample& sample) { return sample.ready; }),
                     pointsOf(samples, now, [](const FarmSample& sample) { return sample.blocked; })},
                    gaps, 0, collecting);
    m_rates->show(
        {ratesOf(samples, now,
                 [](const FarmSample& sample) {
                     return static_cast<double>(sample.finishedOk + sample.finishedFailed);
                 }),
         ratesOf(samples, now,
                 [](const FarmSample& sample) { return static_cast<double>(sample.finishedFailed); })},
        gaps, 0, QStringLiteral("Counting: the chart begins after a minute."));
}

void QueuePage::showSummary()
{
    const FarmTotals& totals = m_farm.farm().totals();
    m_panel->setRemark(QStringLiteral("%1 running, %2 ready, %3 blocked in %4 queues")
                           .arg(formatCount(totals.stepsRunning),
                                formatCount(totals.stepsReady + totals.stepsDelayed),
                                formatCount(totals.stepsBlocked))
                           .arg(m_model.totalRows()));
    if (!m_farm.farm().filled())
        m_table->setEmptySentence(QStringLiteral("Waiting for the server."));
    else if (m_model.totalRows() > 0)
        m_table->setEmptySentence(
            QStringLiteral("0 of %1 queues match. Clear the filter to see them.").arg(m_model.totalRows()));
    else
        m_table->setEmptySentence(QStringLiteral(
            "Nothing is queued and nothing runs. Submit work with penstock run or penstock build."));
}

} // namespace penstock::gui
