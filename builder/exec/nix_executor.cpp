// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/nix_executor.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace penstock::builder {
namespace {

// More than its slots are not given to a machine unless it is said, but an attempt may start before the last
// one's thread is free.
constexpr std::size_t kMaxWaiting = 64;
// News under way for each attempt: at most this many times 64 KiB.
constexpr unsigned kNewsUnderWay = 8;

class RunningNix;
// Emptied when the attempt is destroyed; looked into on the loop only.
using RunningRef = std::shared_ptr<RunningNix*>;

// Runs action on the loop with the attempt, unless that is gone by then.
template <class Action> void postTo(Loop& loop, RunningRef running, Action action)
{
    loop.post([running = std::move(running), action = std::move(action)]() mutable {
        if (*running != nullptr)
            action(**running);
    });
}

// The loop's side of an attempt.
class RunningNix final : public Running {
public:
    RunningNix(Loop& loop, AttemptSink& sink, std::optional<nixdaemon::Interrupt> interrupt,
               std::optional<Credits> credits)
        : m_loop(loop),
          m_self(std::make_shared<RunningNix*>(this)),
          m_sink(sink),
          m_interrupt(std::move(interrupt)),
          m_credits(std::move(credits))
    {}
    RunningNix(const RunningNix&) = delete;
    RunningNix& operator=(const RunningNix&) = delete;
    ~RunningNix() override
    {
        *m_self = nullptr;
        interrupt();
    }

    void stop(Duration) override
    {
        m_isStopped = true;
        interrupt();
        deliverLater();
    }
    void setReading(bool reading) override
    {
        m_isReading = reading;
        deliverLater();
    }
    [[nodiscard]] pid_t session() const override { return 0; } // the processes are the daemon's

    [[nodiscard]] RunningRef self() const { return m_self; }
    void arrived(NixNews news)
    {
        m_news.push_back(std::move(news));
        deliver();
    }
    void ended(AttemptExit exit)
    {
        m_exit = std::move(exit);
        deliver();
    }

private:
    void interrupt() const
    {
        if (m_interrupt)
            m_interrupt->raise();
    }
    // Once stopped, what is left goes out whether it is asked for or not, because the end comes behind it.
    [[nodiscard]] bool mayDeliver() const { return m_isReading || m_isStopped; }
    // The caller of stop or setReading need not expect that the sink is called, or this destroyed, meanwhile.
    void deliverLater()
    {
        postTo(m_loop, m_self, [](RunningNix& self) { self.deliver(); });
    }
    void deliver()
    {
        const RunningRef self = m_self;
        while (!m_news.empty() && mayDeliver()) {
            const NixNews news = std::move(m_news.front());
            m_news.pop_front();
            m_credits->give();
            if (const auto* output = std::get_if<NixOutputNews>(&news))
                m_sink.onOutput(protocol::Stream::Out, output->data);
            else if (const auto* phase = std::get_if<NixPhaseNews>(&news))
                m_sink.onPhase(phase->phase);
            else if (const auto* time = std::get_if<NixClockNews>(&news))
                m_sink.onClock(time->isRunning);
            if (*self == nullptr)
                return;
        }
        if (!m_exit || !m_news.empty() || m_isEnded)
            return;
        m_isEnded = true;
        m_sink.onExit(*std::move(m_exit)); // last: it may destroy this
    }

    Loop& m_loop;
    RunningRef m_self;
    AttemptSink& m_sink;
    std::optional<nixdaemon::Interrupt> m_interrupt; // none: it could not start
    std::optional<Credits> m_credits;
    std::deque<NixNews> m_news; // at most kNewsUnderWay
    std::optional<AttemptExit> m_exit;
    bool m_isReading = true;
    bool m_isStopped = false;
    bool m_isEnded = false;
};

AttemptExit infrastructure(std::string error)
{
    AttemptExit exit;
    exit.outcome = protocol::Outcome::Infrastructure;
    exit.error = std::move(error);
    return exit;
}

} // namespace

NixExecutor::NixExecutor(Loop& loop, NixExecutorOptions options, const Clock& clock)
    : m_loop(loop),
      m_machine(std::move(options.machine)),
      m_slots(std::clamp(options.slots, 1U, kMaxNixThreads)),
      m_buildSlots(Credits::create(m_slots)),
      m_clock(clock),
      m_jobs(kMaxNixThreads + kMaxWaiting)
{
    for (unsigned i = 0; i < m_slots; ++i)
        addThread();
}

void NixExecutor::addThread()
{
    m_threads.emplace_back([this] { runJobs(); });
}

NixExecutor::~NixExecutor()
{
    m_jobs.close();
    for (std::thread& thread : m_threads)
        thread.join();
}

// Without a thread of its own the attempt waits for one of the others'.
void NixExecutor::tryToGrow()
{
    try {
        addThread();
    } catch (const std::system_error&) { // the machine gives no more threads
        return;
    }
}

// Without the descriptor that counts them (out of files) the server's own count has to do.
std::optional<Credits> NixExecutor::slotsFor(const protocol::Assignment& assignment) const
{
    return m_buildSlots && !assignment.beyondSlots ? std::optional(*m_buildSlots) : std::nullopt;
}

std::unique_ptr<Running> NixExecutor::start(const AttemptSpec& spec, AttemptSink& sink)
{
    auto interrupt = nixdaemon::Interrupt::create();
    auto credits = Credits::create(kNewsUnderWay);
    if (!interrupt || !credits) {
        auto unable = std::make_unique<RunningNix>(m_loop, sink, std::nullopt, std::nullopt);
        const std::string error = interrupt ? credits.error().message : interrupt.error().message;
        postTo(m_loop, unable->self(),
               [error](RunningNix& running) { running.ended(infrastructure(error)); });
        return unable;
    }
    auto running = std::make_unique<RunningNix>(m_loop, sink, *interrupt, *credits);
    Loop& loop = m_loop;
    const auto tell = [&loop, self = running->self()](NixNews news) {
        postTo(loop, self,
               [news = std::move(news)](RunningNix& told) mutable { told.arrived(std::move(news)); });
    };
    const auto end = [&loop, self = running->self(), busy = m_busy](AttemptExit exit) {
        loop.post([busy] { --*busy; });
        postTo(loop, self,
               [exit = std::move(exit)](RunningNix& told) mutable { told.ended(std::move(exit)); });
    };
    const std::size_t most = spec.assignment.beyondSlots ? kMaxNixThreads : 2 * std::size_t{m_slots};
    const bool mayGrow = m_threads.size() < std::min<std::size_t>(most, kMaxNixThreads);
    if (++*m_busy > m_threads.size() && mayGrow)
        tryToGrow();
    const bool hasRoom = *m_busy <= m_threads.size() + kMaxWaiting;
    if (!hasRoom ||
        !m_jobs.push(Job{spec.assignment, {*interrupt, *credits, tell, slotsFor(spec.assignment)}, end}))
        end(infrastructure(
            fmt::format("more than {} Nix attempts wait for a slot of this machine", kMaxWaiting)));
    return running;
}

void NixExecutor::runJobs()
{
    while (const std::optional<Job> job = m_jobs.takeOne())
        job->end(runNixAttempt(m_machine, job->assignment, job->links, m_clock));
}

} // namespace penstock::builder
