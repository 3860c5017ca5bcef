// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/protocol/detail/decode_fields.h"

#include "shared/protocol/limits.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace penstock::protocol::detail {

void FieldReader::refuse(std::string_view field, std::string_view why)
{
    if (!m_error)
        m_error = Error{ErrorCode::Invalid, fmt::format("{}.{} {}", m_message, field, why)};
}

bool FieldReader::atMost(std::string_view field, std::uint64_t value, std::uint64_t limit)
{
    if (value <= limit)
        return true;
    refuse(field, fmt::format("is {}, the limit is {}", value, limit));
    return false;
}

bool FieldReader::checkId(std::string_view field, std::uint64_t value)
{
    if (value > 0 && value <= kMaxId)
        return true;
    refuse(field, fmt::format("is {}, must be a positive 63-bit number", value));
    return false;
}

void FieldReader::text(std::string_view field, const std::string& from, std::string& to, std::size_t limit)
{
    if (from.size() > limit)
        return refuse(field, fmt::format("has {} bytes, the limit is {}", from.size(), limit));
    if (from.find('\0') != std::string::npos)
        return refuse(field, "contains a NUL byte");
    to = from;
}

void FieldReader::name(std::string_view field, const std::string& from, std::string& to)
{
    const auto isControl = [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20U || byte == 0x7FU;
    };
    if (std::ranges::any_of(from, isControl))
        return refuse(field, "contains a control character");
    text(field, from, to, kMaxNameBytes);
}

void FieldReader::requiredName(std::string_view field, const std::string& from, std::string& to)
{
    if (from.empty())
        return refuse(field, "is empty");
    name(field, from, to);
}

void FieldReader::names(std::string_view field, const TextList& from, std::vector<std::string>& to)
{
    const auto count = static_cast<std::size_t>(from.size());
    if (count > kMaxNames)
        return refuse(field, fmt::format("has {} entries, the limit is {}", count, kMaxNames));
    to.reserve(count);
    for (const std::string& entry : from)
        requiredName(field, entry, to.emplace_back());
}

void FieldReader::texts(std::string_view field, const TextList& from, std::vector<std::string>& to,
                        std::size_t limit)
{
    const auto count = static_cast<std::size_t>(from.size());
    if (count > limit)
        return refuse(field, fmt::format("has {} entries, the limit is {}", count, limit));
    to.reserve(count);
    for (const std::string& entry : from)
        path(field, entry, to.emplace_back());
}

void FieldReader::path(std::string_view field, const std::string& from, std::string& to)
{
    text(field, from, to, kMaxPathBytes);
}

void FieldReader::hexId(std::string_view field, const std::string& from, std::string& to)
{
    const auto isHex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    if (from.size() != kHexIdBytes || !std::ranges::all_of(from, isHex))
        return refuse(field, fmt::format("must be {} lower-case hex digits, it has {} bytes", kHexIdBytes,
                                         from.size()));
    to = from;
}

void FieldReader::amount(std::string_view field, double from, double& to)
{
    if (!std::isfinite(from) || from < 0)
        return refuse(field, fmt::format("is {}, must be a number that is not negative", from));
    to = from;
}

void FieldReader::time(std::string_view field, std::uint64_t from, WallTime& to)
{
    if (atMost(field, from, kMaxWallMicros))
        to = WallTime::fromMicros(static_cast<std::int64_t>(from));
}

void FieldReader::micros(std::string_view field, std::uint64_t from, Duration& to)
{
    if (atMost(field, from, kMaxWallMicros))
        to = Duration{static_cast<std::int64_t>(from)};
}

void FieldReader::millis(std::string_view field, std::uint64_t from, std::chrono::milliseconds& to)
{
    if (atMost(field, from, kMaxMillis))
        to = std::chrono::milliseconds{static_cast<std::int64_t>(from)};
}

void FieldReader::resources(const google::protobuf::Map<std::string, std::uint64_t>& from,
                            std::map<std::string, std::uint64_t>& to)
{
    if (!atMost("resources", from.size(), kMaxNames))
        return;
    for (const auto& [given, amount] : from) {
        std::string key;
        requiredName("resources", given, key);
        if (atMost("resources", amount, kMaxAmount))
            to.emplace(std::move(key), amount);
    }
}

void FieldReader::outputs(std::string_view field, const google::protobuf::RepeatedPtrField<link::NixOutput>& from,
                          std::vector<NixOutput>& to)
{
    const auto count = static_cast<std::size_t>(from.size());
    if (count > kMaxOutputs)
        return refuse(field, fmt::format("has {} entries, the limit is {}", count, kMaxOutputs));
    to.reserve(count);
    for (const link::NixOutput& entry : from) {
        NixOutput& output = to.emplace_back();
        requiredName("outputs.name", entry.name(), output.name);
        path("outputs.path", entry.path(), output.path);
        name("outputs.nar_hash", entry.nar_hash(), output.narHash);
        if (atMost("outputs.nar_size", entry.nar_size(), INT64_MAX))
            output.narSize = entry.nar_size();
    }
}

} // namespace penstock::protocol::detail
