// SPDX-License-Identifier: GPL-3.0-or-later
// Transport to a simulated farm in this process: answers the questions of a monitor with the same frames a
// server sends. The first connection tells the last quarter of an hour at once, with the times it would have
// had, so that charts are full from the start. One thread with a Qt event loop.
#pragma once

#include "monitor-gui/demo/demo_farm.h"
#include "monitor-gui/stream/transport.h"

#include <functional>
#include <optional>
#include <QObject>
#include <QTimer>

namespace penstock::gui {

enum class DemoFault : std::uint8_t {
    None,
    Frozen, // the server falls silent, the connection stands
    Killed, // the server ends and does not come back
    Paused, // no fault: an operator has paused the farm
};

struct DemoSettings {
    std::uint32_t machines = 12;
    std::uint32_t seed = 7;
    DemoFault fault = DemoFault::None;
    Duration faultAfter = std::chrono::seconds(2);
};

class DemoTransport final : public QObject, public Transport {
    Q_OBJECT
public:
    DemoTransport(DemoSettings settings, WallTime now);
    ~DemoTransport() override;

    void open(TransportSink& sink) override;
    void send(const std::string& message) override;
    void abort() override;

private:
    void answer(const std::string& message);
    void watchFarm(const monitor::WatchFarm& watch);
    void watchJob(const monitor::WatchJob& watch);
    void watchLog(const monitor::WatchLog& watch);
    void explain(const monitor::ExplainRequest& request);
    void tick();
    void tell(monitor::FeedMessage message);
    void tellDelta();
    void tellJob(bool all);
    void tellLog();
    void fault();

    DemoSettings m_settings;
    DemoFarm m_farm;
    QTimer m_ticker;
    QTimer m_faultTimer;
    TransportSink* m_sink = nullptr; // while open
    std::uint64_t m_generation = 0;
    std::uint64_t m_number = 0;
    std::uint64_t m_farmWatch = 0;
    std::uint64_t m_jobWatch = 0;
    std::uint64_t m_logWatch = 0;
    std::uint64_t m_job = 0;
    std::uint64_t m_logAttempt = 0;
    std::uint64_t m_logSecond = 0; // of the attempt, told so far
    std::uint64_t m_logOffset = 0;
    bool m_toldPast = false;
    bool m_faulty = false;
};

} // namespace penstock::gui
