// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/request_reader.h"

#include "shared/base/check.h"
#include "shared/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace penstock::http {
namespace {

constexpr std::size_t kMaxChunkLine = 256; // size and extensions, which are ignored

} // namespace

std::string RequestReader::tooLarge(std::string_view size) const
{
    return fmt::format("the request body has {} bytes, more than the limit of {} bytes; send {}", size, limit(),
                       m_streams ? "less at once" : "fewer jobs at once, or a build by `penstock build`");
}

void RequestReader::push(std::string_view bytes)
{
    if (m_state == State::Failed)
        return;
    m_pending.append(bytes);
    advance();
}

void RequestReader::next()
{
    PENSTOCK_CHECK(m_state == State::Complete);
    m_state = State::Head;
    m_head = {};
    m_body.clear();
    m_continueWanted = false;
    m_streams = false;
    advance();
}

bool RequestReader::takeContinueWanted()
{
    return std::exchange(m_continueWanted, false);
}

void RequestReader::advance()
{
    for (bool more = true; more;) {
        if (m_state == State::Head)
            more = advanceHead();
        else if (m_state == State::Body)
            more = advanceBody();
        else
            more = false;
    }
}

bool RequestReader::advanceHead()
{
    // Blank lines before a request are allowed (RFC 9112 2.2).
    while (m_pending.starts_with("\r\n"))
        m_pending.erase(0, 2);
    const auto length = headLength(std::string_view(m_pending).substr(0, kMaxHeadBytes));
    if (!length) {
        if (m_pending.size() >= kMaxHeadBytes)
            return refuse(431, fmt::format("the request head has more than {} bytes", kMaxHeadBytes));
        return false;
    }
    auto head = parseRequestHead(std::string_view(m_pending).substr(0, *length));
    if (!head)
        return refuse(head.error().code == ErrorCode::Exhausted ? 431 : 400, head.error().message);
    m_pending.erase(0, *length);
    m_head = *std::move(head);
    return startBody();
}

bool RequestReader::startBody()
{
    const auto encoding = m_head.header("transfer-encoding");
    const auto length = m_head.header("content-length");
    m_trailerBytes = 0;
    m_expected = 0;
    m_bodyBytes = 0;
    m_streams = m_isStreamed && m_isStreamed(m_head);
    if (!encoding.empty()) {
        if (!length.empty())
            return refuse(400, "both Content-Length and Transfer-Encoding are given; give one");
        if (toLower(encoding) != "chunked" || m_head.minorVersion == 0)
            return refuse(501, "the only transfer encoding understood is chunked, with HTTP/1.1");
        m_framing = Framing::ChunkSize;
    } else if (!length.empty()) {
        const auto size = parseUnsigned(length);
        if (!std::ranges::all_of(length, [](char c) { return c >= '0' && c <= '9'; }))
            return refuse(400, "Content-Length is not a number");
        if (!size || *size > limit())
            return refuse(413, tooLarge(length));
        m_framing = Framing::Length;
        m_expected = *size;
    } else {
        m_framing = Framing::Length;
    }
    if (m_framing == Framing::Length && m_expected == 0) {
        m_state = State::Complete;
        return false;
    }
    m_state = State::Body;
    if (m_head.headerHas("expect", "100-continue"))
        m_continueWanted = m_pending.empty();
    return true;
}

bool RequestReader::advanceBody()
{
    switch (m_framing) {
    case Framing::Length: return advanceLength();
    case Framing::ChunkSize: return advanceChunkSize();
    case Framing::ChunkBytes: return advanceChunkBytes();
    case Framing::ChunkEnd: return advanceChunkEnd();
    case Framing::Trailer: return advanceTrailer();
    }
    return false;
}

bool RequestReader::advanceLength()
{
    const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(m_expected, m_pending.size()));
    m_body.append(m_pending, 0, taken);
    m_pending.erase(0, taken);
    m_expected -= taken;
    if (m_expected == 0)
        m_state = State::Complete;
    return false;
}

bool RequestReader::advanceChunkSize()
{
    const auto end = std::string_view(m_pending).substr(0, kMaxChunkLine).find("\r\n");
    if (end == std::string_view::npos) {
        if (m_pending.size() >= kMaxChunkLine)
            return refuse(400, "a chunk's size line is too long");
        return false;
    }
    const auto digits = std::string_view(m_pending).substr(0, std::min(end, m_pending.find(';')));
    std::uint64_t size = 0;
    if (digits.empty() || digits.size() > 8)
        return refuse(digits.empty() ? 400 : 413, digits.empty() ? "a chunk has no size" : tooLarge("far too many"));
    for (const char c : digits) {
        const auto at = std::string_view("0123456789abcdef").find(toLower(std::string_view(&c, 1)));
        if (at == std::string_view::npos)
            return refuse(400, "a chunk's size is not a hexadecimal number");
        size = size * 16 + at;
    }
    if (size > limit() - m_bodyBytes)
        return refuse(413, tooLarge(fmt::format("at least {}", m_bodyBytes + size)));
    m_bodyBytes += size;
    m_pending.erase(0, end + 2);
    m_expected = size;
    m_framing = size == 0 ? Framing::Trailer : Framing::ChunkBytes;
    return true;
}

bool RequestReader::advanceChunkBytes()
{
    const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(m_expected, m_pending.size()));
    m_body.append(m_pending, 0, taken);
    m_pending.erase(0, taken);
    m_expected -= taken;
    if (m_expected > 0)
        return false;
    m_framing = Framing::ChunkEnd;
    return true;
}

bool RequestReader::advanceChunkEnd()
{
    if (m_pending.size() < 2)
        return false;
    if (!m_pending.starts_with("\r\n"))
        return refuse(400, "a chunk does not end where its size says");
    m_pending.erase(0, 2);
    m_framing = Framing::ChunkSize;
    return true;
}

bool RequestReader::advanceTrailer()
{
    const auto end = m_pending.find("\r\n");
    if (end == std::string::npos ? m_pending.size() + m_trailerBytes > kMaxHeadBytes
                                 : end + m_trailerBytes > kMaxHeadBytes)
        return refuse(431, "the trailer after the chunks is too long");
    if (end == std::string::npos)
        return false;
    m_pending.erase(0, end + 2);
    m_trailerBytes += end + 2;
    if (end == 0) {
        m_state = State::Complete;
        return false;
    }
    return true;
}

bool RequestReader::refuse(unsigned status, std::string reason)
{
    m_state = State::Failed;
    m_status = status;
    m_reason = std::move(reason);
    m_pending = {};
    m_body = {};
    return false;
}

} // namespace penstock::http
