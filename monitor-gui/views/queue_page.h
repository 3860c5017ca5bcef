// SPDX-License-Identifier: GPL-3.0-or-later
// Page 2: what waits, per system and required features, and why; who shares the farm. With y, beside it, why the
// oldest step of the selected queue waits. GUI thread.
#pragma once

#include "monitor-gui/models/queues_model.h"
#include "monitor-gui/models/shares_model.h"
#include "monitor-gui/views/page.h"
#include "monitor-gui/views/reason_bars.h"
#include "monitor-gui/views/record_table.h"
#include "monitor-gui/views/tab_strip.h"
#include "monitor-gui/views/time_chart.h"
#include "monitor-gui/views/why_view.h"

#include <QStackedWidget>

namespace penstock::gui {

class QueuePage final : public Page {
    Q_OBJECT
public:
    QueuePage(LiveFarm& farm, const ThemeSource& theme, QWidget* parent = nullptr);

    void find() override;
    void why() override;
    bool openTab(const QString& name) override;
    void shown() override;

protected:
    void hideEvent(QHideEvent* event) override;

private:
    void buildLayout();
    void showTab(int tab);
    void showSummary();
    void showEmptySentences();
    void showCharts();
    void showWhy();
    [[nodiscard]] QueuePtr selectedQueue() const;

    LiveFarm& m_farm;
    QueuesModel m_model;
    SharesModel m_shares;
    RecordTable* m_table;
    RecordTable* m_shareTable;
    QStackedWidget* m_stack;
    Panel* m_panel;
    TabStrip* m_tabs;
    WhyView* m_why;
    Panel* m_whyPanel; // hidden until asked for
    TimeChart* m_waiting;
    ReasonBars* m_reasons;
    TimeChart* m_rates;
    std::uint64_t m_drawn = 0; // revision of the history
};

} // namespace penstock::gui
