// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/attempt_runner.h"

#include "shared/base/check.h"
#include "shared/protocol/limits.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::builder {

using protocol::Outcome;
using protocol::Stream;

AttemptRunner::AttemptRunner(Loop& loop, Loop& cleaner, AttemptSpec spec, LogPump& log, RunnerEvents events)
    : m_loop(loop), m_cleaner(cleaner), m_spec(std::move(spec)), m_log(log), m_events(std::move(events))
{
    const Now now = SystemClock{}.now();
    m_startedAt = now.wall;
    m_lastOutput = now.mono;
}

AttemptRunner::~AttemptRunner()
{
    for (auto* timer : {&m_timeout, &m_silence, &m_phaseTimer})
        cancel(*timer);
}

void AttemptRunner::cancel(std::optional<Loop::TimerId>& timer)
{
    if (timer)
        m_loop.cancel(*timer);
    timer.reset();
}

void AttemptRunner::start(Executor& executor)
{
    m_loop.checkHere();
    m_running = executor.start(m_spec, *this);
    m_timeLeft = m_spec.assignment.limits.timeout;
    onClock(true);
    watchOutputs();
}

void AttemptRunner::onClock(bool isRunning)
{
    if (m_ended || std::exchange(m_isClockRunning, isRunning) == isRunning)
        return;
    const Instant now = SystemClock{}.now().mono;
    if (isRunning) {
        m_clockStarted = m_lastOutput = now;
        armTimeout();
        return armSilence();
    }
    m_timeLeft = std::max(m_timeLeft - (now - m_clockStarted), Duration{1});
    cancel(m_timeout);
    cancel(m_silence);
}

void AttemptRunner::armTimeout()
{
    const auto limit = m_spec.assignment.limits.timeout;
    if (limit.count() == 0)
        return;
    m_timeout = m_loop.postAt(m_clockStarted + m_timeLeft, [this, limit] {
        m_timeout.reset();
        end(Outcome::TimedOut,
            fmt::format("timed out after {} s", Duration(limit) / std::chrono::duration<double>(1)), false);
    });
}

// Of a derivation Nix knows the sizes itself, at the end.
void AttemptRunner::watchOutputs()
{
    if (m_spec.assignment.limits.maxOutputBytes == 0 ||
        !std::holds_alternative<protocol::CommandWork>(m_spec.assignment.work))
        return;
    m_outputs = std::make_unique<OutputWatch>(m_loop, m_cleaner, m_spec.folder,
                                              [this](std::uint64_t bytes) { reviewOutputs(bytes); });
}

void AttemptRunner::reviewOutputs(std::uint64_t bytes)
{
    const std::uint64_t limit = m_spec.assignment.limits.maxOutputBytes;
    if (bytes > limit && !m_cause)
        end(Outcome::OutputLimit,
            fmt::format("the files in the job's directory have {} bytes, the output limit is {}", bytes, limit), false);
}

void AttemptRunner::refuse(std::string error)
{
    AttemptExit exit;
    exit.error = std::move(error);
    sayEnded(std::move(exit));
}

void AttemptRunner::armSilence()
{
    const auto limit = m_spec.assignment.limits.silentTimeout;
    if (limit.count() > 0)
        m_silence = m_loop.postAt(m_lastOutput + limit, [this] { onSilenceTimer(); });
}

// The timer is not moved with every byte; it looks at the time of the last one when it fires.
void AttemptRunner::onSilenceTimer()
{
    m_silence.reset();
    const auto limit = m_spec.assignment.limits.silentTimeout;
    const Instant now = SystemClock{}.now().mono;
    if (!m_reading) // it is we who do not listen
        m_lastOutput = now;
    if (now - m_lastOutput < limit)
        return armSilence();
    end(Outcome::SilentTimedOut,
        fmt::format("no output for {} s", Duration(limit) / std::chrono::duration<double>(1)), false);
}

void AttemptRunner::stop(Outcome outcome, const std::string& reason, bool atOnce)
{
    end(outcome, reason.empty() ? std::string("stopped") : reason, atOnce);
}

void AttemptRunner::end(Outcome outcome, std::string text, bool atOnce)
{
    if (m_ended)
        return;
    if (!m_cause) { // the first cause is the one that counts
        writeSystemLine(text);
        m_cause = StopCause{outcome, std::move(text)};
    }
    if (!m_running)
        return;
    const auto grace = m_spec.assignment.limits.killGrace;
    m_running->stop(atOnce ? Duration{0} : Duration(grace.count() > 0 ? grace : kDefaultKillGrace));
}

