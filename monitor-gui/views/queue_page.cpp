// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/queue_page.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/models/series.h"
#include "monitor-gui/replica/verdict.h"
#include "monitor-gui/views/paint.h"

#include <QSplitter>
#include <QVBoxLayout>

namespace penstock::gui {

QueuePage::QueuePage(LiveFarm& farm, const ThemeSource& theme, QWidget* parent)
    : Page(parent),
      m_farm(farm),
      m_model(farm),
      m_shares(farm),
      m_table(new RecordTable(m_model, theme, QStringLiteral("Queues"))),
      m_shareTable(new RecordTable(m_shares, theme, QStringLiteral("Shares"))),
      m_stack(new QStackedWidget),
      m_panel(new Panel(QStringLiteral("Queues"), m_stack, theme)),
      m_tabs(new TabStrip({QStringLiteral("Queues"), QStringLiteral("Shares")}, theme)),
      m_why(new WhyView(theme)),
      m_whyPanel(new Panel(QStringLiteral("Why is it not running?"), m_why, theme)),
      m_waiting(new TimeChart({QStringLiteral("Waiting, steps"),
                               {},
                               ChartKind::Stacked,
                               10,
                               0,
                               false,
                               {{QStringLiteral("ready"), Tone::Ready, Qt::DashLine},
                                {QStringLiteral("blocked"), Tone::Blocked, Qt::DotLine}}},
                              theme, this)),
      m_reasons(new ReasonBars(theme, this)),
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
    buildLayout();
    connect(&m_panel->filterField(QStringLiteral("Filter (Ctrl+K)")), &QLineEdit::textChanged, this,
            [this](const QString& text) {
                m_model.setFilter(text);
                m_shares.setFilter(text);
                showSummary();
            });
    connect(m_tabs, &TabStrip::chosenChanged, this, &QueuePage::showTab);
    connect(m_table->selectionModel(), &QItemSelectionModel::currentRowChanged, this, &QueuePage::showWhy);
    connect(&farm, &LiveFarm::refreshed, this, &QueuePage::showSummary);
    connect(&farm, &LiveFarm::refreshed, this, &QueuePage::showCharts);
    connect(&farm, &LiveFarm::refreshed, this, &QueuePage::showWhy);
    connect(&farm, &LiveFarm::secondPassed, this, &QueuePage::showWhy);
}

void QueuePage::buildLayout()
{
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(kSpace, kSpace, kSpace, kSpace);
    layout->setSpacing(kSpace);
    m_stack->addWidget(m_table);
    m_stack->addWidget(m_shareTable);
    m_panel->setCorner(m_tabs);
    auto* splitter = new QSplitter(Qt::Horizontal, this);
    splitter->setHandleWidth(kSpace);
    splitter->setChildrenCollapsible(false);
    splitter->addWidget(m_panel);
    splitter->addWidget(m_whyPanel);
    splitter->setSizes({740, 500});
    splitter->setStretchFactor(0, 1);
    m_whyPanel->hide();
    layout->addWidget(splitter, 3);
    auto* charts = new QHBoxLayout;
    charts->setSpacing(kSpace);
    charts->addWidget(m_reasons, 1);
    charts->addWidget(m_waiting, 1);
    charts->addWidget(m_rates, 1);
    layout->addLayout(charts, 2);
    m_table->setWidths({108, 70, 140, 56, 64, 68, 88, 74, 74, 170});
    m_table->sortByColumn(QueuesModel::Sentence, Qt::AscendingOrder);
    m_shareTable->setWidths({180, 74, 80, 190, 110, 80, 80});
    m_shareTable->sortByColumn(SharesModel::Used, Qt::DescendingOrder);
}

void QueuePage::find()
{
    m_panel->filterField({}).setFocus();
    m_panel->filterField({}).selectAll();
}

