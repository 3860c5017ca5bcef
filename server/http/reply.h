// SPDX-License-Identifier: GPL-3.0-or-later
// Reply: one HTTP answer as a value, and the ways to make one. Problems are RFC 9457. Pure.
#pragma once

#include "shared/base/result.h"
#include "shared/base/stream.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::http {

// A body that is made while it is sent: on a pool thread, which sleeps while the peer is slow. An error before the
// first byte is answered in place of it; later it breaks the connection off.
struct BodyStream {
    std::optional<std::uint64_t> size; // none: not known before its end, sent in chunks
    std::function<Result<void>(const ByteSink&)> produce;
};

struct Reply {
    unsigned status = 200;
    std::string type; // content type; empty: no body
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers;
    std::shared_ptr<const BodyStream> stream = nullptr; // in place of body
};

[[nodiscard]] std::string_view reasonPhrase(unsigned status);
[[nodiscard]] Reply json(std::string body, unsigned status = 200);
[[nodiscard]] Reply text(std::string body, unsigned status = 200);
[[nodiscard]] Reply problem(unsigned status, std::string_view detail);
[[nodiscard]] unsigned statusOf(ErrorCode code);
[[nodiscard]] Reply problem(const Error& error);
// For what was wrong with a request's body: 400 when it is no JSON, else 422.
[[nodiscard]] Reply bodyProblem(const Error& error);

// The bytes to send. headOnly: the answer to HEAD, whose length is stated and whose body is left out.
[[nodiscard]] std::string renderReply(const Reply& reply, bool close, bool headOnly);
// Of a streamed answer. chunked: only for a size that is not known, and HTTP/1.1.
[[nodiscard]] std::string renderHead(const Reply& reply, bool close, bool chunked);

} // namespace penstock::http
