// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/request_head.h"

#include "shared/base/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace penstock::http {
namespace {

bool isTokenCharacter(char c)
{
    constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kOthers.find(c) != std::string_view::npos;
}

bool isToken(std::string_view text)
{
    return !text.empty() && std::ranges::all_of(text, isTokenCharacter);
}

bool isVisible(char c)
{
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte != 0x7F;
}

bool isFieldCharacter(char c)
{
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7F);
}

std::string_view trimBlanks(std::string_view text)
{
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
        text.remove_suffix(1);
    return text;
}

int hexDigit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

// Empty for what is not Base64.
std::string decodeBase64(std::string_view text)
{
    constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    while (text.ends_with('='))
        text.remove_suffix(1);
    std::string out;
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const char c : text) {
        const auto digit = kDigits.find(c);
        if (digit == std::string_view::npos)
            return {};
        bits = (bits << 6U) | static_cast<std::uint32_t>(digit);
        count += 6;
        if (count >= 8) {
            count -= 8;
            out.push_back(static_cast<char>((bits >> count) & 0xFFU));
        }
    }
    return out;
}

Result<void> readTarget(RequestHead& head, std::string_view target)
{
    if (target.size() > kMaxTargetBytes)
        return fail(ErrorCode::Exhausted, fmt::format("the request target has {} bytes, more than the limit of {}",
                                                      target.size(), kMaxTargetBytes));
    if (target == "*" && head.method == "OPTIONS")
        target = "/";
    if (target.empty() || target.front() != '/' || !std::ranges::all_of(target, isVisible))
        return fail(ErrorCode::Invalid, "the request target must be a path that begins with /");
    const auto mark = target.find('?');
    head.path = std::string(target.substr(0, mark));
    if (mark != std::string_view::npos)
        head.query = std::string(target.substr(mark + 1));
    const auto parts = split(std::string_view(head.path).substr(1), '/');
    if (parts.size() > kMaxSegments)
        return fail(ErrorCode::Exhausted, fmt::format("the request path has {} segments, more than the limit of {}",
                                                      parts.size(), kMaxSegments));
    for (const auto part : parts) {
        PENSTOCK_TRY(auto decoded, percentDecode(part, false));
        head.segments.push_back(std::move(decoded));
    }
    return {};
}

Result<void> readRequestLine(RequestHead& head, std::string_view line)
{
    const auto parts = split(line, ' ');
    if (parts.size() != 3 || !isToken(parts[0]))
        return fail(ErrorCode::Invalid, "the request line is not METHOD TARGET HTTP/1.1");
    if (parts[2] == "HTTP/1.1")
        head.minorVersion = 1;
    else if (parts[2] == "HTTP/1.0")
        head.minorVersion = 0;
    else
        return fail(ErrorCode::Invalid, "the request line does not end in HTTP/1.1 or HTTP/1.0");
    head.method = std::string(parts[0]);
    return readTarget(head, parts[1]);
}

Result<void> readHeader(RequestHead& head, std::string_view line)
{
    const auto colon = line.find(':');
    // White space before the colon and continuation lines are where smuggling lives (RFC 9112 5.1, 5.2).
    if (colon == std::string_view::npos || !isToken(line.substr(0, colon)))
        return fail(ErrorCode::Invalid, "a header line is not NAME: VALUE");
    const auto value = trimBlanks(line.substr(colon + 1));
    if (!std::ranges::all_of(value, isFieldCharacter))
        return fail(ErrorCode::Invalid, "a header value holds a control character");
    if (head.headers.size() >= kMaxHeaders)
        return fail(ErrorCode::Exhausted, fmt::format("more than {} header lines", kMaxHeaders));
    head.headers.emplace_back(toLower(line.substr(0, colon)), std::string(value));
    return {};
}

Result<void> refuseRepeated(const RequestHead& head)
{
    for (const std::string_view name : {"host", "content-length", "transfer-encoding", "authorization", "origin",
                                        "content-type", "idempotency-key", "upgrade"}) {
        const auto count =
            std::ranges::count_if(head.headers, [&](const auto& header) { return header.first == name; });
        if (count > 1)
            return fail(ErrorCode::Invalid, fmt::format("header {} is given {} times; give it once", name, count));
    }
    return {};
}

} // namespace

