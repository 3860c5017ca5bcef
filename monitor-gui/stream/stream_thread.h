// SPDX-License-Identifier: GPL-3.0-or-later
// A MonitorStream on a thread of its own, so that a busy window never looks like a silent server. Built, used
// and destroyed on the window's thread; batches are delivered there through the given loop. The only crossing
// is Loop::post with values.
#pragma once

#include "monitor-gui/stream/monitor_stream.h"
#include "shared/base/loop.h"
#include "shared/qt/qt_loop.h"

#include <functional>
#include <memory>

namespace penstock::gui {

class StreamThread final {
public:
    // Called on the stream's thread.
    using MakeTransport = std::function<std::unique_ptr<Transport>()>;

    // home is the loop of the window's thread and outlives this; sink is called there.
    StreamThread(StreamSettings settings, const MakeTransport& makeTransport, Loop& home,
                 MonitorStream::BatchSink sink);
    ~StreamThread();
    StreamThread(const StreamThread&) = delete;
    StreamThread& operator=(const StreamThread&) = delete;

    void start();
    void reconnect();
    void watchJob(std::optional<JobId> job);
    void watchLog(std::optional<AttemptId> attempt);
    void explain(const WhyTarget& target);
    void resynchronise();

private:
    // Lives on the stream's thread. Posted tasks hold it weakly, so one that comes late does nothing.
    struct Remote {
        SystemClock clock;
        std::unique_ptr<MonitorStream> stream;
    };
    void post(std::function<void(MonitorStream&)> task);
    void deliver(FeedBatch batch);

    std::shared_ptr<Remote> m_remote = std::make_shared<Remote>();
    std::shared_ptr<StreamThread*> m_self = std::make_shared<StreamThread*>(this);
    MonitorStream::BatchSink m_sink;
    qt::LoopThread m_thread{"monitor-stream"};
};

} // namespace penstock::gui
