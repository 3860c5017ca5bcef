// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/overview_page.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/models/series.h"
#include "monitor-gui/replica/freshness.h"
#include "monitor-gui/views/paint.h"

#include <algorithm>
#include <QGridLayout>
#include <QTimer>

namespace penstock::gui {

namespace {

constexpr double kMinutes = 15;

Metric spreadMetric(Spread FarmSample::*spread, double Spread::*value)
{
    return [=](const FarmSample& sample) { return (sample.*spread).*value; };
}

} // namespace

OverviewPage::OverviewPage(const LiveFarm& farm, const ThemeSource& theme, QWidget* parent)
    : Page(parent), m_farm(farm)
{
    auto* grid = new QGridLayout(this);
    grid->setContentsMargins(kSpace, kSpace, kSpace, kSpace);
    grid->setSpacing(kSpace);
    buildTiles(theme);
    buildCharts(theme);
    connect(&farm, &LiveFarm::refreshed, this, &OverviewPage::showTiles);
    connect(&farm, &LiveFarm::refreshed, this, &OverviewPage::tick);
    connect(&farm, &LiveFarm::secondPassed, this, &OverviewPage::showTiles);
    connect(&farm, &LiveFarm::secondPassed, this, &OverviewPage::tick);
}

void OverviewPage::buildTiles(const ThemeSource& theme)
{
    m_tileGrid = new QGridLayout;
    m_tileGrid->setSpacing(kSpace);
    const auto add = [&](const QString& title, Tone tone) {
        auto* tile = new Tile(title, tone, theme, this);
        m_tiles.push_back(tile);
        return tile;
    };
    m_running = add(QStringLiteral("Running / slots"), Tone::Running);
    m_ready = add(QStringLiteral("Ready"), Tone::Ready);
    m_blocked = add(QStringLiteral("Blocked"), Tone::Blocked);
    m_wait = add(QStringLiteral("Oldest wait"), Tone::Plain);
    m_finished = add(QStringLiteral("Finished / min"), Tone::Succeeded);
    m_failed = add(QStringLiteral("Failed / min"), Tone::Failed);
    m_machines = add(QStringLiteral("Machines"), Tone::Plain);
    m_dispatch = add(QStringLiteral("Dispatch"), Tone::Plain);
    m_quarantined = add(QStringLiteral("Quarantined"), Tone::Cancelled);
    m_quarantined->hide();
    arrangeTiles();
    static_cast<QGridLayout*>(layout())->addLayout(m_tileGrid, 0, 0, 1, 3);
}

// As many to a row as keep their words readable, and rows of equal length.
void OverviewPage::arrangeTiles()
{
    constexpr int kReadable = 122;
    QList<Tile*> shown;
    for (Tile* tile : m_tiles) {
        if (!tile->isHidden())
            shown.push_back(tile);
    }
    const auto count = static_cast<int>(shown.size());
    const int fit = std::clamp(width() / kReadable, 3, count);
    const int rows = (count + fit - 1) / fit;
    const int columns = (count + rows - 1) / rows;
    if (columns == m_tileColumns && m_tileGrid->count() == count)
        return;
    m_tileColumns = columns;
    while (m_tileGrid->count() > 0)
        delete m_tileGrid->takeAt(0);
    for (int place = 0; place < count; ++place) {
        shown.at(place)->setCompact(rows > 1);
        m_tileGrid->addWidget(shown.at(place), place / columns, place % columns);
    }
}

void OverviewPage::resizeEvent(QResizeEvent* event)
{
    Page::resizeEvent(event);
    arrangeTiles();
}

void OverviewPage::buildCharts(const ThemeSource& theme)
{
    auto* grid = static_cast<QGridLayout*>(layout());
    const auto spread = [](const QString& title, const QString& unit, double lowestTop) {
        return ChartLook{title,
                         unit,
                         ChartKind::Lines,
                         lowestTop,
                         1,
                         true,
                         {{QStringLiteral("median"), Tone::Running, Qt::SolidLine},
                          {QStringLiteral("highest"), Tone::Ready, Qt::DashLine}}};
    };
    const QString percent = QStringLiteral(" %");
    m_charts[0] = new TimeChart({QStringLiteral("Queue depth, steps"),
                                 {},
                                 ChartKind::Stacked,
                                 10,
                                 0,
                                 false,
                                 {{QStringLiteral("running"), Tone::Running, Qt::SolidLine},
                                  {QStringLiteral("ready"), Tone::Ready, Qt::DashLine},
                                  {QStringLiteral("blocked"), Tone::Blocked, Qt::DotLine}}},
                                theme, this);
    m_charts[1] = new TimeChart(spread(QStringLiteral("Load per core"), {}, 1), theme, this);
    m_charts[2] = new TimeChart(spread(QStringLiteral("CPU pressure (some)"), percent, 10), theme, this);
    m_charts[3] = new TimeChart(spread(QStringLiteral("Memory pressure (full)"), percent, 10), theme, this);
    m_charts[4] = new TimeChart(spread(QStringLiteral("IO pressure (full)"), percent, 10), theme, this);
    grid->addWidget(m_charts[0], 1, 0, 1, 2);
    grid->addWidget(m_charts[1], 1, 2);
    for (int column = 0; column < 3; ++column) {
        grid->addWidget(m_charts[static_cast<std::size_t>(column) + 2], 2, column);
        grid->setColumnStretch(column, 1);
    }
    grid->setRowStretch(1, 4);
    grid->setRowStretch(2, 3);
    for (TimeChart* chart : m_charts)
        chart->setMinutes(kMinutes);
}

void OverviewPage::find()
{
    m_charts[0]->setFocus();
}

void OverviewPage::shown()
{
    m_drawn = 0;
    showTiles();
    tick();
}

void OverviewPage::showTiles()
{
    if (!isVisible() || !m_farm.farm().filled())
        return;
    const FarmTotals& totals = m_farm.farm().totals();
    const bool outdated = isOutdated(m_farm.chip().kind);
    const auto percent = totals.slotsTotal == 0 ? 0 : totals.slotsUsed * 100 / totals.slotsTotal;
    m_running->show(
        QStringLiteral("%1 / %2").arg(formatCount(totals.stepsRunning), formatCount(totals.slotsTotal)),
        QStringLiteral("%1 % of slots in use").arg(percent), outdated);
    m_ready->show(formatCount(totals.stepsReady),
                  totals.stepsDelayed > 0
                      ? QStringLiteral("and %1 to retry later").arg(formatCount(totals.stepsDelayed))
                      : QStringLiteral("could start now"),
                  outdated);
    m_blocked->show(formatCount(totals.stepsBlocked), QStringLiteral("wait for other steps"), outdated);
    showWait(outdated);
    const std::optional<Throughput> rate = m_farm.history().throughput();
    const QString counting = QStringLiteral("counting for 10 s");
    m_finished->show(rate ? formatDecimal(rate->finishedPerMinute, rate->finishedPerMinute < 10 ? 1 : 0)
                          : dash(),
                     rate ? QStringLiteral("%1 since server start")
                                .arg(formatCount(totals.finishedOk + totals.finishedFailed))
                          : counting,
                     outdated);
    m_failed->show(rate ? formatDecimal(rate->failedPerMinute) : dash(),
                   rate ? QStringLiteral("%1 since server start").arg(formatCount(totals.finishedFailed))
                        : counting,
                   outdated);
    showMachines(outdated);
    showHeldBack(outdated);
}

void OverviewPage::showMachines(bool outdated)
{
    const FarmTotals& totals = m_farm.farm().totals();
    const auto held = std::count_if(m_farm.farm().machines().begin(), m_farm.farm().machines().end(),
                                    [](const auto& entry) { return pastGate(*entry.second); });
    m_machines->show(QStringLiteral("%1 / %2").arg(formatCount(totals.machinesConnected),
                                                   formatCount(totals.machinesTotal)),
                     held > 0 ? QStringLiteral("%1 held by a gate").arg(held) : QStringLiteral("connected"),
                     outdated);
}

// What an operator has stopped, and what has stopped itself.
void OverviewPage::showHeldBack(bool outdated)
{
    const FarmTotals& totals = m_farm.farm().totals();
    if (totals.pause) {
        QString by = totals.pause->who.empty() ? QString() : QStringLiteral("by %1").arg(text(totals.pause->who));
        if (!totals.pause->note.empty())
            by += (by.isEmpty() ? QString() : QStringLiteral(": ")) + text(totals.pause->note);
        m_dispatch->setTone(Tone::Cancelled);
        m_dispatch->show(QStringLiteral("paused"), by, outdated);
    } else {
        m_dispatch->setTone(Tone::Plain);
        m_dispatch->show(QStringLiteral("open"), QStringLiteral("work is handed out"), outdated);
    }
    QStringList names;
    for (const auto& [id, machine] : m_farm.farm().machines()) {
        if (machine->state == MachineState::Quarantined)
            names << text(machine->name);
    }
    if (m_quarantined->isHidden() == (totals.machinesQuarantined > 0)) {
        m_quarantined->setVisible(totals.machinesQuarantined > 0);
        arrangeTiles();
    }
    m_quarantined->show(formatCount(totals.machinesQuarantined), names.join(QStringLiteral(", ")), outdated);
}

void OverviewPage::showWait(bool outdated)
{
    std::optional<WallTime> oldest;
    QString where;
    for (const auto& [key, queue] : m_farm.farm().queues()) {
        if (queue->oldestReady && (!oldest || *queue->oldestReady < *oldest)) {
            oldest = queue->oldestReady;
            where = text(key);
        }
    }
    m_wait->show(oldest ? formatAgeText(ageOf(oldest, m_farm.serverNow())) : QStringLiteral("none"),
                 oldest ? QStringLiteral("for %1").arg(where) : QStringLiteral("nothing waits"), outdated);
}

void OverviewPage::tick()
{
    if (!isVisible() || m_farm.history().revision() == m_drawn)
        return;
    m_drawn = m_farm.history().revision();
    m_samples = m_farm.history().since(std::chrono::minutes(static_cast<int>(kMinutes)));
    showSparks(m_samples);
    // One chart a turn of the event loop, so that no frame pays for all.
    for (std::size_t chart = 0; chart < kCharts; ++chart)
        QTimer::singleShot(0, this, [this, chart] { showChart(chart); });
}

void OverviewPage::showSparks(const std::vector<FarmSample>& samples)
{
    const WallTime now = m_farm.farm().asOf();
    m_running->setSpark(pointsOf(samples, now, [](const FarmSample& sample) { return sample.running; }));
    m_ready->setSpark(pointsOf(samples, now, [](const FarmSample& sample) { return sample.ready; }));
    m_blocked->setSpark(pointsOf(samples, now, [](const FarmSample& sample) { return sample.blocked; }));
    m_machines->setSpark(
        pointsOf(samples, now, [](const FarmSample& sample) { return sample.machinesConnected; }));
    m_finished->setSpark(ratesOf(samples, now, [](const FarmSample& sample) {
        return static_cast<double>(sample.finishedOk + sample.finishedFailed);
    }));
    m_failed->setSpark(ratesOf(
        samples, now, [](const FarmSample& sample) { return static_cast<double>(sample.finishedFailed); }));
}

void OverviewPage::showChart(std::size_t chart)
{
    const WallTime now = m_farm.farm().asOf();
    const QList<QPair<double, double>> gaps = gapsOf(m_samples, now);
    const QString collecting = QStringLiteral("Collecting: the chart begins with the second sample.");
    if (chart == 0) {
        m_charts[0]->show({pointsOf(m_samples, now, [](const FarmSample& sample) { return sample.running; }),
                           pointsOf(m_samples, now, [](const FarmSample& sample) { return sample.ready; }),
                           pointsOf(m_samples, now, [](const FarmSample& sample) { return sample.blocked; })},
                          gaps, 0, collecting);
        return;
    }
    static constexpr std::array kSpreads = {&FarmSample::load, &FarmSample::cpuSome, &FarmSample::memoryFull,
                                            &FarmSample::ioFull};
    Spread FarmSample::*spread = kSpreads[chart - 1];
    const bool pressure = chart > 1;
    if (m_samples.empty() || (pressure && !m_samples.back().hasPressure)) {
        m_charts[chart]->show({}, gaps, 0,
                              m_samples.empty() ? collecting
                                                : QStringLiteral("No machine reports pressure (PSI)."));
        return;
    }
    m_charts[chart]->show({pointsOf(m_samples, now, spreadMetric(spread, &Spread::median)),
                           pointsOf(m_samples, now, spreadMetric(spread, &Spread::highest))},
                          gaps, (m_samples.back().*spread).gate, collecting);
}

} // namespace penstock::gui
