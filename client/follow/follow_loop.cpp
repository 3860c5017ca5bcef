// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/follow/follow_loop.h"

#include "client/output/json_fields.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <fmt/format.h>
#include <QSocketNotifier>
#include <unistd.h>

namespace penstock::client {

namespace {

// How long a cancelled job may take to end before we stop waiting for it: the builder's SIGTERM grace and
// some more.
constexpr std::chrono::seconds kCancelPatience{30};
constexpr std::chrono::milliseconds kTickEvery{100};

SessionSettings sessionSettings(const Invocation& invocation)
{
    return {invocation.api().endpoint(), invocation.api().token(), invocation.globals().reconnectTimeout};
}

} // namespace

FollowLoop::FollowLoop(Invocation& invocation, FollowView& view, bool withLogs)
    : m_invocation(invocation),
      m_view(view),
      m_terminal(::isatty(0) == 1 && ::isatty(2) == 1),
      m_follower(sessionSettings(invocation), withLogs, *this),
      m_interrupts([this](int signal) { onInterrupt(signal); })
{
    QObject::connect(&m_tick, &QTimer::timeout, &m_tick, [this] {
        m_invocation.console().flush();
        m_view.onTick();
    });
    m_patience.setSingleShot(true);
    QObject::connect(&m_patience, &QTimer::timeout, &m_patience, [this] {
        m_invocation.console().complain("penstock: the job has not ended yet; it was told to");
        end({FollowEnd::Kind::Left, m_signal, m_outputClosed, {}});
    });
}

FollowLoop::~FollowLoop() = default;

void FollowLoop::submit(std::string json, std::function<void(std::uint64_t)> started)
{
    m_follower.session().setPatient(); // whether the server is there, the request tells
    m_submission = m_invocation.api().startPost(
        "/api/v1/jobs", std::move(json), [this, started = std::move(started)](Result<ApiReply> reply) {
            if (!reply) {
                end({FollowEnd::Kind::Refused, m_signal, false, std::move(reply).error()});
                return;
            }
            const auto id = numberField(reply->object, "id");
            if (id <= 0) {
                end({FollowEnd::Kind::Refused, m_signal, false,
                     Error{ErrorCode::Internal, "the server took the job but gave no id"}});
                return;
            }
            const auto job = static_cast<std::uint64_t>(id);
            started(job);
            m_follower.add(job);
            if (m_mode == FollowMode::Cancelling)
                cancelOne(job);
        });
}

FollowEnd FollowLoop::run()
{
    m_tick.start(kTickEvery);
    if (!m_end)
        m_loop.exec();
    m_tick.stop();
    m_invocation.console().clearLive();
    return m_end.value_or(FollowEnd{});
}

void FollowLoop::end(FollowEnd end)
{
    if (!m_end)
        m_end = std::move(end);
    m_loop.quit();
}

void FollowLoop::onLog(std::uint64_t job, const LogPiece& piece)
{
    m_view.onLog(job, piece);
    if (!m_invocation.console().closed() || m_outputClosed)
        return;
    m_outputClosed = true;
    if (m_watchOnly) {
        end({FollowEnd::Kind::Left, 0, true, {}});
        return;
    }
    m_mode = FollowMode::Cancelling;
    cancelAll();
}

void FollowLoop::onNotice(const std::string& text)
{
    m_invocation.console().note("penstock: " + text);
}

void FollowLoop::onAllEnded()
{
    end({FollowEnd::Kind::Finished, m_signal, m_outputClosed, {}});
}

void FollowLoop::onLost(const Error& error)
{
    end({FollowEnd::Kind::Lost, m_signal, m_outputClosed, error});
}

void FollowLoop::onOther(const monitor::FeedMessage& message)
{
    if (m_other)
        m_other(message);
}

void FollowLoop::onConnected()
{
    if (m_connected)
        m_connected();
}

void FollowLoop::onInterrupt(int signal)
{
    if (m_signal == 0 || signal == SIGTERM)
        m_signal = signal;
    act(m_watchOnly ? InterruptAction::Leave : onSignal(m_mode, signal, m_terminal));
}

void FollowLoop::act(InterruptAction action)
{
    switch (action) {
    case InterruptAction::Ask: ask(); break;
    case InterruptAction::Cancel:
        m_answer.reset();
        m_mode = FollowMode::Cancelling;
        cancelAll();
        break;
    case InterruptAction::Detach: end({FollowEnd::Kind::Detached, m_signal, false, {}}); break;
    case InterruptAction::Leave: end({FollowEnd::Kind::Left, m_signal, m_outputClosed, {}}); break;
    case InterruptAction::Continue:
        m_answer.reset();
        m_signal = 0;
        m_mode = FollowMode::Following;
        m_invocation.console().complain("penstock: following on");
        break;
    }
}

void FollowLoop::ask()
{
    m_mode = FollowMode::Asking;
    auto& console = m_invocation.console();
    console.clearLive();
    console.err("\npenstock: the job is still there. [d]etach and let it go on, [c]ancel it, or Enter to "
                "follow on? ");
    if (m_answer)
        return;
    m_answer = std::make_unique<QSocketNotifier>(0, QSocketNotifier::Read);
    QObject::connect(m_answer.get(), &QSocketNotifier::activated, m_answer.get(), [this] { readAnswer(); });
}

void FollowLoop::readAnswer()
{
    std::array<char, 256> line{};
    const auto count = ::read(0, line.data(), line.size());
    if (count <= 0) {
        act(InterruptAction::Detach); // the terminal is gone
        return;
    }
    // The notifier that called us must live until the signal returns.
    const auto action = onAnswer({line.data(), static_cast<std::size_t>(count)});
    if (action != InterruptAction::Ask)
        m_answer.release()->deleteLater();
    act(action);
}

void FollowLoop::cancelAll()
{
    const auto jobs = m_follower.openJobs();
    m_patience.start(kCancelPatience);
    if (jobs.empty() && !m_submission)
        end({FollowEnd::Kind::Left, m_signal, m_outputClosed, {}});
    for (const auto job : jobs)
        cancelOne(job);
}

void FollowLoop::cancelOne(std::uint64_t job)
{
    m_invocation.console().note(fmt::format("penstock: cancelling job {}", job));
    m_cancellations.push_back(m_invocation.api().startPost(
        fmt::format("/api/v1/jobs/{}/cancel", job), {}, [this, job](Result<ApiReply> reply) {
            // Conflict: it has ended meanwhile, which its record says too.
            if (!reply && reply.error().code != ErrorCode::Conflict)
                m_invocation.console().complain(
                    fmt::format("penstock: cannot cancel job {}: {}", job, reply.error().message));
        }));
}

std::optional<int> exitCodeOf(const FollowEnd& end, int whenFarmFails)
{
    if (end.outputClosed)
        return kExitBrokenPipe;
    switch (end.kind) {
    case FollowEnd::Kind::Lost:
    case FollowEnd::Kind::Refused: return whenFarmFails;
    case FollowEnd::Kind::Detached: return end.signal == SIGHUP ? kExitSignalBase + SIGHUP : kExitFine;
    case FollowEnd::Kind::Left: return kExitSignalBase + (end.signal == 0 ? SIGINT : end.signal);
    case FollowEnd::Kind::Finished: break;
    }
    return std::nullopt;
}

} // namespace penstock::client
