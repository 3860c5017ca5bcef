// SPDX-License-Identifier: GPL-3.0-or-later
// Where we are in one attempt's log. Cuts off what came before (after a reconnect the server may repeat
// itself) and notices what is missing, so that a job's output is printed once and whole. Offsets count the
// bytes of the records' data from the log's start. Pure value.
#pragma once

#include "proto/monitor.pb.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace penstock::client {

struct LogPiece {
    std::uint64_t attempt = 0;
    std::uint64_t step = 0;
    std::uint64_t offset = 0;
    std::uint64_t timeMicros = 0;
    monitor::LogStream stream = monitor::LOG_OUT;
    std::string_view data; // of the message it came in
};

class LogCursor {
public:
    // What of the message is new. Nothing, when it starts after our position: then missing() tells to ask
    // again from next().
    [[nodiscard]] std::vector<LogPiece> take(const monitor::LogData& message);

    [[nodiscard]] std::uint64_t next() const { return m_next; }
    [[nodiscard]] bool missing() const { return m_missing; }
    [[nodiscard]] bool ended() const { return m_ended; }
    // A request for the missing part was sent; its first message decides. Should that too start later, those
    // bytes are gone for good and are left out, once noticed by lost().
    void askedAgain();
    void setEnded() { m_ended = true; }
    [[nodiscard]] std::uint64_t lost() const { return m_lost; }

private:
    std::uint64_t m_next = 0;
    std::uint64_t m_lost = 0;
    std::uint64_t m_askedAt = UINT64_MAX; // m_next when it was asked again
    bool m_missing = false;
    bool m_ended = false;
};

} // namespace penstock::client
