// SPDX-License-Identifier: GPL-3.0-or-later
// Page 1: the farm at a glance. Tiles, queue depth, load and pressure over the last quarter of an hour. GUI
// thread.
#pragma once

#include "monitor-gui/views/page.h"
#include "monitor-gui/views/tile.h"
#include "monitor-gui/views/time_chart.h"

#include <array>
#include <QGridLayout>
#include <QList>

namespace penstock::gui {

class OverviewPage final : public Page {
    Q_OBJECT
public:
    OverviewPage(const LiveFarm& farm, const ThemeSource& theme, QWidget* parent = nullptr);

    void find() override;
    void shown() override;

protected:
    void resizeEvent(QResizeEvent* event) override;

private:
    void arrangeTiles();
    void buildTiles(const ThemeSource& theme);
    void buildCharts(const ThemeSource& theme);
    void showTiles();
    void showSparks(const std::vector<FarmSample>& samples);
    void tick();
    void showChart(std::size_t chart);
    void showWait(bool outdated);
    void showMachines(bool outdated);
    void showHeldBack(bool outdated);

    const LiveFarm& m_farm;
    Tile* m_running;
    Tile* m_ready;
    Tile* m_blocked;
    Tile* m_wait;
    Tile* m_finished;
    Tile* m_failed;
    Tile* m_machines;
    Tile* m_dispatch;
    Tile* m_quarantined;
    QGridLayout* m_tileGrid;
    QList<Tile*> m_tiles;
    int m_tileColumns = 0;
    static constexpr std::size_t kCharts = 5;
    std::array<TimeChart*, kCharts> m_charts{};
    std::vector<FarmSample> m_samples;
    std::uint64_t m_drawn = 0; // revision of the history
};

} // namespace penstock::gui
