// SPDX-License-Identifier: GPL-3.0-or-later
// Every statement of the projection, by name. Those that read take arrays of ids and give the columns that
// projection_read.cpp reads; those that write take one array for each column and any number of rows.
// Plans must be walks over indexes: the writer's settings leave no other.
#pragma once

#include "server/store/postgres/connection.h"

namespace penstock::hydra::sql {

using store::postgres::Statement;

extern const Statement kBegin;
extern const Statement kCommit;
extern const Statement kLimitWaiting; // for locks, in this transaction

// $1 builds, $2 jobs, $3 roots.
extern const Statement kFillJobs;

// $1: attempts; those are looked at that have no row yet.
extern const Statement kHoldCandidates; // builds that exist and are not about to go: id, finished
extern const Statement kReadCandidates;
// $1: ended attempts.
extern const Statement kHoldRows; // attempts whose rows are ours now
extern const Statement kReadRows;
extern const Statement kWaitForRows; // like kHoldRows, but waits for others, as long as kLimitShortly lets it
extern const Statement kLimitShortly;
extern const Statement kSetMark; // to undo what a vain wait has spoilt
extern const Statement kUndoToMark;
extern const Statement kHoldOrigins; // $2: jobs that have ended. id, finished
// $1: jobs that have ended.
extern const Statement kHoldBuilds; // with the count of finished ones: builds that are ours now and have not ended
extern const Statement kReadBuilds;
// $1: attempts, $2: jobs that have ended; what both have to do with.
extern const Statement kReadSteps;
extern const Statement kReadAttempts;
extern const Statement kReadRevealed; // $1: steps; of what they depend on, what only builds could tell

extern const Statement kInsertSteps;
extern const Statement kLiveResolved; // attempts that build what their derivation was resolved to
extern const Statement kInsertResolvedSteps; // of status 13, from schema 87 on
extern const Statement kInsertStepOutputs;
extern const Statement kEndSteps;
extern const Statement kSetStepPaths;
extern const Statement kSetConnecting; // rows that others hold are left to the phases
extern const Statement kInsertFailedPaths;
extern const Statement kSetOutputPaths;
extern const Statement kDropProducts;
extern const Statement kInsertProducts;
extern const Statement kDropMetrics;
extern const Statement kInsertMetrics;
extern const Statement kEndBuilds;
extern const Statement kNotify;

extern const Statement kRaiseNewest;
extern const Statement kInsertPlaces;
extern const Statement kDropPlaces;
extern const Statement kDeferPlaces;
extern const Statement kSetStarted;
extern const Statement kDropBuilds;
extern const Statement kDeferBuilds;

// $1: after this one, $2: at most. The latter: build, job
extern const Statement kDeferredAttempts;
extern const Statement kDeferredBuilds;

// At start-up. $1: now in seconds, $2: errormsg.
extern const Statement kEndUnclaimed;
extern const char* const kHeal; // a script

} // namespace penstock::hydra::sql
