// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/store.h"

#include <fmt/core.h>

namespace penstock::store {

Result<void> checkLimit(std::uint32_t limit)
{
    if (limit == 0 || limit > kMaxRowsAnswered)
        return fail(ErrorCode::Invalid, fmt::format("limit must be 1 to {}, not {}", kMaxRowsAnswered, limit));
    return {};
}

Result<void> checkAsked(const std::vector<StepId>& steps)
{
    if (steps.size() > kMaxRowsAnswered)
        return fail(ErrorCode::Invalid, fmt::format("{} steps are asked for at once; at most {} may be", steps.size(),
                                                    kMaxRowsAnswered));
    return {};
}

} // namespace penstock::store
