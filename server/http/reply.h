// SPDX-License-Identifier: GPL-3.0-or-later
// Reply: one HTTP answer as a value, and the ways to make one. Problems are RFC 9457. Pure.
#pragma once

#include "shared/base/result.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::http {

struct Reply {
    unsigned status = 200;
    std::string type; // content type; empty: no body
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers;
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

} // namespace penstock::http
