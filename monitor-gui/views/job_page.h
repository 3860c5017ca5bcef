// SPDX-License-Identifier: GPL-3.0-or-later
// Page 4: the jobs; of the selected one its steps; of the selected step its log, followed live, or why
// it does not run (y). GUI thread.
#pragma once

#include "monitor-gui/models/jobs_model.h"
#include "monitor-gui/models/steps_model.h"
#include "monitor-gui/views/log_view.h"
#include "monitor-gui/views/page.h"
#include "monitor-gui/views/record_table.h"
#include "monitor-gui/views/tab_strip.h"
#include "monitor-gui/views/why_view.h"

#include <QStackedWidget>

namespace penstock::gui {

class JobPage final : public Page {
    Q_OBJECT
public:
    JobPage(LiveFarm& farm, const ThemeSource& theme, QWidget* parent = nullptr);

    void find() override;
    void open(JobId job); // also one that is not listed
    void why() override;
    bool openTab(const QString& name) override;
    void shown() override;

protected:
    void hideEvent(QHideEvent* event) override;

private:
    void buildLayout();
    void showWhy();
    [[nodiscard]] bool whyOpen() const { return m_tabs->chosen() == 1; }
    [[nodiscard]] StepPtr selectedStep() const;
    void refresh();
    void showTexts();
    void chooseFirst();
    [[nodiscard]] QString logRemark() const;
    [[nodiscard]] QString emptyLogSentence() const;

    LiveFarm& m_farm;
    JobsModel m_jobs;
    StepsModel m_steps;
    RecordTable* m_jobTable;
    RecordTable* m_stepTable;
    LogView* m_log;
    WhyView* m_why;
    QStackedWidget* m_lower; // log, why
    TabStrip* m_tabs;
    Panel* m_jobPanel;
    Panel* m_stepPanel;
    Panel* m_logPanel;
    bool m_chosen = false; // a job was opened by somebody
    bool m_choosing = false;
    std::optional<Instant> m_firstChoice; // made without anybody asking; renewed for a moment
};

} // namespace penstock::gui
