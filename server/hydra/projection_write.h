// SPDX-License-Identifier: GPL-3.0-or-later
// Turns rows into set-based statements, in the order in which they have to be carried out. Pure.
#pragma once

#include "server/hydra/projection_rows.h"
#include "server/store/postgres/connection.h"

#include <vector>

namespace penstock::hydra {

[[nodiscard]] std::vector<store::postgres::Request> requestsOf(const Rows& rows);
// Jobs that have ended, whose builds are left for later().
[[nodiscard]] store::postgres::Request deferJobs(const std::vector<JobId>& jobs,
                                                 const std::vector<Accounting>& accounted);

} // namespace penstock::hydra
