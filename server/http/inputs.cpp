// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/inputs.h"

#include "server/jobs/object_reader.h"

#include <array>

namespace penstock::http {

std::optional<std::string_view> queryText(const Request& request, std::string_view key)
{
    for (const auto& [name, value] : request.query) {
        if (name == key)
            return value;
    }
    return std::nullopt;
}

Result<std::optional<std::uint64_t>> queryNumber(const Request& request, std::string_view key, Bounds bounds)
{
    const auto text = queryText(request, key);
    if (!text)
        return std::nullopt;
    const auto number = parseUnsigned(*text);
    if (!number || *number < bounds.least || *number > bounds.most)
        return fail(ErrorCode::Invalid, fmt::format("query key \"{}\" must be a number from {} to {}, not \"{}\"", key,
                                                    bounds.least, bounds.most, text->substr(0, 60)));
    return *number;
}

Result<std::uint32_t> queryLimit(const Request& request, std::uint32_t usual)
{
    PENSTOCK_TRY(const auto limit, queryNumber(request, "limit", {1, 1'000}));
    return static_cast<std::uint32_t>(limit.value_or(usual));
}

Result<std::string> readNote(const Request& request)
{
    if (request.body.empty())
        return std::string();
    constexpr std::array<std::string_view, 1> kKeys{"note"};
    PENSTOCK_TRY(const auto document, nix::parseJson(request.body));
    PENSTOCK_TRY(const auto body, jobs::ObjectReader::open(document, {}, kKeys));
    PENSTOCK_TRY(auto note, body.text("note", kMaxNoteBytes));
    return std::move(note).value_or("");
}

Reply badQuery(const Error& error)
{
    return error.code == ErrorCode::Invalid || error.code == ErrorCode::Exhausted ? problem(400, error.message)
                                                                                   : problem(error);
}

} // namespace penstock::http
