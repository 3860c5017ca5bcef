// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/qt/qt_loop.h"

#include <QMetaObject>
#include <algorithm>
#include <future>

namespace penstock::qt {

QtLoop::QtLoop(QObject* parent) : QObject(parent)
{
    m_timer.setSingleShot(true);
    m_timer.setTimerType(Qt::PreciseTimer);
    connect(&m_timer, &QTimer::timeout, this, &QtLoop::drain);
}

QtLoop::~QtLoop() = default;

void QtLoop::post(Task task)
{
    {
        const MutexLock lock(m_mutex);
        m_posted.push_back(std::move(task));
        if (std::exchange(m_wakePending, true))
            return;
    }
    wake();
}

Loop::TimerId QtLoop::postAt(Instant at, Task task)
{
    TimerId id = 0;
    {
        const MutexLock lock(m_mutex);
        id = m_nextTimer++;
        m_timers.emplace(std::pair(at, id), std::move(task));
        m_due.emplace(id, at);
        if (std::exchange(m_wakePending, true))
            return id;
    }
    wake();
    return id;
}

void QtLoop::cancel(TimerId timer)
{
    const MutexLock lock(m_mutex);
    const auto found = m_due.find(timer);
    if (found == m_due.end())
        return;
    m_timers.erase({found->second, timer});
    m_due.erase(found);
}

bool QtLoop::isHere() const
{
    return QThread::currentThread() == thread();
}

void QtLoop::wake()
{
    QMetaObject::invokeMethod(this, "drain", Qt::QueuedConnection);
}

void QtLoop::drain()
{
    std::vector<Task> due;
    {
        const MutexLock lock(m_mutex);
        m_wakePending = false;
        due = std::exchange(m_posted, {});
        const Instant now = SystemClock{}.now().mono;
        while (!m_timers.empty() && m_timers.begin()->first.first <= now) {
            auto node = m_timers.extract(m_timers.begin());
            m_due.erase(node.key().second);
            due.push_back(std::move(node.mapped()));
        }
    }
    for (Task& task : due)
        task();
    arm();
}

void QtLoop::arm()
{
    using namespace std::chrono;
    const MutexLock lock(m_mutex);
    if (m_timers.empty()) {
        m_timer.stop();
        return;
    }
    const Duration left = m_timers.begin()->first.first - SystemClock{}.now().mono;
    m_timer.start(std::max(ceil<milliseconds>(left), milliseconds{0}));
}

LoopThread::LoopThread(const char* name)
{
    m_thread.setObjectName(QString::fromLatin1(name));
    m_loop = new QtLoop;
    m_loop->moveToThread(&m_thread);
    QObject::connect(&m_thread, &QThread::finished, m_loop, &QObject::deleteLater);
    m_thread.start();
}

LoopThread::~LoopThread()
{
    m_thread.quit();
    m_thread.wait();
}

void LoopThread::runAndWait(Task task)
{
    PENSTOCK_CHECK(!m_loop->isHere());
    std::promise<void> done;
    m_loop->post([&] {
        task();
        done.set_value();
    });
    done.get_future().wait();
}

} // namespace penstock::qt
