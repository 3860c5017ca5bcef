// SPDX-License-Identifier: GPL-3.0-or-later
// What the steps of Hydra's jobsets have used while we did not lead: fair shares count it from the first minute on, as
// far as their window reaches. penstock.share_usage is complete up to its newest row of a jobset, so only what came
// after that is read. Blocking; once at the start, before the store is loaded.
#pragma once

#include "server/store/postgres/connection.h"
#include "shared/base/clock.h"
#include "shared/base/result.h"

#include <cstdint>

namespace penstock::hydra {

struct HistorySpan {
    Duration window;  // of the shares
    std::int64_t now; // Unix seconds
};
// Answers how many rows were added. Timeout: it took too long, and nothing was.
[[nodiscard]] Result<std::uint64_t> addShareHistory(store::postgres::Connection& connection, HistorySpan span);

} // namespace penstock::hydra
