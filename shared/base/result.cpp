// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/result.h"

namespace penstock {

std::string_view toString(ErrorCode code)
{
    switch (code) {
    case ErrorCode::Invalid: return "invalid";
    case ErrorCode::NotFound: return "not_found";
    case ErrorCode::Denied: return "denied";
    case ErrorCode::Conflict: return "conflict";
    case ErrorCode::Corrupt: return "corrupt";
    case ErrorCode::Exhausted: return "exhausted";
    case ErrorCode::Unavailable: return "unavailable";
    case ErrorCode::Timeout: return "timeout";
    case ErrorCode::Cancelled: return "cancelled";
    case ErrorCode::Internal: return "internal";
    }
    return "internal";
}

Error Error::in(std::string_view context) &&
{
    std::string text;
    text.reserve(context.size() + 2 + message.size());
    text.append(context).append(": ").append(message);
    message = std::move(text);
    return std::move(*this);
}

} // namespace penstock
