// SPDX-License-Identifier: GPL-3.0-or-later
// Frames: a 32-bit big-endian length and that many bytes. The decoder takes bytes in any chunks and gives out
// whole payloads; the length is checked on the header, before anything is buffered, so a peer cannot make us
// hold more than one frame of the limit. Pure; an object belongs to one thread.
#pragma once

#include "shared/base/bytes.h"
#include "shared/base/result.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::protocol {

inline constexpr std::size_t kMaxFrameBytes = 4U << 20U;
inline constexpr std::size_t kFrameHeaderBytes = 4;

struct FrameSink {
    virtual ~FrameSink() = default;
    // The view is valid during the call only.
    virtual void onFrame(ByteView payload) = 0;
};

class FrameDecoder {
public:
    explicit FrameDecoder(std::size_t maxFrame = kMaxFrameBytes);

    // After an error all further bytes are dropped and status() keeps the error.
    void push(ByteView bytes, FrameSink& sink);
    // Exhausted: a frame above the limit was announced. Invalid: an empty frame.
    [[nodiscard]] Result<void> status() const;
    // True when no frame has been begun and not ended; a WebSocket message must end like that.
    [[nodiscard]] bool atBoundary() const { return m_header.empty() && !m_expected; }

private:
    // Takes from the front of bytes what still belongs to the header; true when the length is known and good.
    [[nodiscard]] bool takeHeader(ByteView& bytes);

    std::size_t m_maxFrame;
    std::string m_header;                  // fewer than four bytes
    std::optional<std::size_t> m_expected; // length of the frame that has begun
    std::string m_buffer;                  // its bytes so far; grows with what arrives, never ahead of it
    std::optional<Error> m_error;
};

// The payload must be neither empty nor above kMaxFrameBytes; that is the caller's to ensure.
void appendFrame(std::string& out, std::string_view payload);

} // namespace penstock::protocol
