// SPDX-License-Identifier: GPL-3.0-or-later
// RequestReader: takes the bytes of a connection in any chunks and gives out whole requests, one at a time. Every
// limit is checked before the bytes it bounds are kept. Pure; an object belongs to one connection. The body of a
// request that its owner wants as a stream is not collected: it has another limit and is taken piece by piece.
//
//   Head --head complete, body follows--> Body --all of it--> Complete --next()--> Head
//   Head --head complete, no body-------> Complete            any --fault--> Failed (for good)
#pragma once

#include "server/http/request_head.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace penstock::http {

inline constexpr std::size_t kMaxBodyBytes = 1U << 20U;
inline constexpr std::uint64_t kMaxStreamBytes = std::uint64_t{1} << 42U; // 4 TiB

class RequestReader {
public:
    enum class State : std::uint8_t { Head, Body, Complete, Failed };
    using IsStreamed = std::function<bool(const RequestHead&)>;

    // isStreamed: asked once for each request that has a body; none: no.
    explicit RequestReader(IsStreamed isStreamed = {}) : m_isStreamed(std::move(isStreamed)) {}

    // What belongs to a later request is kept until next(): bounded by what the caller pushes in one call.
    void push(std::string_view bytes);
    // Only when Complete: forgets the request and goes on with what came after it.
    void next();

    [[nodiscard]] State state() const { return m_state; }
    // True when a request has begun (its first byte is here).
    [[nodiscard]] bool begun() const { return m_state != State::Head || !m_pending.empty(); }
    [[nodiscard]] const RequestHead& head() const { return m_head; } // in Body and Complete
    [[nodiscard]] const std::string& body() const { return m_body; }
    // Whether the body of the request at hand is a stream; then takeBody() gives what has come since the last call.
    [[nodiscard]] bool streams() const { return m_streams; }
    [[nodiscard]] std::string takeBody() { return std::exchange(m_body, {}); }
    // The sender waits for leave to send the body (Expect: 100-continue); true once.
    [[nodiscard]] bool takeContinueWanted();
    // When Failed: the status to answer with, and why.
    [[nodiscard]] unsigned status() const { return m_status; }
    [[nodiscard]] const std::string& reason() const { return m_reason; }

private:
    enum class Framing : std::uint8_t { Length, ChunkSize, ChunkBytes, ChunkEnd, Trailer };

    void advance();
    bool advanceHead();
    bool advanceBody();
    bool startBody();
    bool advanceLength();
    bool advanceChunkSize();
    bool advanceChunkBytes();
    bool advanceChunkEnd();
    bool advanceTrailer();
    bool refuse(unsigned status, std::string reason);
    [[nodiscard]] std::uint64_t limit() const { return m_streams ? kMaxStreamBytes : kMaxBodyBytes; }
    [[nodiscard]] std::string tooLarge(std::string_view size) const;

    IsStreamed m_isStreamed;
    bool m_streams = false;
    std::uint64_t m_bodyBytes = 0; // of the body so far, in chunks
    State m_state = State::Head;
    Framing m_framing = Framing::Length;
    std::string m_pending; // not yet understood
    RequestHead m_head;
    std::string m_body;
    std::uint64_t m_expected = 0; // bytes of the body or chunk still to come
    std::size_t m_trailerBytes = 0;
    bool m_continueWanted = false;
    unsigned m_status = 0;
    std::string m_reason;
};

} // namespace penstock::http
