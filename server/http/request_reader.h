// SPDX-License-Identifier: GPL-3.0-or-later
// RequestReader: takes the bytes of a connection in any chunks and gives out whole requests, one at a time. Every
// limit is checked before the bytes it bounds are kept. Pure; an object belongs to one connection.
//
//   Head --head complete, body follows--> Body --all of it--> Complete --next()--> Head
//   Head --head complete, no body-------> Complete            any --fault--> Failed (for good)
#pragma once

#include "server/http/request_head.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::http {

inline constexpr std::size_t kMaxBodyBytes = 1U << 20U;

class RequestReader {
public:
    enum class State : std::uint8_t { Head, Body, Complete, Failed };

    // What belongs to a later request is kept until next(): bounded by what the caller pushes in one call.
    void push(std::string_view bytes);
    // Only when Complete: forgets the request and goes on with what came after it.
    void next();

    [[nodiscard]] State state() const { return m_state; }
    // True when a request has begun (its first byte is here).
    [[nodiscard]] bool begun() const { return m_state != State::Head || !m_pending.empty(); }
    [[nodiscard]] const RequestHead& head() const { return m_head; } // in Body and Complete
    [[nodiscard]] const std::string& body() const { return m_body; }
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

    State m_state = State::Head;
    Framing m_framing = Framing::Length;
    std::string m_pending; // not yet understood
    RequestHead m_head;
    std::string m_body;
    std::size_t m_expected = 0; // bytes of the body or chunk still to come
    std::size_t m_trailerBytes = 0;
    bool m_continueWanted = false;
    unsigned m_status = 0;
    std::string m_reason;
};

} // namespace penstock::http
