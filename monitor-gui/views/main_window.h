// SPDX-License-Identifier: GPL-3.0-or-later
// The frame: rail of pages, connection chip, banner, pages, status bar, shortcuts. GUI thread; the farm and
// the theme outlive it.
#pragma once

#include "monitor-gui/models/live_farm.h"
#include "monitor-gui/views/connection_chip.h"
#include "monitor-gui/views/page.h"
#include "monitor-gui/views/stale_veil.h"
#include "monitor-gui/views/theme_source.h"

#include <array>
#include <QLabel>
#include <QMainWindow>
#include <QPushButton>
#include <QStackedWidget>

namespace penstock::gui {

class JobPage;
class MachinesPage;

class MainWindow final : public QMainWindow {
    Q_OBJECT
public:
    // server: how the server is called in the title, e.g. its address.
    MainWindow(LiveFarm& farm, ThemeSource& theme, const QString& server, QWidget* parent = nullptr);

    void openPage(PageId page);
    [[nodiscard]] PageId page() const;
    void openJob(JobId job);
    void openMachine(const QString& name);
    // A part of the page by its name: queues, shares, log, why.
    void openTab(const QString& name);

Q_SIGNALS:
    void pageOpened();

private:
    QWidget* buildTop();
    QWidget* buildRail();
    void buildPages();
    void buildShortcuts();
    void showState();
    void showStatus();
    void showHelp();
    void toggleTheme();
    void recolour();
    [[nodiscard]] QString bannerSentence(const Chip& chip) const;
    [[nodiscard]] QString pauseSentence() const;

    LiveFarm& m_farm;
    ThemeSource& m_theme;
    QString m_server;
    ConnectionChip* m_chip = nullptr;
    QLabel* m_place = nullptr;
    Banner* m_banner = nullptr;
    StaleVeil* m_veil = nullptr;
    QStackedWidget* m_stack = nullptr;
    std::array<QPushButton*, kPages> m_rail{};
    std::array<Page*, kPages> m_pages{};
    MachinesPage* m_machinesPage = nullptr;
    JobPage* m_jobPage = nullptr;
    QLabel* m_sequence = nullptr;
    QLabel* m_fresh = nullptr;
    QLabel* m_queued = nullptr;
    QLabel* m_database = nullptr;
};

} // namespace penstock::gui
