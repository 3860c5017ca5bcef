// SPDX-License-Identifier: GPL-3.0-or-later
// Reads one HTTP/1.1 response from bytes in any chunks (RFC 9112): a length, chunked, or until the end of the
// connection. Limits are checked before anything is kept. Pure; an object belongs to one thread. Invalid when
// the bytes are not HTTP, Exhausted when they are too many.
#pragma once

#include "shared/base/result.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::client {

inline constexpr std::size_t kMaxHeadBytes = 64U << 10U;
inline constexpr std::size_t kMaxBodyBytes = 256U << 20U;

struct HttpResponse {
    int status = 0;
    std::vector<std::pair<std::string, std::string>> headers; // names in lower case
    std::string body;

    // The first header of that lower-case name, or empty.
    [[nodiscard]] std::string_view header(std::string_view name) const;
};

class HttpResponseParser {
public:
    explicit HttpResponseParser(std::size_t maxBody = kMaxBodyBytes) : m_maxBody(maxBody) {}

    // Bytes after the response's end are ignored.
    [[nodiscard]] Result<void> push(std::string_view bytes);
    // The peer closed the connection: an error unless the response is whole by now.
    [[nodiscard]] Result<void> finish();
    [[nodiscard]] bool done() const { return m_phase == Phase::Done; }
    [[nodiscard]] bool begun() const { return m_begun; }
    [[nodiscard]] HttpResponse take() { return std::move(m_response); }

private:
    enum class Phase : std::uint8_t {
        Head,
        Counted,
        ChunkSize,
        ChunkBytes,
        ChunkEnd,
        Trailer,
        UntilClose,
        Done
    };

    [[nodiscard]] Result<void> readHead(std::string_view head);
    [[nodiscard]] Result<void> startBody();
    [[nodiscard]] Result<void> readChunkSize(std::string_view line);
    // A line without its end, or nothing yet.
    [[nodiscard]] Result<std::optional<std::string>> takeLine();
    // Moves on as far as m_input allows; false when more bytes are needed.
    [[nodiscard]] Result<bool> advance();
    [[nodiscard]] Result<bool> takeBody(Phase next);

    std::size_t m_maxBody;
    Phase m_phase = Phase::Head;
    bool m_begun = false;
    std::size_t m_remaining = 0; // of the counted body or the chunk
    std::string m_input;         // received, not yet consumed
    HttpResponse m_response;
};

} // namespace penstock::client
