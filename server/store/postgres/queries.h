// SPDX-License-Identifier: GPL-3.0-or-later
// The questions of Store, each asked on a connection and answered in domain words. Blocks on the connection.
#pragma once

#include "server/store/postgres/connection.h"
#include "server/store/store.h"

namespace penstock::store::postgres {

[[nodiscard]] Result<std::vector<JobView>> findJobs(Connection& connection, const JobFilter& filter);
[[nodiscard]] Result<JobView> findJob(Connection& connection, JobId id);
[[nodiscard]] Result<std::vector<StepView>> findSteps(Connection& connection, const StepFilter& filter);
[[nodiscard]] Result<std::vector<AttemptView>> findAttempts(Connection& connection, const AttemptFilter& filter);
[[nodiscard]] Result<work::StoredJob> loadJob(Connection& connection, JobId id);
[[nodiscard]] Result<std::vector<StoredDerivation>> loadDerivations(Connection& connection,
                                                                    const std::vector<StepId>& steps);

[[nodiscard]] Result<void> addToken(Connection& connection, const TokenRow& token);
[[nodiscard]] Result<TokenRow> findToken(Connection& connection, const std::string& id);
[[nodiscard]] Result<std::vector<TokenRow>> listTokens(Connection& connection);
[[nodiscard]] Result<void> revokeToken(Connection& connection, const std::string& id);

// Everything unfinished, as it is at one moment.
[[nodiscard]] Result<work::Recovery> loadRecovery(Connection& connection, WallTime now);
// Deletes usage and history that no recovery answers; how many rows. As costly as all that is stored of them.
[[nodiscard]] Result<std::uint64_t> prune(Connection& connection, WallTime now);

} // namespace penstock::store::postgres
