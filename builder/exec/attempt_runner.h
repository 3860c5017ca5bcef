// SPDX-License-Identifier: GPL-3.0-or-later
// AttemptRunner: one attempt's life: folder, executor, log, limits (time, silence, log and output size), stop,
// result. What it knows better than the executor wins: an attempt that was stopped ends with the reason it was
// stopped for.
// Lives on the exec loop; the callbacks are called there and may not destroy the runner but by posting.
#pragma once

#include "builder/exec/attempt_folder.h"
#include "builder/exec/executor.h"
#include "builder/exec/log_pump.h"
#include "builder/exec/output_watch.h"
#include "shared/base/loop.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace penstock::builder {

inline constexpr std::chrono::milliseconds kDefaultKillGrace{10'000};
// A phase is told when it has lasted so long, and then the next: short attempts tell none, chatty builds not all.
inline constexpr std::chrono::milliseconds kPhaseDelay{200};

struct RunnerEvents {
    std::function<void(protocol::AttemptResult result)> ended; // once; the folder may be removed
    std::function<void(protocol::AttemptProgress progress)> moved;
    std::function<void()> logGrew; // pump() is due
};

class AttemptRunner final : public AttemptSink {
public:
    // cleaner: a loop that may block.
    AttemptRunner(Loop& loop, Loop& cleaner, AttemptSpec spec, LogPump& log, RunnerEvents events);
    AttemptRunner(const AttemptRunner&) = delete;
    AttemptRunner& operator=(const AttemptRunner&) = delete;
    ~AttemptRunner() override;

    void start(Executor& executor);
    // Ends at once, with this error, without starting.
    void refuse(std::string error);
    // outcome: Cancelled or Infrastructure.
    void stop(protocol::Outcome outcome, const std::string& reason, bool atOnce);
    // The log has room again, or not.
    void reviewBackPressure();

    [[nodiscard]] pid_t session() const { return m_running ? m_running->session() : 0; }
    [[nodiscard]] WallTime startedAt() const { return m_startedAt; }

private:
    struct StopCause {
        protocol::Outcome outcome;
        std::string text;
    };

    void onOutput(protocol::Stream stream, std::string_view bytes) override;
    void onPhase(std::string phase) override;
    void onClock(bool isRunning) override;
    void onExit(AttemptExit exit) override;

    void end(protocol::Outcome outcome, std::string text, bool atOnce);
    void write(protocol::Stream stream, std::string_view bytes);
    void writeSystemLine(std::string_view text);
    void armTimeout();
    void armSilence();
    void onSilenceTimer();
    void watchOutputs();
    void reviewOutputs(std::uint64_t bytes);
    void tellPhase();
    void conclude(AttemptExit exit);
    void sayEnded(AttemptExit exit);
    void cancel(std::optional<Loop::TimerId>& timer);

    Loop& m_loop;
    Loop& m_cleaner;
    AttemptSpec m_spec;
    LogPump& m_log;
    RunnerEvents m_events;
    std::unique_ptr<Running> m_running;
    std::optional<StopCause> m_cause;
    WallTime m_startedAt;
    Instant m_lastOutput;
    bool m_reading = true;
    bool m_truncated = false;
    bool m_ended = false;
    bool m_isClockRunning = false;
    Duration m_timeLeft{0}; // of the limit, when its timer was armed
    Instant m_clockStarted;
    std::optional<Loop::TimerId> m_timeout;
    std::optional<Loop::TimerId> m_silence;
    std::string m_phase;
    std::string m_phaseTold;
    std::optional<Loop::TimerId> m_phaseTimer;
    std::unique_ptr<OutputWatch> m_outputs; // of a command with a limit
};

} // namespace penstock::builder
