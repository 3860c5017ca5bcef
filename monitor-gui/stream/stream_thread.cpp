// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/stream/stream_thread.h"

#include <utility>

namespace penstock::gui {

StreamThread::StreamThread(StreamSettings settings, const MakeTransport& makeTransport, Loop& home,
                           MonitorStream::BatchSink sink)
    : m_sink(std::move(sink))
{
    // The weak pointer is only locked on the home thread, where this object lives and dies.
    auto toHome = [&home, self = std::weak_ptr(m_self)](FeedBatch batch) {
        auto shared = std::make_shared<FeedBatch>(std::move(batch));
        home.post([self, shared] {
            if (const auto alive = self.lock())
                (*alive)->deliver(std::move(*shared));
        });
    };
    m_thread.runAndWait([&] {
        m_remote->stream = std::make_unique<MonitorStream>(std::move(settings), makeTransport(),
                                                           m_remote->clock, std::move(toHome));
    });
}

StreamThread::~StreamThread()
{
    m_self.reset();
    m_thread.runAndWait([remote = m_remote] { remote->stream.reset(); });
}

void StreamThread::deliver(FeedBatch batch)
{
    const bool carriesEvents = !batch.events.empty();
    m_sink(std::move(batch));
    if (carriesEvents)
        post([](MonitorStream& stream) { stream.taken(); });
}

void StreamThread::post(std::function<void(MonitorStream&)> task)
{
    m_thread.loop().post([remote = m_remote, task = std::move(task)] {
        if (remote->stream)
            task(*remote->stream);
    });
}

void StreamThread::start()
{
    post([](MonitorStream& stream) { stream.start(); });
}

void StreamThread::reconnect()
{
    post([](MonitorStream& stream) { stream.reconnect(); });
}

void StreamThread::watchJob(std::optional<JobId> job)
{
    post([job](MonitorStream& stream) { stream.watchJob(job); });
}

void StreamThread::watchLog(std::optional<AttemptId> attempt)
{
    post([attempt](MonitorStream& stream) { stream.watchLog(attempt); });
}

void StreamThread::explain(const WhyTarget& target)
{
    post([target](MonitorStream& stream) { stream.explain(target); });
}

void StreamThread::resynchronise()
{
    post([](MonitorStream& stream) { stream.resynchronise(); });
}

} // namespace penstock::gui
