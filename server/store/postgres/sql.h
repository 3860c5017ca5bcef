// SPDX-License-Identifier: GPL-3.0-or-later
// Every statement of the store, by name. Writing ones take one array for each column and write any number of rows;
// their parameters are filled by row_writer.cpp in this order. Reading ones give the columns that row_reader.cpp reads.
#pragma once

#include "server/store/postgres/connection.h"

namespace penstock::store::postgres::sql {

extern const Statement kBegin;
extern const Statement kCommit;
extern const Statement kCheckEpoch; // the row is share-locked: a new leader waits for us
extern const Statement kRaiseMarks;

extern const Statement kWriteMachines;
extern const Statement kInsertJobs;
extern const Statement kInsertSteps;
extern const Statement kInsertDependencies;
extern const Statement kInsertJobSteps;
extern const Statement kInsertAttempts;
extern const Statement kUpdateJobs;
extern const Statement kUpdateSteps;
extern const Statement kUpdateAttempts;
extern const Statement kWriteKeys;
extern const Statement kRemoveMachines;
extern const Statement kWriteShareGroups;
extern const Statement kWriteNamespaces;
extern const Statement kWriteUsage;
extern const Statement kWriteHistory;
extern const Statement kWritePause;

// What no recovery needs any more: $1 is how much is kept.
extern const Statement kPruneUsage;   // microseconds before the newest span, or before now ($2)
extern const Statement kPruneHistory; // names

extern const Statement kTryLead;
extern const Statement kWhoLeads;
extern const Statement kEndBackend;
extern const Statement kReadEpoch;
extern const Statement kRaiseEpoch;

extern const Statement kLoadMarks;
extern const Statement kLoadMachines;
extern const Statement kLoadKeys;
extern const Statement kLoadShareGroups;
extern const Statement kLoadNamespaces;
extern const Statement kLoadUsage; // parameters of kPruneUsage
extern const Statement kLoadHistory;
extern const Statement kLoadPause;
// Each declares the cursor "recovery", which kFetch reads.
extern const Statement kOpenJobs;
extern const Statement kOpenSteps;
extern const Statement kOpenDependencies;
extern const Statement kOpenJobSteps;
extern const Statement kOpenAttempts;
extern const Statement kFetch;

extern const Statement kFindJobs;
extern const Statement kFindSteps;
extern const Statement kFindOpenSteps;
extern const Statement kFindStepsOfJob;
extern const Statement kFindAttempts;
extern const Statement kFindAttemptsOfJob;
extern const Statement kDependenciesOf;
extern const Statement kNewestAttemptsOf;
extern const Statement kLoadJob;
extern const Statement kLoadStepsOfJob;
extern const Statement kLoadDerivations;
extern const Statement kLoadDependenciesOfJob;
extern const Statement kLoadJobSteps;

extern const Statement kAddToken;
extern const Statement kFindToken;
extern const Statement kListTokens;
extern const Statement kRevokeToken;

} // namespace penstock::store::postgres::sql
