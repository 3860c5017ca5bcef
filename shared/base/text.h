// SPDX-License-Identifier: GPL-3.0-or-later
// Small text tools that the standard library lacks: split, join, strict number parsing, RFC 3339 time.
// Pure, callable from any thread. Formatting is fmt's business, not this file's.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/result.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock {

// Splits at every separator; "a,,b" gives three parts, "" gives none.
[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);
[[nodiscard]] std::string join(std::span<const std::string> parts, std::string_view separator);
[[nodiscard]] std::string_view trim(std::string_view text); // ASCII white space on both ends
[[nodiscard]] std::string toLower(std::string_view text);   // ASCII only

// The whole text must be one decimal number in range; Invalid otherwise, naming the text.
[[nodiscard]] Result<std::uint64_t> parseUnsigned(std::string_view text);
[[nodiscard]] Result<std::int64_t> parseSigned(std::string_view text);
[[nodiscard]] Result<double> parseDouble(std::string_view text);

// "512MiB", "2G", "100" → bytes. Suffixes K M G T with optional i and B; powers of 1024 with i, else of 1000.
[[nodiscard]] Result<std::uint64_t> parseByteSize(std::string_view text);
// "90", "90s", "250ms", "5m", "1h", "2d" → duration; a bare number is seconds.
[[nodiscard]] Result<Duration> parseDuration(std::string_view text);

// "2026-11-21T06:17:16.250Z": RFC 3339, UTC, milliseconds.
[[nodiscard]] std::string formatRfc3339(WallTime at);

// True when the bytes are well-formed UTF-8 (RFC 3629).
[[nodiscard]] bool isUtf8(std::string_view bytes);
// The same text with each ill-formed byte replaced by U+FFFD.
[[nodiscard]] std::string toValidUtf8(std::string_view bytes);

// Candidates ordered by closeness to word; the first when it is within two edits, else empty.
[[nodiscard]] std::string_view nearestWord(std::string_view word, std::span<const std::string_view> candidates);

} // namespace penstock
