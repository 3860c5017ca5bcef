// SPDX-License-Identifier: GPL-3.0-or-later
// Turns one log record into one line of text, JSON or journal form. Pure; callable from any thread; never
// fails: ill-formed UTF-8 is replaced, control characters are escaped (so a peer cannot forge a line), long
// values are cut, and secrets are blanked before anything is formatted.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/result.h"

#include <span>
#include <string>
#include <string_view>

namespace penstock::log {

enum class LogFormat : std::uint8_t {
    Text,    // "2026-11-21T06:17:16.250Z info link.refused peer=b1 limit=5"
    Json,    // {"time":"…","level":"info","event":"link.refused","peer":"b1","limit":5}
    Journal, // "<6>link.refused peer=b1 limit=5": sd-daemon(3) prefix, the journal adds the time
};

// Longest value kept of one field, in bytes; what is cut off is counted in the line.
inline constexpr std::size_t kMaxFieldBytes = 4096;

struct LogRecord {
    WallTime at;
    LogLevel level;
    std::string_view event;
    std::span<const LogField> fields;
    std::uint64_t suppressed = 0; // records of this event that the rate limit dropped before this one
};

// One line with its newline.
[[nodiscard]] std::string formatLine(LogFormat format, const LogRecord& record);

// The value as it may be shown: "[redacted]" when the key ends with token, password or secret; passwords
// inside URLs ("scheme://user:password@host") and "password=…" parts of a connection string are blanked in
// any value.
[[nodiscard]] std::string redacted(std::string_view key, std::string_view value);

[[nodiscard]] std::string_view toString(LogLevel level);
// Invalid, naming the choices, for any other word.
[[nodiscard]] Result<LogLevel> parseLogLevel(std::string_view word);
[[nodiscard]] Result<LogFormat> parseLogFormat(std::string_view word);

} // namespace penstock::log
