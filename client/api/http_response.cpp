// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/api/http_response.h"

#include "shared/base/text.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::client {

namespace {

constexpr std::size_t kMaxLineBytes = 8U << 10U;

tl::unexpected<Error> notHttp(std::string_view what)
{
    return fail(ErrorCode::Invalid,
                fmt::format("the answer is not HTTP ({}); is that a penstock-server?", what));
}

Result<std::size_t> parseHex(std::string_view text)
{
    if (text.empty() || text.size() > 8)
        return notHttp(fmt::format("chunk size \"{}\"", toValidUtf8(text.substr(0, 20))));
    std::size_t value = 0;
    for (const char c : text) {
        std::size_t digit = 0;
        if (c >= '0' && c <= '9')
            digit = static_cast<std::size_t>(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = static_cast<std::size_t>(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = static_cast<std::size_t>(c - 'A') + 10;
        else
            return notHttp("a chunk size that is no hexadecimal number");
        value = value * 16 + digit;
    }
    return value;
}

} // namespace

std::string_view HttpResponse::header(std::string_view name) const
{
    const auto found = std::find_if(headers.begin(), headers.end(),
                                    [name](const auto& header) { return header.first == name; });
    return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

Result<void> HttpResponseParser::push(std::string_view bytes)
{
    m_begun = m_begun || !bytes.empty();
    m_input.append(bytes);
    while (m_phase != Phase::Done) {
        PENSTOCK_TRY(const bool moved, advance());
        if (!moved)
            return {};
    }
    m_input.clear();
    return {};
}

Result<void> HttpResponseParser::finish()
{
    if (m_phase == Phase::UntilClose)
        m_phase = Phase::Done;
    if (m_phase == Phase::Done)
        return {};
    return fail(ErrorCode::Unavailable, m_begun
                                            ? "the server closed the connection in the middle of its answer"
                                            : "the server closed the connection without an answer");
}

Result<bool> HttpResponseParser::advance()
{
    switch (m_phase) {
    case Phase::Head: {
        const auto end = m_input.find("\r\n\r\n");
        if (std::min(end, m_input.size()) > kMaxHeadBytes)
            return fail(ErrorCode::Exhausted,
                        fmt::format("the answer's head is longer than {} bytes", kMaxHeadBytes));
        if (end == std::string::npos)
            return false;
        PENSTOCK_TRY_VOID(readHead(std::string_view(m_input).substr(0, end)));
        m_input.erase(0, end + 4);
        if (m_response.status >= 200)
            PENSTOCK_TRY_VOID(startBody());
        return true;
    }
    case Phase::Counted: return takeBody(Phase::Done);
    case Phase::ChunkBytes: return takeBody(Phase::ChunkEnd);
    case Phase::UntilClose:
        m_remaining = m_input.size();
        PENSTOCK_TRY_VOID(takeBody(Phase::UntilClose));
        return false;
    case Phase::ChunkSize:
    case Phase::ChunkEnd:
    case Phase::Trailer: {
        PENSTOCK_TRY(const auto line, takeLine());
        if (!line)
            return false;
        if (m_phase == Phase::ChunkSize)
            PENSTOCK_TRY_VOID(readChunkSize(*line));
        else if (m_phase == Phase::ChunkEnd)
            m_phase = Phase::ChunkSize;
        else if (line->empty())
            m_phase = Phase::Done;
        return true;
    }
    case Phase::Done: break;
    }
    return false;
}

Result<bool> HttpResponseParser::takeBody(Phase next)
{
    const auto part = std::min(m_remaining, m_input.size());
    if (part > m_maxBody - std::min(m_maxBody, m_response.body.size()))
        return fail(ErrorCode::Exhausted, fmt::format("the answer is longer than {} bytes", m_maxBody));
    m_response.body.append(m_input, 0, part);
    m_input.erase(0, part);
    m_remaining -= part;
    if (m_remaining != 0)
        return false;
    m_phase = next;
    return true;
}

Result<std::optional<std::string>> HttpResponseParser::takeLine()
{
    const auto end = m_input.find("\r\n");
    if (std::min(end, m_input.size()) > kMaxLineBytes)
        return notHttp("an overlong line");
    if (end == std::string::npos)
        return std::optional<std::string>();
    std::optional<std::string> line = m_input.substr(0, end);
    m_input.erase(0, end + 2);
    return line;
}

Result<void> HttpResponseParser::readChunkSize(std::string_view line)
{
    PENSTOCK_TRY(m_remaining, parseHex(trim(line.substr(0, line.find(';')))));
    m_phase = m_remaining == 0 ? Phase::Trailer : Phase::ChunkBytes;
    return {};
}

Result<void> HttpResponseParser::readHead(std::string_view head)
{
    m_response = {};
    bool first = true;
    while (!head.empty() || first) {
        const auto end = head.find("\r\n");
        const auto line = head.substr(0, end);
        head = end == std::string_view::npos ? std::string_view() : head.substr(end + 2);
        if (first) {
            if (line.size() < 12 || line.substr(0, 7) != "HTTP/1.")
                return notHttp("no status line");
            const auto status = parseUnsigned(line.substr(9, 3));
            if (!status || *status < 100)
                return notHttp("no status number");
            m_response.status = static_cast<int>(*status);
            first = false;
            continue;
        }
        const auto colon = line.find(':');
        if (colon == std::string_view::npos)
            return notHttp("a header without a colon");
        m_response.headers.emplace_back(toLower(trim(line.substr(0, colon))),
                                        std::string(trim(line.substr(colon + 1))));
    }
    return {};
}

Result<void> HttpResponseParser::startBody()
{
    if (m_response.status == 204 || m_response.status == 304) {
        m_phase = Phase::Done;
        return {};
    }
    if (toLower(m_response.header("transfer-encoding")) == "chunked") {
        m_phase = Phase::ChunkSize;
        return {};
    }
    const auto length = m_response.header("content-length");
    if (length.empty()) {
        m_phase = Phase::UntilClose;
        return {};
    }
    const auto count = parseUnsigned(length);
    if (!count)
        return notHttp("a content-length that is no number");
    if (*count > m_maxBody)
        return fail(ErrorCode::Exhausted,
                    fmt::format("the answer is {} bytes long; the limit is {}", *count, m_maxBody));
    m_remaining = static_cast<std::size_t>(*count);
    m_phase = m_remaining == 0 ? Phase::Done : Phase::Counted;
    return {};
}

} // namespace penstock::client