bool QueuePage::openTab(const QString& name)
{
    if (name == QStringLiteral("queues") || name == QStringLiteral("shares"))
        m_tabs->choose(name == QStringLiteral("shares") ? 1 : 0);
    else if (name == QStringLiteral("why") && m_whyPanel->isHidden())
        why();
    else
        return name == QStringLiteral("why");
    return true;
}

void QueuePage::showTab(int tab)
{
    m_stack->setCurrentIndex(tab);
    showSummary();
}

void QueuePage::why()
{
    m_whyPanel->setVisible(m_whyPanel->isHidden());
    showWhy();
}

QueuePtr QueuePage::selectedQueue() const
{
    return m_model.at(m_table->currentIndex().row());
}

void QueuePage::showWhy()
{
    if (!isVisible())
        return;
    if (m_whyPanel->isHidden()) {
        m_farm.askWhy(std::nullopt);
        return;
    }
    if (!m_table->currentIndex().isValid() && m_model.rowCount() > 0) {
        m_table->setCurrentIndex(m_model.index(0, 0)); // comes back here
        return;
    }
    const QueuePtr queue = selectedQueue();
    const bool told = queue && queue->oldestStep && queue->oldestJob;
    m_farm.askWhy(told ? std::optional(WhyTarget{*queue->oldestJob, queue->oldestStep}) : std::nullopt);
    WhyPage page = whyPageOf(m_farm.why(), m_farm.job(), m_farm.serverNow());
    if (!queue) {
        page.sentence = QStringLiteral("Select a queue to see why its oldest step waits.");
    } else if (!told) {
        page.sentence = queue->queued == 0 ? QStringLiteral("Nothing of this queue waits for a machine.")
                                           : QStringLiteral("The server does not name the oldest step of this queue.");
        page.facts << text(describeNeeds(*queue)) << text(verdictOf(*queue, m_farm.serverNow()).sentence);
        if (queue->queued > 0)
            page.foot = QStringLiteral("Open a job of it on page 4 and press y there.");
    } else {
        page.foot.prepend(QStringLiteral("The oldest of %1 steps that are ready. ").arg(formatCount(queue->queued)));
    }
    m_whyPanel->setTitle(told ? page.title : QStringLiteral("Why is it not running?"));
    m_why->show(std::move(page));
}

void QueuePage::hideEvent(QHideEvent*)
{
    m_farm.askWhy(std::nullopt);
}

void QueuePage::shown()
{
    m_drawn = 0;
    showSummary();
    showCharts();
    showWhy();
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
    const bool shares = m_tabs->chosen() == 1;
    m_panel->setTitle(shares ? QStringLiteral("Shares") : QStringLiteral("Queues"));
    if (shares)
        m_panel->setRemark(QStringLiteral("%1 groups share the farm").arg(m_shares.totalRows()));
    else
        m_panel->setRemark(QStringLiteral("%1 running, %2 ready, %3 blocked in %4 queues")
                               .arg(formatCount(totals.stepsRunning),
                                    formatCount(totals.stepsReady + totals.stepsDelayed),
                                    formatCount(totals.stepsBlocked))
                               .arg(m_model.totalRows()));
    m_reasons->show(totals, m_farm.farm().filled());
    showEmptySentences();
}

void QueuePage::showEmptySentences()
{
    const auto sentence = [this](int total, const QString& what, const QString& none) {
        if (!m_farm.farm().filled())
            return QStringLiteral("Waiting for the server.");
        return total > 0
                   ? QStringLiteral("0 of %1 %2 match. Clear the filter to see them.").arg(total).arg(what)
                   : none;
    };
    m_table->setEmptySentence(
        sentence(m_model.totalRows(), QStringLiteral("queues"),
                 QStringLiteral(
                     "Nothing is queued and nothing runs. Submit work with penstock run or penstock build.")));
    m_shareTable->setEmptySentence(sentence(m_shares.totalRows(), QStringLiteral("groups"),
                                            QStringLiteral("No group has work, or the server does not tell shares.")));
}

} // namespace penstock::gui
