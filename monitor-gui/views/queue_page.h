// SPDX-License-Identifier: GPL-3.0-or-later
// Page 2: what waits, per system and required features, and why. GUI thread.
#pragma once

#include "monitor-gui/models/queues_model.h"
#include "monitor-gui/views/page.h"
#include "monitor-gui/views/record_table.h"
#include "monitor-gui/views/time_chart.h"

namespace penstock::gui {

class QueuePage final : public Page {
    Q_OBJECT
public:
    QueuePage(const LiveFarm& farm, const ThemeSource& theme, QWidget* parent = nullptr);

    void find() override;
    void shown() override;

private:
    void showSummary();
    void showCharts();

    const LiveFarm& m_farm;
    QueuesModel m_model;
    RecordTable* m_table;
    Panel* m_panel;
    TimeChart* m_waiting;
    TimeChart* m_rates;
    std::uint64_t m_drawn = 0; // revision of the history
};

} // namespace penstock::gui
