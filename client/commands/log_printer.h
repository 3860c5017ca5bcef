// SPDX-License-Identifier: GPL-3.0-or-later
// Prints pieces of logs: raw, only what was written since a time, only lines that match, or as JSON lines.
// Lines are put together per attempt and stream before they are matched. One thread.
#pragma once

#include "client/app/invocation.h"
#include "client/follow/log_cursor.h"

#include <map>
#include <optional>
#include <QJsonObject>
#include <QRegularExpression>
#include <string>
#include <utility>

namespace penstock::client {

struct LogFilter {
    std::optional<WallTime> since;
    std::optional<QRegularExpression> pattern;
};

// since: a duration before now, or RFC 3339; both may be empty. Invalid, naming the flag.
[[nodiscard]] Result<LogFilter> readLogFilter(const std::string& since, const std::string& pattern,
                                              WallTime now);

class LogPrinter {
public:
    LogPrinter(Invocation& invocation, LogFilter filter)
        : m_invocation(invocation), m_filter(std::move(filter))
    {}

    [[nodiscard]] bool filters() const { return m_filter.since || m_filter.pattern; }
    void add(std::uint64_t job, const LogPiece& piece);
    // A record of the HTTP answer in JSON.
    void addRecord(const QJsonObject& record, std::uint64_t attempt, std::uint64_t step);
    // Last lines without an end.
    void finish();

private:
    void printMatching(std::string_view line, std::string_view end);

    Invocation& m_invocation;
    LogFilter m_filter;
    std::map<std::pair<std::uint64_t, int>, std::string> m_open; // by attempt and stream
};

} // namespace penstock::client
