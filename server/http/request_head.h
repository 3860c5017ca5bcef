// SPDX-License-Identifier: GPL-3.0-or-later
// RequestHead: the first lines of an HTTP/1.x request (RFC 9112), read strictly: what two readers could understand
// differently is refused. Pure, callable from any thread. Errors are Invalid, or Exhausted above a limit.
#pragma once

#include "shared/base/result.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::http {

inline constexpr std::size_t kMaxHeadBytes = 16U << 10U;
inline constexpr std::size_t kMaxTargetBytes = 8U << 10U;
inline constexpr std::size_t kMaxHeaders = 100;
inline constexpr std::size_t kMaxSegments = 16;
inline constexpr std::size_t kMaxQueryKeys = 32;

struct RequestHead {
    std::string method;                // upper case as sent
    std::string path;                  // as sent, without the query
    std::vector<std::string> segments; // of the path, percent-decoded; "/jobs/" gives "jobs", ""
    std::string query;                 // as sent, without the question mark
    unsigned minorVersion = 1;         // of HTTP/1
    std::vector<std::pair<std::string, std::string>> headers; // names in lower case, in order

    // The first header of that lower-case name, or empty.
    [[nodiscard]] std::string_view header(std::string_view name) const;
    // True when a comma-separated header holds the token (ASCII case ignored).
    [[nodiscard]] bool headerHas(std::string_view name, std::string_view token) const;
    [[nodiscard]] bool wantsUpgrade() const; // to a WebSocket
    [[nodiscard]] bool keepsAlive() const;
    [[nodiscard]] std::string_view bearer() const; // token of the Authorization header, or empty
    [[nodiscard]] std::string basicPassword() const; // of Basic credentials (RFC 7617), or empty
};

// Bytes up to and including the blank line, or nothing while it has not come.
[[nodiscard]] std::optional<std::size_t> headLength(std::string_view bytes);
// text: exactly a head, with its blank line.
[[nodiscard]] Result<RequestHead> parseRequestHead(std::string_view text);

// Percent-decoding; plusIsSpace as in queries. Invalid: a broken escape, a NUL, or not UTF-8.
[[nodiscard]] Result<std::string> percentDecode(std::string_view text, bool plusIsSpace);
// Keys and values in order. Invalid: a key given twice; Exhausted: too many.
using QueryItems = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] Result<QueryItems> parseQuery(std::string_view query);

} // namespace penstock::http
