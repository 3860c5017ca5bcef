// SPDX-License-Identifier: GPL-3.0-or-later
// Result<T>, Error and ErrorCode: how every fallible function of Penstock reports an expected failure.
// Pure values, callable from any thread. A code exists only because some caller branches on it; the
// message is for people and is never matched. Context is added once per layer with Error::in().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace penstock {

enum class ErrorCode : std::uint8_t {
    Invalid,     // the input breaks a rule; trying again cannot help
    NotFound,    // the thing named does not exist
    Denied,      // the peer may not do this
    Conflict,    // it contradicts what is already there; our view may be stale
    Corrupt,     // stored or received bytes are damaged
    Exhausted,   // a limit is reached (size, count, slots)
    Unavailable, // a service cannot be reached now; trying later may help
    Timeout,     // a deadline passed
    Cancelled,   // somebody asked to stop
    Internal,    // our own mistake or the operating system refused something basic
};

// The lower-case word used in logs, JSON and metrics, e.g. "not_found".
[[nodiscard]] std::string_view toString(ErrorCode code);

struct Error {
    ErrorCode code;
    std::string message; // one sentence without a final dot; names field, limit and value

    // The same error with "context: " in front of the message.
    [[nodiscard]] Error in(std::string_view context) &&;
    friend bool operator==(const Error&, const Error&) = default;
};

template <class T = void> using Result = tl::expected<T, Error>;

[[nodiscard]] inline tl::unexpected<Error> fail(ErrorCode code, std::string message)
{
    return tl::unexpected<Error>(Error{code, std::move(message)});
}
[[nodiscard]] inline tl::unexpected<Error> fail(Error error)
{
    return tl::unexpected<Error>(std::move(error));
}

} // namespace penstock

#define PENSTOCK_CONCAT_INNER(a, b) a##b
#define PENSTOCK_CONCAT(a, b) PENSTOCK_CONCAT_INNER(a, b)

// PENSTOCK_TRY(auto x, parse(text)); returns the error from the enclosing function, else declares x.
#define PENSTOCK_TRY(declaration, expression)                                                      \
    auto PENSTOCK_CONCAT(penstockTry, __LINE__) = (expression);                                    \
    if (!PENSTOCK_CONCAT(penstockTry, __LINE__))                                                   \
        return ::penstock::fail(std::move(PENSTOCK_CONCAT(penstockTry, __LINE__)).error());        \
    declaration = *std::move(PENSTOCK_CONCAT(penstockTry, __LINE__))

// PENSTOCK_TRY_VOID(write(bytes)); the same for Result<void>.
#define PENSTOCK_TRY_VOID(expression)                                                              \
    do {                                                                                           \
        auto penstockTryVoid = (expression);                                                       \
        if (!penstockTryVoid)                                                                      \
            return ::penstock::fail(std::move(penstockTryVoid).error());                           \
    } while (false)
