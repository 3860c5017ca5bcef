// SPDX-License-Identifier: GPL-3.0-or-later
// The monitor's end of the stream: says hello, watches the farm, one job and one log, notices a silent server
// by its own watchdog (QWebSocket never does), comes back with growing pauses and resumes where it was. One
// thread with a Qt event loop; it owns its transport. What arrives leaves in batches: the next batch is sent
// only after taken(), so a slow window costs at most kMaxHeldEvents, and above that the farm is asked for
// anew. It never fails: what goes wrong is told in LinkStatus.
#pragma once

#include "monitor-gui/replica/feed_event.h"
#include "monitor-gui/replica/link_status.h"
#include "monitor-gui/replica/numbering.h"
#include "monitor-gui/stream/transport.h"
#include "shared/base/clock.h"
#include "shared/protocol/frame.h"

#include <functional>
#include <memory>
#include <QObject>
#include <QTimer>
#include <random>

namespace penstock::gui {

struct StreamTiming {
    Duration ping = std::chrono::seconds(5);
    Duration silence = std::chrono::seconds(12); // no byte for so long: the connection is given up
    BackOff backOff;
};

struct StreamSettings {
    std::string program = "penstock-monitor"; // with its version, for people at the server
    StreamTiming timing;
    std::uint32_t randomSeed = 1; // for the jitter of the pauses
};

struct FeedBatch {
    std::vector<FeedEvent> events;
    LinkStatus status;
};

class MonitorStream final : public QObject, private TransportSink, private protocol::FrameSink {
    Q_OBJECT
public:
    static constexpr std::size_t kMaxFrame = 16U * 1024 * 1024;
    static constexpr std::size_t kMaxHeldEvents = 20'000;
    using BatchSink = std::function<void(FeedBatch)>;

    // The clock outlives the stream; the sink is called on the stream's thread.
    MonitorStream(StreamSettings settings, std::unique_ptr<Transport> transport, const Clock& clock,
                  BatchSink sink);
    ~MonitorStream() override;

    void start();
    // Now, not at the end of the pause; also when a connection stands.
    void reconnect();
    // The receiver of batches is ready for the next one.
    void taken();
    void watchJob(std::optional<JobId> job);
    void watchLog(std::optional<AttemptId> attempt);
    // Sent once, answered by an ExplanationEvent; nothing comes when the connection breaks meanwhile.
    void explain(const WhyTarget& target);
    // The receiver found a gap: ask for the whole farm.
    void resynchronise();

private:
    // TransportSink
    void onOpened() override;
    void onMessage(ByteView bytes) override;
    void onAlive() override;
    void onClosed(CloseKind kind, const std::string& reason) override;
    // FrameSink
    void onFrame(ByteView payload) override;

    void connectNow();
    void onPing();
    void onWatchdog();
    void loseLink(std::string reason, LinkPhase phase);
    void watchFarm();
    void askJob();
    void askLog();
    [[nodiscard]] bool handle(FeedEvent& event); // true: for the receiver too
    [[nodiscard]] bool handleFarm(Applied applied);
    [[nodiscard]] bool refuseWatch(FeedEvent& event, std::uint64_t watch, std::string reason);
    [[nodiscard]] bool handleExplanation(ExplanationEvent& event);
    [[nodiscard]] bool handleLog(const LogEvent& event);
    void handleGoodbye(const GoodbyeEvent& goodbye);
    [[nodiscard]] bool handleProblem(FeedEvent& event, ProblemEvent problem);
    void handleHello(const HelloEvent& hello);
    [[nodiscard]] bool handlePong(const PongEvent& pong);
    void armWatchdog();
    void changed(); // status or events: flush when the receiver is ready
    void flush();

    StreamSettings m_settings;
    std::unique_ptr<Transport> m_transport;
    const Clock& m_clock;
    BatchSink m_sink;
    std::minstd_rand m_random;
    QTimer m_pingTimer;
    QTimer m_watchdog;
    QTimer m_retryTimer;

    protocol::FrameDecoder m_decoder{kMaxFrame};
    DeltaNumbering m_numbering;
    LinkStatus m_status;
    std::vector<FeedEvent> m_held;
    bool m_receiverReady = true;
    std::uint64_t m_lastWatch = 0; // each watch of a connection has its own number
    std::uint64_t m_farmWatch = 0; // 0: none
    std::uint64_t m_jobWatch = 0;
    std::uint64_t m_logWatch = 0;
    std::uint64_t m_logEnd = 0; // offset up to which the log has come
    std::uint64_t m_explainRequest = 0; // the newest question; an answer to an older one is dropped
    std::optional<WhyTarget> m_explained;
    std::optional<JobId> m_job;
    std::optional<AttemptId> m_log;
    std::uint64_t m_pingSequence = 0;
    Instant m_pingAt;
    std::uint32_t m_failures = 0; // in a row
};

} // namespace penstock::gui
