// SPDX-License-Identifier: GPL-3.0-or-later
// FrameWriter: cuts what is written into frames of the nix-daemon protocol (nix-formats 5.8) and hands each
// to a sink, whole, with its length in front. One stream, one thread. Errors are the sink's. Without finish()
// the daemon waits for more, so a stream that failed is ended by closing the connection, never by the last
// frame.
#pragma once

#include "shared/base/result.h"
#include "shared/base/stream.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace penstock::nixdaemon {

class FrameWriter {
public:
    explicit FrameWriter(ByteSink sink);

    // Room to fill, never empty; then advance() by what was filled.
    [[nodiscard]] std::span<char> room();
    [[nodiscard]] Result<void> advance(std::size_t filled);
    [[nodiscard]] Result<void> write(std::string_view bytes);
    // The last frame and the empty one that ends the stream, in one piece and to another sink.
    [[nodiscard]] Result<void> finish(const ByteSink& last);

private:
    [[nodiscard]] Result<void> flush(const ByteSink& sink, bool isLast);

    ByteSink m_sink;
    std::vector<char> m_frame; // a length, then the payload, then room for the end mark
    std::size_t m_filled = 0;
};

} // namespace penstock::nixdaemon
