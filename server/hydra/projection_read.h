// SPDX-License-Identifier: GPL-3.0-or-later
// Reads the facts that a transaction's projection needs, in one round trip, and holds Hydra's rows that it will write.
#pragma once

#include "server/hydra/projection_facts.h"
#include "server/hydra/projection_resolve.h"
#include "server/store/postgres/connection.h"
#include "shared/base/result.h"

#include <set>
#include <string>
#include <utility>

namespace penstock::hydra {

struct NewJob {
    BuildId build = 0;
    JobId job;
    StepId root;
};

// What has happened, by ids; the rows say the rest.
struct Happened {
    std::vector<NewJob> newJobs;
    std::vector<AttemptId> started;
    std::vector<AttemptId> running;
    std::vector<AttemptId> ended;
    std::vector<JobId> jobsOver;
    [[nodiscard]] bool isEmpty() const
    {
        return newJobs.empty() && started.empty() && running.empty() && ended.empty() && jobsOver.empty();
    }
};

[[nodiscard]] Happened happenedIn(const work::Changes& changes);

// What only the builds of their dependencies could tell, by step.
using Revealed = std::map<StepId, std::vector<RevealedOutputs>>;
[[nodiscard]] Result<Revealed> readRevealed(store::postgres::Connection& connection, const std::vector<StepId>& steps);

// Of these builds and derivations.
[[nodiscard]] Result<ResolvedRows> readResolved(store::postgres::Connection& connection,
                                                const std::set<std::pair<BuildId, std::string>>& wanted);

// In the open transaction, after our own rows.
[[nodiscard]] Result<Facts> readFacts(store::postgres::Connection& connection, const Happened& happened, WallTime now);

} // namespace penstock::hydra