std::string_view RequestHead::header(std::string_view name) const
{
    const auto found = std::ranges::find_if(headers, [&](const auto& each) { return each.first == name; });
    return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

bool RequestHead::headerHas(std::string_view name, std::string_view token) const
{
    for (const auto& [key, value] : headers) {
        if (key != name)
            continue;
        for (const auto part : split(value, ',')) {
            if (toLower(trimBlanks(part)) == token)
                return true;
        }
    }
    return false;
}

bool RequestHead::wantsUpgrade() const
{
    return headerHas("connection", "upgrade") && headerHas("upgrade", "websocket");
}

bool RequestHead::keepsAlive() const
{
    if (headerHas("connection", "close"))
        return false;
    return minorVersion == 1 || headerHas("connection", "keep-alive");
}

std::string_view RequestHead::bearer() const
{
    const auto value = header("authorization");
    constexpr std::string_view kScheme = "bearer ";
    if (value.size() <= kScheme.size() || toLower(value.substr(0, kScheme.size())) != kScheme)
        return {};
    return trimBlanks(value.substr(kScheme.size()));
}

std::string RequestHead::basicPassword() const
{
    const auto value = header("authorization");
    constexpr std::string_view kScheme = "basic ";
    if (value.size() <= kScheme.size() || toLower(value.substr(0, kScheme.size())) != kScheme)
        return {};
    const auto text = decodeBase64(trimBlanks(value.substr(kScheme.size())));
    const auto colon = text.find(':');
    return colon == std::string::npos ? std::string() : text.substr(colon + 1);
}

std::optional<std::size_t> headLength(std::string_view bytes)
{
    const auto end = bytes.find("\r\n\r\n");
    if (end == std::string_view::npos)
        return std::nullopt;
    return end + 4;
}

Result<RequestHead> parseRequestHead(std::string_view text)
{
    if (text.size() > kMaxHeadBytes)
        return fail(ErrorCode::Exhausted, fmt::format("the request head has {} bytes, more than the limit of {}",
                                                      text.size(), kMaxHeadBytes));
    if (!text.ends_with("\r\n\r\n"))
        return fail(ErrorCode::Invalid, "the request head does not end in a blank line");
    text.remove_suffix(2);
    RequestHead head;
    bool first = true;
    while (!text.empty()) {
        const auto end = text.find("\r\n");
        const auto line = text.substr(0, end);
        text.remove_prefix(std::min(text.size(), end == std::string_view::npos ? text.size() : end + 2));
        if (first)
            PENSTOCK_TRY_VOID(readRequestLine(head, line));
        else
            PENSTOCK_TRY_VOID(readHeader(head, line));
        first = false;
    }
    PENSTOCK_TRY_VOID(refuseRepeated(head));
    if (head.minorVersion == 1 && head.header("host").empty())
        return fail(ErrorCode::Invalid, "the Host header is missing");
    return head;
}

Result<std::string> percentDecode(std::string_view text, bool plusIsSpace)
{
    std::string out;
    out.reserve(text.size());
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] == '+' && plusIsSpace) {
            out.push_back(' ');
        } else if (text[at] != '%') {
            out.push_back(text[at]);
        } else {
            const int high = at + 2 < text.size() ? hexDigit(text[at + 1]) : -1;
            const int low = at + 2 < text.size() ? hexDigit(text[at + 2]) : -1;
            if (high < 0 || low < 0)
                return fail(ErrorCode::Invalid, fmt::format("broken percent escape in \"{}\"", text.substr(0, 80)));
            out.push_back(static_cast<char>(high * 16 + low));
            at += 2;
        }
    }
    if (out.find('\0') != std::string::npos || !isUtf8(out))
        return fail(ErrorCode::Invalid, fmt::format("\"{}\" does not decode to text in UTF-8", text.substr(0, 80)));
    return out;
}

Result<QueryItems> parseQuery(std::string_view query)
{
    QueryItems items;
    if (query.empty())
        return items;
    for (const auto part : split(query, '&')) {
        if (part.empty())
            continue;
        if (items.size() >= kMaxQueryKeys)
            return fail(ErrorCode::Exhausted, fmt::format("the query has more than {} keys", kMaxQueryKeys));
        const auto equals = part.find('=');
        PENSTOCK_TRY(auto key, percentDecode(part.substr(0, equals), true));
        std::string value;
        if (equals != std::string_view::npos) {
            PENSTOCK_TRY(value, percentDecode(part.substr(equals + 1), true));
        }
        if (std::ranges::any_of(items, [&](const auto& item) { return item.first == key; }))
            return fail(ErrorCode::Invalid, fmt::format("query key \"{}\" is given twice; give it once", key));
        items.emplace_back(std::move(key), std::move(value));
    }
    return items;
}

} // namespace penstock::http
