// SPDX-License-Identifier: GPL-3.0-or-later
// Builds and wires penstock-monitor: stream thread or simulated farm, live farm, theme, window; takes the
// screenshot. GUI thread; made after QApplication and gone before it.
#pragma once

#include "monitor-gui/app/options.h"
#include "monitor-gui/models/live_farm.h"
#include "monitor-gui/stream/stream_thread.h"
#include "monitor-gui/views/main_window.h"
#include "shared/qt/qt_loop.h"

#include <memory>
#include <QByteArray>
#include <QObject>

namespace penstock::gui {

class MonitorApp final : public QObject, private FarmRemote {
    Q_OBJECT
public:
    // Errors: what is wrong with the token file.
    [[nodiscard]] static Result<std::unique_ptr<MonitorApp>> create(Options options);
    ~MonitorApp() override;

    void show();

private:
    MonitorApp(Options options, QByteArray token);

    // FarmRemote
    void reconnect() override;
    void resynchronise() override;
    void watchJob(std::optional<JobId> job) override;
    void watchLog(std::optional<AttemptId> attempt) override;
    void explain(const WhyTarget& target) override;

    [[nodiscard]] bool mayGoThere(const QUrl& server);
    void connectFarm();
    void takeScreenshot();
    void restore();
    void remember();

    Options m_options;
    QByteArray m_token;
    SystemClock m_clock;
    qt::QtLoop m_loop;
    ThemeSource m_theme;
    LiveFarm m_farm;
    MainWindow m_window;
    std::unique_ptr<StreamThread> m_stream; // last: gone first
};

} // namespace penstock::gui
