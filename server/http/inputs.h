// SPDX-License-Identifier: GPL-3.0-or-later
// Reading what a request says beside its body: ids in the path, numbers and words in the query; and the body that is
// only a note. Pure.
#pragma once

#include "server/http/route.h"
#include "shared/base/ids.h"
#include "shared/base/result.h"
#include "shared/base/text.h"

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::http {

// NotFound "no job abc" when the text is no id.
template <class IdType> [[nodiscard]] Result<IdType> readId(std::string_view text, std::string_view what)
{
    const auto number = parseUnsigned(text);
    if (!number || *number == 0)
        return fail(ErrorCode::NotFound, fmt::format("no {} {}", what, toValidUtf8(text.substr(0, 60))));
    return IdType(*number);
}

[[nodiscard]] std::optional<std::string_view> queryText(const Request& request, std::string_view key);
struct Bounds {
    std::uint64_t least;
    std::uint64_t most;
};
// Invalid when it is no number or outside the bounds.
[[nodiscard]] Result<std::optional<std::uint64_t>> queryNumber(const Request& request, std::string_view key,
                                                               Bounds bounds);
[[nodiscard]] Result<std::uint32_t> queryLimit(const Request& request, std::uint32_t usual);

inline constexpr std::size_t kMaxNoteBytes = 1'000;
inline constexpr std::string_view kNoteBody = // its JSON Schema
    R"({"type":"object","additionalProperties":false,"properties":{"note":{"type":"string","maxLength":1000}}})";
// The body's note, empty when there is none: {"note": "…"}. Invalid: anything else.
[[nodiscard]] Result<std::string> readNote(const Request& request);

// A fault in the query is 400, where one in the body is 422.
[[nodiscard]] Reply badQuery(const Error& error);

} // namespace penstock::http
