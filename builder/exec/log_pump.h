// SPDX-License-Identifier: GPL-3.0-or-later
// LogPump: one attempt's log on its way to the server. Output goes to the spool on disk first; from there
// chunks leave as far as the window allows, and LogStored opens it again. After a lost link sending resumes
// behind what the server last confirmed. The file is made with the first byte, so a silent job costs nothing.
// Lives on the exec loop. Errors are the spool's: Unavailable when the disk refuses.
#pragma once

#include "builder/spool/log_spool.h"
#include "shared/base/result.h"
#include "shared/protocol/link_values.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::builder {

inline constexpr std::uint64_t kLogWindowBytes = 1U << 20U;       // sent and not confirmed, one attempt
inline constexpr std::uint64_t kTotalLogWindowBytes = 16U << 20U; // all attempts together
inline constexpr std::uint64_t kLogChunkBytes = 128U << 10U;
// A job that is this far ahead of the server waits: its output is not read until half of it is delivered.
inline constexpr std::uint64_t kMaxBacklogBytes = 64U << 20U;

struct LogBudget {
    std::uint64_t inFlight = 0; // over all attempts
    bool exhausted = false;     // somebody wanted to send and could not; the host pumps all when it shrinks
};

class LogPump {
public:
    using SendChunk = std::function<void(protocol::LogChunk chunk)>;

    LogPump(AttemptId attempt, std::string path, LogBudget& budget, SendChunk send);
    LogPump(const LogPump&) = delete;
    LogPump& operator=(const LogPump&) = delete;
    ~LogPump(); // leaves the file alone

    // Opens what a former run of the program left; a missing file is an empty log.
    [[nodiscard]] Result<void> reopen();
    // Any number of bytes; becomes records of at most 64 KiB.
    [[nodiscard]] Result<void> append(WallTime time, protocol::Stream stream, std::string_view bytes);
    // Sends what the windows allow.
    [[nodiscard]] Result<void> pump();
    void linkUp();
    void linkDown();
    // Asked at intervals: what was unconfirmed the last time and still is (the server's disk is full) goes
    // out again.
    [[nodiscard]] Result<void> resendUnconfirmed();
    [[nodiscard]] Result<void> onStored(const protocol::LogStored& stored);
    void remove(); // the file

    [[nodiscard]] std::uint64_t length() const { return m_spool ? m_spool->end().logOffset : 0; }
    [[nodiscard]] std::uint64_t backlog() const { return m_stopped ? 0 : length() - m_stored.logOffset; }
    // Nothing is left to deliver.
    [[nodiscard]] bool delivered() const { return backlog() == 0; }
    [[nodiscard]] bool onDisk() const { return m_spool.has_value(); }

private:
    void setInFlight(std::uint64_t bytes);

    AttemptId m_attempt;
    std::string m_path;
    LogBudget& m_budget;
    SendChunk m_send;
    std::optional<LogSpool> m_spool;
    LogPosition m_stored; // the server has everything before it
    LogPosition m_sent;   // next to be sent
    std::map<std::uint64_t, LogPosition>
        m_chunkEnds; // of chunks on their way, so that a LogStored needs no search
    std::uint64_t m_inFlight = 0;
    std::optional<std::uint64_t> m_unconfirmed; // where m_stored stood at the last resendUnconfirmed()
    bool m_linkUp = false;
    bool m_stopped = false; // the server takes no more of it
};

} // namespace penstock::builder
