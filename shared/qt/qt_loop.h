// SPDX-License-Identifier: GPL-3.0-or-later
// QtLoop: the Loop interface over the Qt event loop of the thread it is built in. It owns its mutex and
// queue and wakes the thread by one named queued call. Build it, use its timers and destroy it on its own
// thread; post() and postAt() from anywhere. Tasks still queued at destruction are dropped.
#pragma once

#include "shared/base/loop.h"
#include "shared/base/mutex.h"

#include <QObject>
#include <QThread>
#include <QTimer>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace penstock::qt {

class QtLoop final : public QObject, public Loop {
    Q_OBJECT
public:
    explicit QtLoop(QObject* parent = nullptr);
    ~QtLoop() override;

    void post(Task task) override;
    TimerId postAt(Instant at, Task task) override;
    void cancel(TimerId timer) override;
    [[nodiscard]] bool isHere() const override;

private:
    Q_INVOKABLE void drain();
    void wake();
    void arm();

    Mutex m_mutex;
    std::vector<Task> m_posted PENSTOCK_GUARDED_BY(m_mutex);
    std::map<std::pair<Instant, TimerId>, Task> m_timers PENSTOCK_GUARDED_BY(m_mutex);
    std::map<TimerId, Instant> m_due PENSTOCK_GUARDED_BY(m_mutex);
    TimerId m_nextTimer PENSTOCK_GUARDED_BY(m_mutex) = 1;
    bool m_wakePending PENSTOCK_GUARDED_BY(m_mutex) = false;
    QTimer m_timer;
};

// A thread with a Qt event loop and a QtLoop on it. Started by the constructor, stopped and joined by the
// destructor. Objects for that thread are built by posting to loop().
class LoopThread final {
public:
    explicit LoopThread(const char* name);
    ~LoopThread();
    LoopThread(const LoopThread&) = delete;
    LoopThread& operator=(const LoopThread&) = delete;

    [[nodiscard]] Loop& loop() { return *m_loop; }
    // Posts the task and blocks the caller until it ran. Only for start-up and shut-down in app.
    void runAndWait(Task task);

private:
    QThread m_thread;
    QtLoop* m_loop = nullptr; // lives on m_thread, deleted there
};

} // namespace penstock::qt
