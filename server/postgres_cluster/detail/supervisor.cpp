// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/postgres_cluster/detail/supervisor.h"

#include "server/postgres_cluster/detail/postmaster.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fmt/core.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

namespace penstock::postgres_cluster {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kMaxLogBytes = 8 * 1024 * 1024;
constexpr milliseconds kReadyPause(10);
constexpr milliseconds kFirstPause(100);
constexpr milliseconds kLongestPause(10'000);
constexpr seconds kSteady(60); // after so long a new trouble starts with the first pause again
constexpr int kFirstTries = 3; // at start-up: what a crash left in shared memory may need a moment to go

milliseconds leftUntil(Clock::time_point deadline)
{
    return std::max(std::chrono::ceil<milliseconds>(deadline - Clock::now()), milliseconds(0));
}

} // namespace

Supervisor::Supervisor(SupervisorOptions options, Logger& logger, FileDescriptor wake)
    : m_options(std::move(options)), m_logger(logger),
      m_log(m_options.layout.directory / "postgres.log", kMaxLogBytes), m_wake(std::move(wake))
{
}

Result<std::unique_ptr<Supervisor>> Supervisor::start(SupervisorOptions options, Logger& logger)
{
    FileDescriptor wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake.isOpen())
        return fail(ErrorCode::Internal, fmt::format("cannot make an eventfd: {}", errorText(errno)));
    std::unique_ptr<Supervisor> supervisor(new Supervisor(std::move(options), logger, std::move(wake)));
    std::promise<Result<void>> promise;
    auto started = promise.get_future();
    supervisor->m_thread = std::thread([self = supervisor.get(), promise = std::move(promise)]() mutable {
        ::pthread_setname_np(::pthread_self(), "postgres-watch");
        self->run(std::move(promise));
    });
    PENSTOCK_TRY_VOID(started.get());
    return supervisor;
}

Supervisor::~Supervisor()
{
    stop();
}

void Supervisor::stop()
{
    if (!m_thread.joinable())
        return;
    ::eventfd_write(m_wake.get(), 1);
    m_thread.join();
}

void Supervisor::tell(Result<void> health)
{
    if (health.has_value() == m_isHealthy)
        return;
    m_isHealthy = health.has_value();
    if (m_options.onHealth)
        m_options.onHealth(std::move(health));
}

Supervisor::Turn Supervisor::waitUntil(const Child& child, Deadline deadline)
{
    for (;;) {
        std::array<pollfd, 3> waited{{{m_wake.get(), POLLIN, 0},
                                      {child.pidDescriptor.get(), POLLIN, 0},
                                      {child.output.get(), POLLIN, 0}}};
        const milliseconds left = std::min(leftUntil(deadline), milliseconds(3'600'000));
        const int ready = ::poll(waited.data(), waited.size(), static_cast<int>(left.count()));
        if (ready < 0 && errno != EINTR)
            m_logger.error("postgres.poll_failed", {{"error", errorText(errno)}});
        if (ready > 0 && (waited[2].revents & POLLIN) != 0) {
            std::array<char, 4096> bytes{};
            const ssize_t got = ::read(child.output.get(), bytes.data(), bytes.size());
            if (got > 0)
                m_log.append({bytes.data(), static_cast<std::size_t>(got)});
            if (got > 0)
                continue; // all it says, before what becomes of it
        }
        if (ready > 0 && waited[1].revents != 0)
            return Turn::Ended;
        if (ready > 0 && waited[0].revents != 0)
            return Turn::StopWanted;
        if (Clock::now() >= deadline)
            return Turn::TimedOut;
    }
}

bool Supervisor::sleepUntil(Deadline deadline)
{
    pollfd waited{m_wake.get(), POLLIN, 0};
    int ready = 0;
    do
        ready = ::poll(&waited, 1, static_cast<int>(leftUntil(deadline).count()));
    while (ready < 0 && errno == EINTR);
    return ready == 0;
}

Error Supervisor::ended(const Child& child)
{
    int status = 0;
    ::waitpid(child.pid, &status, 0);
    return {ErrorCode::Unavailable,
            fmt::format("PostgreSQL ended with {} (log: {}): {}", describeStatus(status),
                        (m_options.layout.directory / "postgres.log").string(), m_log.lastWords())};
}

