// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/exec_loop.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace penstock::builder {
namespace {

constexpr std::size_t kEventsPerTurn = 64;
constexpr std::uint64_t kWakeTag = 0; // serials start at 1
// The tag of an event holds the descriptor (low 24 bits: Linux' hard limit is far below) and the watch's serial.
constexpr unsigned kFdBits = 24;

std::uint64_t tagOf(int fd, std::uint64_t serial)
{
    return (serial << kFdBits) | static_cast<std::uint64_t>(fd);
}

} // namespace

ExecLoop::ExecLoop(std::string name)
    : m_epoll(::epoll_create1(EPOLL_CLOEXEC)), m_wakeup(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
{
    PENSTOCK_CHECK(m_epoll.isOpen() && m_wakeup.isOpen());
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = kWakeTag;
    PENSTOCK_CHECK(::epoll_ctl(m_epoll.get(), EPOLL_CTL_ADD, m_wakeup.get(), &event) == 0);
    m_thread = std::thread([this, name = name.substr(0, 15)] {
        pthread_setname_np(pthread_self(), name.c_str());
        run();
    });
}

ExecLoop::~ExecLoop()
{
    {
        const MutexLock lock(m_mutex);
        m_stopping = true;
    }
    wake();
    m_thread.join();
}

void ExecLoop::post(Task task)
{
    {
        const MutexLock lock(m_mutex);
        m_posted.push_back(std::move(task));
        if (std::exchange(m_wakePending, true))
            return;
    }
    wake();
}

Loop::TimerId ExecLoop::postAt(Instant at, Task task)
{
    TimerId id = 0;
    {
        const MutexLock lock(m_mutex);
        id = m_nextTimer++;
        m_timers.emplace(std::pair(at, id), std::move(task));
        m_due.emplace(id, at);
        if (isHere() || std::exchange(m_wakePending, true)) // on the loop the next wait sees the timer anyway
            return id;
    }
    wake();
    return id;
}

void ExecLoop::cancel(TimerId timer)
{
    const MutexLock lock(m_mutex);
    const auto found = m_due.find(timer);
    if (found == m_due.end())
        return;
    m_timers.erase({found->second, timer});
    m_due.erase(found);
}

bool ExecLoop::isHere() const
{
    return std::this_thread::get_id() == m_thread.get_id();
}

void ExecLoop::wake()
{
    const std::uint64_t one = 1;
    // A full counter means that a wake-up is pending already, so a refused write loses nothing.
    [[maybe_unused]] const ssize_t written = ::write(m_wakeup.get(), &one, sizeof one);
}

void ExecLoop::watch(int fd, std::uint32_t epollEvents, Ready ready)
{
    checkHere();
    const std::uint64_t serial = m_nextSerial++;
    epoll_event event{};
    event.events = epollEvents;
    event.data.u64 = tagOf(fd, serial);
    const bool known = m_watches.contains(fd);
    PENSTOCK_CHECK(::epoll_ctl(m_epoll.get(), known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) == 0);
    m_watches.insert_or_assign(fd, Watch{serial, std::move(ready)});
}

void ExecLoop::unwatch(int fd)
{
    checkHere();
    if (m_watches.erase(fd) > 0)
        ::epoll_ctl(m_epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void ExecLoop::dispatch(std::uint64_t tag, std::uint32_t events)
{
    const auto found = m_watches.find(static_cast<int>(tag & ((1U << kFdBits) - 1)));
    if (found == m_watches.end() || found->second.serial != tag >> kFdBits)
        return;
    const Ready ready = found->second.ready; // a copy: the callback may unwatch itself
    ready(events);
}

void ExecLoop::runDue()
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
}

int ExecLoop::waitTime()
{
    using namespace std::chrono;
    const MutexLock lock(m_mutex);
    if (!m_posted.empty())
        return 0;
    if (m_stopping)
        return -2;
    if (m_timers.empty())
        return -1;
    const Duration left = m_timers.begin()->first.first - SystemClock{}.now().mono;
    return static_cast<int>(std::clamp(ceil<milliseconds>(left), milliseconds{0}, milliseconds{3'600'000}).count());
}

void ExecLoop::run()
{
    std::array<epoll_event, kEventsPerTurn> events{};
    for (int wait = waitTime(); wait != -2; wait = waitTime()) {
        const int count = ::epoll_wait(m_epoll.get(), events.data(), kEventsPerTurn, wait);
        PENSTOCK_CHECK(count >= 0 || errno == EINTR);
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events[static_cast<std::size_t>(i)];
            if (event.data.u64 == kWakeTag) {
                std::uint64_t ignored = 0;
                [[maybe_unused]] const ssize_t got = ::read(m_wakeup.get(), &ignored, sizeof ignored);
            } else {
                dispatch(event.data.u64, event.events);
            }
        }
        runDue();
    }
}

} // namespace penstock::builder
