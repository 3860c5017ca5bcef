// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/passing.h"

namespace penstock {

bool isPassing(const Error& error)
{
    switch (error.code) {
    case ErrorCode::Unavailable:
    case ErrorCode::Exhausted:
    case ErrorCode::Timeout:
    case ErrorCode::Cancelled: return true;
    case ErrorCode::Invalid:
    case ErrorCode::NotFound:
    case ErrorCode::Denied:
    case ErrorCode::Conflict:
    case ErrorCode::Corrupt:
    case ErrorCode::Internal: return false;
    }
    return false;
}

} // namespace penstock