Result<void> Supervisor::bringUp(Child& child)
{
    const Layout& layout = m_options.layout;
    m_log.forgetWords();
    PENSTOCK_TRY_VOID(endLeftovers(layout.database, layout.socketDirectory, m_options.stopLimit));
    PENSTOCK_TRY(child, spawn(m_options.program));
    const Deadline limit = Clock::now() + m_options.startLimit;
    for (;;) {
        switch (waitUntil(child, std::min(limit, Clock::now() + kReadyPause))) {
        case Turn::Ended:
            return fail(ended(child));
        case Turn::StopWanted:
            bringDown(child);
            return fail(ErrorCode::Cancelled, "stopped while PostgreSQL was starting");
        case Turn::TimedOut:
            break;
        }
        const auto file = readPostmasterFile(layout.database);
        if (file && file->pid == child.pid && file->isReady)
            return {};
        if (Clock::now() >= limit) {
            bringDown(child);
            return fail(ErrorCode::Timeout, fmt::format("PostgreSQL was not ready within {} s: {}",
                                                        m_options.startLimit.count(), m_log.lastWords()));
        }
    }
}

void Supervisor::bringDown(const Child& child)
{
    struct Try {
        int signal;
        seconds wait;
        const char* name;
    };
    // Fast shutdown; immediate shutdown (recovers at the next start); force.
    for (const Try& attempt :
         {Try{SIGINT, m_options.stopLimit, "fast"}, Try{SIGQUIT, seconds(5), "immediate"},
          Try{SIGKILL, seconds(5), "force"}}) {
        ::kill(child.pid, attempt.signal);
        const Deadline deadline = Clock::now() + attempt.wait;
        bool hasEnded = false;
        while (!hasEnded && Clock::now() < deadline) {
            pollfd waited[2] = {{child.pidDescriptor.get(), POLLIN, 0}, {child.output.get(), POLLIN, 0}};
            ::poll(waited, 2, static_cast<int>(leftUntil(deadline).count()));
            std::array<char, 4096> bytes{};
            if ((waited[1].revents & POLLIN) != 0)
                if (const ssize_t got = ::read(child.output.get(), bytes.data(), bytes.size()); got > 0)
                    m_log.append({bytes.data(), static_cast<std::size_t>(got)});
            hasEnded = waited[0].revents != 0;
        }
        if (hasEnded) {
            int status = 0;
            ::waitpid(child.pid, &status, 0);
            m_logger.info("postgres.stopped",
                          {{"pid", child.pid}, {"how", attempt.name}, {"status", describeStatus(status)}});
            return;
        }
        m_logger.warning("postgres.stop_slow", {{"pid", child.pid}, {"tried", attempt.name}});
    }
}

void Supervisor::run(std::promise<Result<void>> started)
{
    milliseconds pause = kFirstPause;
    bool isFirst = true;
    for (int tries = 1;; ++tries) {
        Child child{0, FileDescriptor(), FileDescriptor()};
        Result<void> up = bringUp(child);
        if (up) {
            const auto since = Clock::now();
            m_logger.info("postgres.ready", {{"pid", child.pid}, {"directory", m_options.layout.directory.string()}});
            tell({});
            if (std::exchange(isFirst, false))
                started.set_value({});
            if (waitUntil(child, Clock::now() + std::chrono::hours(24 * 365 * 100)) == Turn::StopWanted) {
                bringDown(child);
                return;
            }
            up = fail(ended(child));
            if (Clock::now() - since > kSteady)
                pause = kFirstPause;
        }
        tell(up);
        m_logger.error("postgres.lost", {{"error", up.error().message}, {"again_in_ms", pause.count()}});
        const bool givesUp = isFirst && tries >= kFirstTries;
        if (givesUp || !sleepUntil(Clock::now() + pause)) {
            if (isFirst)
                started.set_value(std::move(up));
            return;
        }
        pause = std::min(pause * 2, kLongestPause);
    }
}

} // namespace penstock::postgres_cluster