void AttemptRunner::write(Stream stream, std::string_view bytes)
{
    const auto written = m_log.append(SystemClock{}.now().wall, stream, bytes);
    if (written) {
        m_events.logGrew();
    } else if (!m_cause) { // it could not be written to the log either
        m_cause = StopCause{Outcome::Infrastructure, written.error().message};
        if (m_running)
            m_running->stop(Duration{0});
    }
}

void AttemptRunner::writeSystemLine(std::string_view text)
{
    write(Stream::System, fmt::format("{}\n", text));
}

void AttemptRunner::onOutput(Stream stream, std::string_view bytes)
{
    m_lastOutput = SystemClock{}.now().mono;
    if (m_truncated)
        return;
    const std::uint64_t limit = m_spec.assignment.limits.maxLogBytes;
    const std::uint64_t room = limit == 0 ? bytes.size() : limit - std::min(limit, m_log.length());
    write(stream, bytes.substr(0, std::min<std::uint64_t>(bytes.size(), room)));
    if (room < bytes.size()) {
        m_truncated = true;
        end(Outcome::LogLimit, fmt::format("the log limit of {} bytes is reached; the rest is dropped", limit), false);
    }
    reviewBackPressure();
}

void AttemptRunner::onPhase(std::string phase)
{
    phase.resize(std::min(phase.size(), protocol::kMaxNameBytes));
    m_phase = std::move(phase);
    if (m_ended || m_phaseTimer)
        return;
    m_phaseTimer = m_loop.postAt(SystemClock{}.now().mono + kPhaseDelay, [this] {
        m_phaseTimer.reset();
        tellPhase();
    });
}

void AttemptRunner::tellPhase()
{
    if (std::exchange(m_phaseTold, m_phase) != m_phase)
        m_events.moved({m_spec.assignment.attempt, m_phase, m_startedAt});
}

void AttemptRunner::reviewBackPressure()
{
    if (!m_running)
        return;
    const bool reading = m_log.backlog() < (m_reading ? kMaxBacklogBytes : kMaxBacklogBytes / 2);
    if (std::exchange(m_reading, reading) != reading) {
        m_lastOutput = SystemClock{}.now().mono; // silence is counted from when we listen again
        m_running->setReading(reading);
    }
}

void AttemptRunner::onExit(AttemptExit exit)
{
    PENSTOCK_CHECK(!m_ended);
    cancel(m_timeout);
    cancel(m_silence);
    if (!m_outputs || m_cause || exit.outcome != Outcome::Succeeded)
        return conclude(std::move(exit));
    // What was written since the last look counts too.
    onPhase("finishing");
    m_outputs->finish([this, exit = std::move(exit)](std::uint64_t bytes) {
        reviewOutputs(bytes);
        conclude(exit);
    });
}

void AttemptRunner::conclude(AttemptExit exit)
{
    m_outputs.reset();
    for (const std::string& note : exit.notes)
        writeSystemLine(note);
    if (m_cause) {
        exit.outcome = m_cause->outcome;
        exit.error = m_cause->text;
    } else if (!exit.error.empty()) {
        writeSystemLine(exit.error);
    }
    sayEnded(std::move(exit));
}

void AttemptRunner::sayEnded(AttemptExit exit)
{
    m_ended = true;
    cancel(m_phaseTimer);
    protocol::AttemptResult result;
    result.attempt = m_spec.assignment.attempt;
    result.outcome = exit.outcome;
    result.exitCode = exit.exitCode;
    result.signal = exit.signal;
    result.coreDumped = exit.coreDumped;
    result.error = exit.error.substr(0, protocol::kMaxErrorBytes);
    result.startedAt = m_startedAt;
    result.stoppedAt = SystemClock{}.now().wall;
    result.cpuUser = exit.cpuUser;
    result.cpuSystem = exit.cpuSystem;
    result.maxRssBytes = exit.maxRssBytes;
    result.logBytes = m_log.length();
    result.logTruncated = m_truncated;
    result.outputs = std::move(exit.outputs);
    result.cached = exit.cached;
    result.nixStatus = exit.nixStatus;
    result.isFinal = exit.isFinal && exit.outcome == Outcome::Infrastructure;
    result.effort = exit.effort;
    if (exit.outcome == Outcome::Succeeded)
        result.results = std::move(exit.results);
    m_events.ended(std::move(result));
}

} // namespace penstock::builder
