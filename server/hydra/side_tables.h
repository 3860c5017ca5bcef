// SPDX-License-Identifier: GPL-3.0-or-later
// Our own tables beside Hydra's: which build is which job, which step which derivation, which attempt which row of
// buildsteps. They hold live things only. They are in our schema; Hydra's tables are never altered.
//
//   penstock.hydra_builds    build integer PRIMARY KEY, job bigint (null: not handed to the farm yet), step bigint
//                            (its root; null likewise), drvpath text, globalpriority integer, started boolean
//                            (build_started was sent); indexes on job and on step. Of the projection alone: deferred
//                            boolean (its job has ended, but its row was locked by somebody), accounted integer (then:
//                            the build that the deciding step was accounted to)
//   penstock.hydra_attempts  attempt bigint PRIMARY KEY, step bigint, build integer, stepnr integer (0: its row is not
//                            there yet, as somebody holds the build's), deferred boolean
//   penstock.hydra_projected attempt bigint: the newest that was given its row; one row, of the projection alone
//
// What a step is (derivation, system, outputs) is read from penstock.steps.
//
// hydra_builds: intake inserts a row (job null) before it submits the job; the projection fills in job and step when
// the job's row is written, and deletes it when the build needs nothing more of us. The others are the projection's.
#pragma once

#include "server/store/postgres/connection.h"
#include "shared/base/result.h"

#include <string_view>

namespace penstock::hydra {

inline constexpr int kOldestSchema = 86;   // buildsteps.drvpath is there for every step
inline constexpr int kResolvedSchema = 87; // buildsteps.resolveddrvpath: from here on status 13 may be written

// The name space of jobs that are builds of Hydra's.
inline constexpr std::string_view kNameSpace = "hydra";

// Invalid: this is no Hydra database, or its schema is older than kOldestSchema; the text says what to do.
[[nodiscard]] Result<int> readSchemaVersion(store::postgres::Connection& connection);
// Makes those of our tables that are missing. Our schema exists.
[[nodiscard]] Result<void> makeSideTables(store::postgres::Connection& connection);

} // namespace penstock::hydra
