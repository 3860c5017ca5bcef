// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixdaemon/frame_writer.h"

#include "shared/base/check.h"
#include "shared/nixdaemon/wire.h"

#include <algorithm>
#include <utility>

namespace penstock::nixdaemon {
namespace {

constexpr std::size_t kNumber = 8;

void putNumber(std::span<char> into, std::uint64_t value)
{
    for (std::size_t i = 0; i < kNumber; ++i, value >>= 8U)
        into[i] = static_cast<char>(value & 0xFFU);
}

} // namespace

FrameWriter::FrameWriter(ByteSink sink) : m_sink(std::move(sink)), m_frame(kFrameSize + 2 * kNumber) {}

std::span<char> FrameWriter::room()
{
    return std::span(m_frame).subspan(kNumber + m_filled, kFrameSize - m_filled);
}

Result<void> FrameWriter::advance(std::size_t filled)
{
    PENSTOCK_CHECK(filled <= kFrameSize - m_filled);
    m_filled += filled;
    return m_filled == kFrameSize ? flush(m_sink, false) : Result<void>();
}

Result<void> FrameWriter::write(std::string_view bytes)
{
    while (!bytes.empty()) {
        const std::span<char> into = room();
        const std::size_t part = std::min(into.size(), bytes.size());
        std::copy_n(bytes.begin(), part, into.begin());
        bytes.remove_prefix(part);
        PENSTOCK_TRY_VOID(advance(part));
    }
    return {};
}

Result<void> FrameWriter::finish(const ByteSink& last)
{
    return flush(last, true);
}

Result<void> FrameWriter::flush(const ByteSink& sink, bool isLast)
{
    const std::span<char> frame(m_frame);
    std::size_t size = 0;
    if (m_filled > 0) {
        putNumber(frame, m_filled);
        size = kNumber + m_filled;
    }
    if (isLast) {
        putNumber(frame.subspan(size), 0);
        size += kNumber;
    }
    m_filled = 0;
    return sink(std::string_view(m_frame.data(), size));
}

} // namespace penstock::nixdaemon
