// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/main_window.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/replica/freshness.h"
#include "monitor-gui/views/help_dialog.h"
#include "monitor-gui/views/job_page.h"
#include "monitor-gui/views/machines_page.h"
#include "monitor-gui/views/overview_page.h"
#include "monitor-gui/views/paint.h"
#include "monitor-gui/views/queue_page.h"

#include <algorithm>
#include <QHBoxLayout>
#include <QShortcut>
#include <QStatusBar>
#include <QVBoxLayout>

namespace penstock::gui {

namespace {

constexpr std::array kTitles = {"Overview", "Queue", "Machines", "Jobs"};
constexpr int kRailWidth = 116;
constexpr int kTopHeight = 46;

} // namespace

MainWindow::MainWindow(LiveFarm& farm, ThemeSource& theme, const QString& server, QWidget* parent)
    : QMainWindow(parent), m_farm(farm), m_theme(theme), m_server(server)
{
    setWindowTitle(QStringLiteral("Penstock, %1").arg(server));
    setWindowIcon(QIcon(QStringLiteral(":/icons/penstock.svg")));
    auto* centre = new QWidget(this);
    auto* rows = new QVBoxLayout(centre);
    rows->setContentsMargins(0, 0, 0, 0);
    rows->setSpacing(0);
    rows->addWidget(buildTop());
    m_banner = new Banner(theme, centre);
    rows->addWidget(m_banner);
    auto* columns = new QHBoxLayout;
    columns->setSpacing(0);
    columns->addWidget(buildRail());
    m_stack = new QStackedWidget(centre);
    columns->addWidget(m_stack, 1);
    rows->addLayout(columns, 1);
    setCentralWidget(centre);
    buildPages();
    m_veil = new StaleVeil(theme, *m_stack);
    for (QLabel** label : {&m_sequence, &m_fresh, &m_queued, &m_database}) {
        *label = new QLabel(this);
        statusBar()->addWidget(*label);
    }
    statusBar()->setSizeGripEnabled(false);
    buildShortcuts();
    connect(&farm, &LiveFarm::refreshed, this, &MainWindow::showState);
    connect(&farm, &LiveFarm::secondPassed, this, &MainWindow::showState);
    connect(&theme, &ThemeSource::changed, this, &MainWindow::recolour);
    recolour();
    openPage(PageId::Overview);
    showState();
}

QWidget* MainWindow::buildTop()
{
    auto* top = new QWidget(this);
    top->setFixedHeight(kTopHeight);
    auto* layout = new QHBoxLayout(top);
    layout->setContentsMargins(kSpace, 0, kSpace, 0);
    layout->setSpacing(kSpace);
    auto* mark = new QLabel(top);
    mark->setPixmap(QIcon(QStringLiteral(":/icons/penstock.svg")).pixmap(24, 24));
    auto* name = new QLabel(QStringLiteral("Penstock"), top);
    name->setFont(scaled(font(), 1.25, true));
    m_place = new QLabel(top);
    m_place->setTextInteractionFlags(Qt::TextSelectableByMouse);
    m_chip = new ConnectionChip(m_theme, top);
    connect(m_chip, &QAbstractButton::clicked, this, [this] { m_farm.reconnect(); });
    layout->addWidget(mark);
    layout->addWidget(name);
    layout->addWidget(m_place);
    layout->addStretch(1);
    layout->addWidget(m_chip);
    return top;
}

QWidget* MainWindow::buildRail()
{
    auto* rail = new QWidget(this);
    rail->setFixedWidth(kRailWidth);
    auto* layout = new QVBoxLayout(rail);
    layout->setContentsMargins(kSpace, kSpace, 0, kSpace);
    layout->setSpacing(4);
    for (std::size_t page = 0; page < kTitles.size(); ++page) {
        auto* button = new QPushButton(rail);
        const QString title = QString::fromLatin1(kTitles[page]);
        button->setText(QStringLiteral("%1  %2").arg(page + 1).arg(title));
        button->setAccessibleName(title);
        button->setToolTip(QStringLiteral("%1 (key %2)").arg(title).arg(page + 1));
        button->setCheckable(true);
        button->setAutoExclusive(true);
        button->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
        button->setFixedHeight(34);
        connect(button, &QPushButton::clicked, this, [this, page] { openPage(static_cast<PageId>(page)); });
        m_rail[page] = button;
        layout->addWidget(button);
    }
    layout->addStretch(1);
    return rail;
}

void MainWindow::buildPages()
{
    m_machinesPage = new MachinesPage(m_farm, m_theme, m_stack);
    m_jobPage = new JobPage(m_farm, m_theme, m_stack);
    m_pages = {new OverviewPage(m_farm, m_theme, m_stack), new QueuePage(m_farm, m_theme, m_stack),
               m_machinesPage, m_jobPage};
    for (Page* page : m_pages)
        m_stack->addWidget(page);
    connect(m_machinesPage, &MachinesPage::jobOpened, this, [this](quint64 job) { openJob(JobId(job)); });
}

void MainWindow::buildShortcuts()
{
    const auto on = [this](const QKeySequence& keys, auto action) {
        auto* shortcut = new QShortcut(keys, this);
        connect(shortcut, &QShortcut::activated, this, action);
    };
    for (int page = 0; page < kPages; ++page) {
        on(QKeySequence(Qt::Key_1 + page), [this, page] { openPage(static_cast<PageId>(page)); });
        on(QKeySequence(Qt::CTRL | static_cast<Qt::Key>(Qt::Key_1 + page)),
           [this, page] { openPage(static_cast<PageId>(page)); });
    }
    on(QKeySequence(Qt::Key_F1), [this] { showHelp(); });
    on(QKeySequence(Qt::Key_Question), [this] { showHelp(); });
    on(QKeySequence(Qt::Key_F5), [this] { m_farm.reconnect(); });
    on(QKeySequence(Qt::Key_T), [this] { toggleTheme(); });
    on(QKeySequence(Qt::Key_Y), [this] { m_pages[static_cast<std::size_t>(page())]->why(); });
    on(QKeySequence(Qt::CTRL | Qt::Key_K), [this] { m_pages[static_cast<std::size_t>(page())]->find(); });
    on(QKeySequence(Qt::CTRL | Qt::Key_F), [this] { m_pages[static_cast<std::size_t>(page())]->find(); });
    on(QKeySequence(Qt::Key_Escape), [this] {
        if (auto* field = qobject_cast<QLineEdit*>(focusWidget())) {
            field->clear();
            field->clearFocus();
        }
    });
    on(QKeySequence::Quit, [this] { close(); });
}

void MainWindow::openPage(PageId page)
{
    const auto place = static_cast<std::size_t>(page);
    m_rail[place]->setChecked(true);
    m_stack->setCurrentIndex(static_cast<int>(place));
    m_pages[place]->shown();
    if (m_veil != nullptr)
        m_veil->raise();
    Q_EMIT pageOpened();
}

PageId MainWindow::page() const
{
    return static_cast<PageId>(m_stack->currentIndex());
}

void MainWindow::openJob(JobId job)
{
    m_jobPage->open(job);
    openPage(PageId::Job);
}

void MainWindow::openMachine(const QString& name)
{
    m_machinesPage->select(name);
    openPage(PageId::Machines);
}

void MainWindow::openTab(const QString& name)
{
    m_pages[static_cast<std::size_t>(page())]->openTab(name);
}

void MainWindow::showState()
{
    const Chip chip = m_farm.chip();
    const LinkStatus& link = m_farm.link();
    QString detail = QStringLiteral("Server %1").arg(m_server);
    if (!link.serverVersion.empty())
        detail += QStringLiteral(", version %1").arg(text(link.serverVersion));
    if (link.roundTrip)
        detail += QStringLiteral(", answers in %1").arg(text(formatAge(*link.roundTrip)));
    if (!link.reason.empty())
        detail += QStringLiteral("\n") + text(link.reason);
    m_chip->show(chip, detail);
    m_place->setText(link.serverName.empty() ? m_server
                                             : QStringLiteral("%1, %2").arg(text(link.serverName), m_server));
    const bool outdated = isOutdated(chip.kind) && m_farm.farm().filled();
    m_banner->show(bannerSentence(chip));
    m_veil->setVisible(outdated);
    if (outdated)
        m_veil->raise();
    showStatus();
}

QString MainWindow::bannerSentence(const Chip& chip) const
{
    if (!isOutdated(chip.kind))
        return pauseSentence();
    const QString reason =
        m_farm.link().reason.empty() ? QString() : QStringLiteral(": ") + text(m_farm.link().reason);
    if (!m_farm.farm().filled()) {
        if (chip.kind == ChipKind::Connecting || chip.kind == ChipKind::Idle)
            return {};
        return QStringLiteral("No connection to %1 yet%2. %3.").arg(m_server, reason, text(chip.text));
    }
    const Duration age = m_farm.now().mono - *m_farm.farm().lastFarmMessage();
    return QStringLiteral("Not live%1. Shown as of %2 (%3 ago).")
        .arg(reason, formatClock(m_farm.farm().asOf()), text(formatAge(age)));
}

// Nothing starts by somebody's word: said on every page, as every page looks stuck then.
QString MainWindow::pauseSentence() const
{
    const std::optional<DispatchPause>& pause = m_farm.farm().totals().pause;
    if (!pause)
        return {};
    QString sentence = QStringLiteral("Dispatch is paused");
    if (!pause->who.empty())
        sentence += QStringLiteral(" by %1").arg(text(pause->who));
    if (pause->since)
        sentence += QStringLiteral(" since %1").arg(formatClock(*pause->since));
    if (!pause->note.empty())
        sentence += QStringLiteral(": %1").arg(text(pause->note));
    return sentence + QStringLiteral(". Nothing new starts; what runs goes on.");
}

void MainWindow::showStatus()
{
    const FarmReplica& farm = m_farm.farm();
    if (!farm.filled()) {
        m_sequence->setText(QStringLiteral("nothing received yet"));
        return;
    }
    const Duration age = m_farm.now().mono - *farm.lastFarmMessage();
    m_sequence->setText(
        QStringLiteral("change %1, %2 old").arg(formatCount(farm.number()), text(formatAge(age))));
    const WallTime now = m_farm.serverNow();
    const auto fresh = std::count_if(farm.machines().begin(), farm.machines().end(), [&](const auto& entry) {
        return freshnessOf(*entry.second, now, m_farm.link().machinePeriod) == Freshness::Fresh;
    });
    m_fresh->setText(
        QStringLiteral("%1 of %2 machines fresh")
            .arg(formatCount(static_cast<std::uint64_t>(fresh)), formatCount(farm.machines().size())));
    m_queued->setText(QStringLiteral("%1 queued")
                          .arg(formatCount(farm.totals().stepsReady + farm.totals().stepsBlocked +
                                           farm.totals().stepsDelayed)));
    const bool trouble = !farm.totals().databaseOk;
    m_database->setVisible(trouble);
    m_database->setText(QStringLiteral("Database unavailable: %1").arg(text(farm.totals().databaseError)));
}

void MainWindow::showHelp()
{
    HelpDialog* dialog = new HelpDialog(this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->open();
}

void MainWindow::toggleTheme()
{
    m_theme.choose(m_theme.theme().dark ? ThemeChoice::Light : ThemeChoice::Dark);
}

void MainWindow::recolour()
{
    const Theme& theme = m_theme.theme();
    const QString rail =
        QStringLiteral("QPushButton{text-align:left;padding:0 10px;border:0;border-radius:6px;color:%1}"
                       "QPushButton:hover{background:%2}"
                       "QPushButton:focus{border:1px solid %3}"
                       "QPushButton:checked{background:%4;color:%5;font-weight:bold}")
            .arg(theme.mutedInk.name(), theme.track.name(), theme.tone(Tone::Running).name(),
                 theme.selection.name(), theme.ink.name());
    for (QPushButton* button : m_rail)
        button->setStyleSheet(rail);
    // Fusion's bars and fields are drawn raised; these are flat, and narrow where nothing is to be clicked
    // often.
    setStyleSheet(
        QStringLiteral(
            "QScrollBar{background:transparent;border:0}"
            "QScrollBar:vertical{width:10px}QScrollBar:horizontal{height:10px}"
            "QScrollBar::handle{background:%1;border-radius:3px;margin:2px;min-height:24px;min-width:24px}"
            "QScrollBar::handle:hover{background:%2}"
            "QScrollBar::add-line,QScrollBar::sub-line{width:0;height:0}"
            "QScrollBar::add-page,QScrollBar::sub-page{background:transparent}"
            "QSplitter::handle{image:none}"
            "QLineEdit{border:1px solid %1;border-radius:4px;padding:2px 6px;background:%3;color:%4}"
            "QLineEdit:focus{border:1px solid %5}")
            .arg(theme.border.name(), theme.mutedInk.name(), theme.card.name(), theme.ink.name(),
                 theme.tone(Tone::Running).name()));
    QPalette muted = palette();
    muted.setColor(QPalette::WindowText, theme.mutedInk);
    for (QLabel* label : {m_place, m_sequence, m_fresh, m_queued})
        label->setPalette(muted);
    statusBar()->setStyleSheet(QStringLiteral("QStatusBar{border-top:1px solid %1} QStatusBar::item{border:0}"
                                              "QStatusBar QLabel{padding:2px 10px}")
                                   .arg(theme.border.name()));
    QPalette alarm = palette();
    alarm.setColor(QPalette::WindowText, theme.tone(Tone::Failed));
    m_database->setPalette(alarm);
    update();
}

} // namespace penstock::gui
