// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/job_page.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/replica/freshness.h"
#include "monitor-gui/views/paint.h"

#include <QSplitter>
#include <QVBoxLayout>

namespace penstock::gui {

JobPage::JobPage(LiveFarm& farm, const ThemeSource& theme, QWidget* parent)
    : Page(parent),
      m_farm(farm),
      m_jobs(farm),
      m_steps(farm),
      m_jobTable(new RecordTable(m_jobs, theme, QStringLiteral("Jobs"))),
      m_stepTable(new RecordTable(m_steps, theme, QStringLiteral("Steps of the job"))),
      m_log(new LogView(farm.log(), theme)),
      m_why(new WhyView(theme)),
      m_lower(new QStackedWidget),
      m_tabs(new TabStrip({QStringLiteral("Log"), QStringLiteral("Why")}, theme)),
      m_jobPanel(new Panel(QStringLiteral("Jobs"), m_jobTable, theme)),
      m_stepPanel(new Panel(QStringLiteral("Steps"), m_stepTable, theme)),
      m_logPanel(new Panel(QStringLiteral("Log"), m_lower, theme))
{
    buildLayout();
    connect(&m_jobPanel->filterField(QStringLiteral("Filter jobs (Ctrl+K)")), &QLineEdit::textChanged, this,
            [this](const QString& text) {
                m_jobs.setFilter(text);
                showTexts();
            });
    connect(m_jobTable->selectionModel(), &QItemSelectionModel::currentRowChanged, this,
            [this](const QModelIndex& current) {
                if (const JobPtr job = m_jobs.at(current.row())) {
                    m_chosen = m_chosen || !m_choosing;
                    m_farm.selectJob(job->id);
                }
            });
    connect(m_stepTable->selectionModel(), &QItemSelectionModel::currentRowChanged, this,
            [this](const QModelIndex& current) {
                const StepPtr step = m_steps.at(current.row());
                m_farm.selectStep(step ? std::optional(step->id) : std::nullopt);
                showWhy();
            });
    connect(m_tabs, &TabStrip::chosenChanged, this, [this](int tab) {
        m_lower->setCurrentIndex(tab);
        showTexts();
        showWhy();
    });
    connect(m_log, &LogView::followingChanged, this, &JobPage::showTexts);
    connect(&farm, &LiveFarm::refreshed, this, &JobPage::refresh);
    connect(&farm, &LiveFarm::secondPassed, this, &JobPage::showTexts);
    connect(&farm, &LiveFarm::secondPassed, this, &JobPage::showWhy);
}

void JobPage::buildLayout()
{
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(kSpace, kSpace, kSpace, kSpace);
    auto* right = new QSplitter(Qt::Vertical);
    m_lower->addWidget(m_log);
    m_lower->addWidget(m_why);
    m_logPanel->setCorner(m_tabs);
    right->addWidget(m_stepPanel);
    right->addWidget(m_logPanel);
    right->setSizes({420, 380});
    auto* splitter = new QSplitter(Qt::Horizontal, this);
    splitter->addWidget(m_jobPanel);
    splitter->addWidget(right);
    splitter->setStretchFactor(1, 1);
    splitter->setSizes({424, 900});
    for (QSplitter* each : {splitter, right}) {
        each->setHandleWidth(kSpace);
        each->setChildrenCollapsible(false);
    }
    layout->addWidget(splitter);
    m_jobTable->setWidths({76, 126, 104});
    m_jobTable->sortByColumn(JobsModel::Number, Qt::DescendingOrder);
    m_stepTable->setWidths({180, 116, 90, 52, 88, 88});
    m_stepTable->sortByColumn(StepsModel::State, Qt::AscendingOrder);
}

void JobPage::find()
{
    m_jobPanel->filterField({}).setFocus();
    m_jobPanel->filterField({}).selectAll();
}

void JobPage::open(JobId job)
{
    m_chosen = true;
    m_farm.selectJob(job);
    const QModelIndex row = m_jobs.indexOf(job);
    if (row.isValid())
        m_jobTable->setCurrentIndex(row);
    else
        m_jobTable->setCurrentIndex({});
}

void JobPage::shown()
{
    refresh();
}

void JobPage::refresh()
{
    if (!isVisible())
        return;
    if (!m_chosen)
        chooseFirst();
    else if (!m_jobTable->currentIndex().isValid() && m_farm.job().watched())
        m_jobTable->setCurrentIndex(m_jobs.indexOf(*m_farm.job().watched())); // opened before it was listed
    m_log->refresh();
    showTexts();
    showWhy();
}

void JobPage::why()
{
    m_tabs->choose(whyOpen() ? 0 : 1);
}

bool JobPage::openTab(const QString& name)
{
    if (name != QStringLiteral("log") && name != QStringLiteral("why"))
        return false;
    m_tabs->choose(name == QStringLiteral("why") ? 1 : 0);
    return true;
}

void JobPage::hideEvent(QHideEvent*)
{
    m_farm.askWhy(std::nullopt);
}

StepPtr JobPage::selectedStep() const
{
    return m_steps.at(m_stepTable->currentIndex().row());
}

void JobPage::showWhy()
{
    if (!isVisible())
        return;
    const std::optional<JobId> job = m_farm.job().watched();
    const StepPtr step = selectedStep();
    const bool over = step && (step->state == StepState::Succeeded || step->state == StepState::Failed ||
                               step->state == StepState::Cancelled);
    if (!whyOpen() || !job || over)
        m_farm.askWhy(std::nullopt);
    else
        m_farm.askWhy(WhyTarget{*job, step ? std::optional(step->id) : std::nullopt});
    if (!whyOpen())
        return;
    WhyPage page = whyPageOf(m_farm.why(), m_farm.job(), m_farm.serverNow());
    if (over)
        page.sentence = QStringLiteral("%1 is over: %2.").arg(text(step->name), wordOf(*step));
    else if (!job)
        page.sentence = QStringLiteral("Select a job, then a step, to see why it does not run.");
    m_logPanel->setTitle(page.title);
    m_logPanel->setRemark({});
    m_why->show(std::move(page));
}

// Something to look at from the start: the newest job that runs, else the newest. What it meets at first may be the
// past told quickly, so the choice is renewed until the farm has come to rest.
void JobPage::chooseFirst()
{
    constexpr Duration kRest = std::chrono::seconds(3);
    if (m_firstChoice && m_farm.now().mono - *m_firstChoice > kRest)
        return;
    // Who asks why wants something that waits.
    const auto wanted = [this](const JobPtr& job) {
        return job && (whyOpen() ? job->state == JobState::Queued : job->stepsRunning > 0);
    };
    if (wanted(m_jobs.at(m_jobTable->currentIndex().row())))
        return;
    int best = m_jobs.rowCount() > 0 ? 0 : -1;
    for (int row = 0; row < m_jobs.rowCount(); ++row) {
        if (wanted(m_jobs.at(row))) {
            best = row;
            break;
        }
    }
    if (best < 0)
        return;
    m_firstChoice = m_firstChoice.value_or(m_farm.now().mono);
    m_choosing = true;
    m_jobTable->setCurrentIndex(m_jobs.index(best, 0));
    m_choosing = false;
}

void JobPage::showTexts()
{
    const int total = m_jobs.totalRows();
    m_jobTable->setEmptySentence(
        !m_farm.farm().filled() ? QStringLiteral("Waiting for the server.")
        : total > 0 ? QStringLiteral("0 of %1 jobs match. Clear the filter to see them.").arg(total)
                    : QStringLiteral("No jobs yet. Submit one with penstock run or penstock build."));
    const JobReplica& replica = m_farm.job();
    const JobPtr& job = replica.job();
    m_stepTable->setEmptySentence(!replica.refusal().empty() ? text(replica.refusal())
                                  : !replica.watched() ? QStringLiteral("Select a job to see its steps.")
                                                       : QStringLiteral("Asking the server for the steps."));
    if (job) {
        m_stepPanel->setTitle(QStringLiteral("Job %1  %2").arg(job->id.value()).arg(text(job->name)));
        m_stepPanel->setRemark(
            QStringLiteral("%1 for %2, %3 of %4 steps done%5")
                .arg(wordOf(job->state), job->user.empty() ? text(job->space) : text(job->user))
                .arg(job->stepsDone)
                .arg(job->stepsTotal)
                .arg(job->stepsFailed > 0 ? QStringLiteral(", %1 failed").arg(job->stepsFailed) : QString()));
    } else {
        m_stepPanel->setTitle(QStringLiteral("Steps"));
        m_stepPanel->setRemark({});
    }
    if (whyOpen())
        return;
    const StepPtr step = m_farm.loggedStep();
    m_logPanel->setTitle(step ? QStringLiteral("Log of %1").arg(text(step->name)) : QStringLiteral("Log"));
    m_logPanel->setRemark(logRemark());
    m_log->setEmptySentence(emptyLogSentence());
}

QString JobPage::logRemark() const
{
    const StepPtr step = m_farm.loggedStep();
    if (!step)
        return {};
    const LogBuffer& log = m_farm.log();
    const QString where =
        step->machine.empty() ? QString() : QStringLiteral("on %1, ").arg(text(step->machine));
    const QString lines =
        QStringLiteral("%1 lines, %2")
            .arg(formatCount(log.firstLine() + log.lines().size()), formatBytes(log.size()));
    const QString dropped = log.firstLine() > 0
                                ? QStringLiteral(", the first %1 let go").arg(formatCount(log.firstLine()))
                                : QString();
    const QString state = log.ended()          ? QStringLiteral(", complete")
                          : m_log->following() ? QStringLiteral(", following")
                                               : QStringLiteral(", paused");
    return where + lines + dropped + state;
}

QString JobPage::emptyLogSentence() const
{
    if (!m_farm.logRefusal().empty())
        return text(m_farm.logRefusal());
    if (m_farm.loggedStep())
        return m_farm.log().ended() ? QStringLiteral("It printed nothing.")
                                    : QStringLiteral("It has printed nothing yet.");
    return m_farm.job().job() ? QStringLiteral("No step of this job has started, so there is no log yet.")
                              : QStringLiteral("Select a job, then a step, to follow its log.");
}

} // namespace penstock::gui
