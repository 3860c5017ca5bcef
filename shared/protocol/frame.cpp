// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/protocol/frame.h"

#include "shared/base/check.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::protocol {

FrameDecoder::FrameDecoder(std::size_t maxFrame) : m_maxFrame(maxFrame) {}

bool FrameDecoder::takeHeader(ByteView& bytes)
{
    const std::size_t missing = std::min(kFrameHeaderBytes - m_header.size(), bytes.size());
    m_header.append(textOf(bytes.first(missing)));
    bytes = bytes.subspan(missing);
    if (m_header.size() < kFrameHeaderBytes)
        return false;
    const std::size_t length = readBigEndian32(bytesOf(m_header));
    m_header.clear();
    if (length == 0) {
        m_error = Error{ErrorCode::Invalid, "an empty frame was sent; a frame holds one message"};
        return false;
    }
    if (length > m_maxFrame) {
        m_error = Error{ErrorCode::Exhausted,
                        fmt::format("a frame of {} bytes was announced; the limit is {}", length, m_maxFrame)};
        return false;
    }
    m_expected = length;
    return true;
}

void FrameDecoder::push(ByteView bytes, FrameSink& sink)
{
    while (!m_error && !bytes.empty()) {
        if (!m_expected && !takeHeader(bytes))
            continue;
        const std::size_t wanted = *m_expected - m_buffer.size();
        if (m_buffer.empty() && bytes.size() >= wanted) { // the usual case: the whole frame is here, no copy
            m_expected.reset();
            sink.onFrame(bytes.first(wanted));
            bytes = bytes.subspan(wanted);
            continue;
        }
        const std::size_t taken = std::min(wanted, bytes.size());
        m_buffer.append(textOf(bytes.first(taken)));
        bytes = bytes.subspan(taken);
        if (m_buffer.size() < *m_expected)
            continue;
        m_expected.reset();
        const std::string payload = std::exchange(m_buffer, {});
        sink.onFrame(bytesOf(payload));
    }
}

Result<void> FrameDecoder::status() const
{
    if (m_error)
        return fail(*m_error);
    return {};
}

void appendFrame(std::string& out, std::string_view payload)
{
    PENSTOCK_CHECK(!payload.empty() && payload.size() <= kMaxFrameBytes);
    appendBigEndian32(out, static_cast<std::uint32_t>(payload.size()));
    out.append(payload);
}

} // namespace penstock::protocol
