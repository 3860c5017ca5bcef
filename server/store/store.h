// SPDX-License-Identifier: GPL-3.0-or-later
// Store: the durable truth, in domain words. Two implementations pass one contract suite: MemoryStore and
// PostgresStore. Nobody but server/app names a concrete one.
//
// persist() takes batches in order and writes them in that order; several may become one transaction (group
// commit). The completion tells, per batch, that it is durable; or Unavailable: it is not, hand it in again
// (batches after it have failed too); or Conflict: another server leads or our view is wrong, so the process must end.
// Completions and answers run on a thread of the store: the receiver posts them to its own loop.
// persist() and the asynchronous reads are callable from any thread; loadOpen() blocks and is for start-up.
#pragma once

#include "server/work/changes.h"
#include "shared/base/result.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace penstock::store {

template <class T> using Answer = std::function<void(Result<T>)>;

// Newest first. before: only ids below it (paging). limit: 1 to 1,000.
struct JobFilter {
    std::optional<work::JobState> state;
    bool openOnly = false;
    std::string nameSpace; // empty: all
    std::string user;      // empty: all
    std::string name;      // empty: all; else exactly this one
    std::optional<JobId> before;
    std::uint32_t limit = 100;
};

struct StepFilter {
    std::optional<JobId> job;
    std::optional<StepId> step;
    std::optional<work::StepState> state;
    std::optional<StepId> before;
    std::uint32_t limit = 100;
};

struct AttemptFilter { // oldest first within a step or job
    std::optional<JobId> job; // every attempt of every step the job needs
    std::optional<StepId> step;
    std::optional<AttemptId> attempt;
    std::optional<AttemptId> after;
    std::uint32_t limit = 1000;
};

struct JobView {
    work::JobRow row;
    std::uint32_t stepsDone = 0;
    std::uint32_t stepsRunning = 0;
    std::uint32_t stepsFailed = 0;
};

struct StepView {
    work::StepRow row; // spec.work holds only what display needs: for derivations the drv text is left out
    std::vector<StepId> dependsOn;
    bool root = false; // of the job that was asked for
    std::optional<work::AttemptRow> newest;
    std::string machine; // name, of the newest attempt
};

struct AttemptView {
    work::AttemptRow row;
    std::string machine; // name
};

// A credential of a builder or client. The secret itself is never stored, only its keyed hash.
struct TokenRow {
    std::string id;      // public part
    std::string hash;    // of the secret part
    std::string kind;    // builder, client
    std::string name;
    WallTime created;
    std::optional<WallTime> expires;
    bool revoked = false;
};

struct Store {
    virtual ~Store() = default;

    // The lead: becomes the one writer (advisory lock and epoch), migrates, loads. Conflict when another leads.
    [[nodiscard]] virtual Result<work::Recovery> loadOpen() = 0;

    virtual void persist(work::Changes changes, work::IdMarks marks, Answer<void> done) = 0;

    virtual void findJobs(JobFilter filter, Answer<std::vector<JobView>> answer) = 0;
    virtual void findJob(JobId id, Answer<JobView> answer) = 0; // NotFound: "no job 42"
    virtual void findSteps(StepFilter filter, Answer<std::vector<StepView>> answer) = 0;
    virtual void findAttempts(AttemptFilter filter, Answer<std::vector<AttemptView>> answer) = 0;
    virtual void loadJob(JobId id, Answer<work::StoredJob> answer) = 0;

    virtual void addToken(TokenRow token, Answer<void> done) = 0;
    virtual void findToken(std::string id, Answer<TokenRow> answer) = 0;
    virtual void listTokens(Answer<std::vector<TokenRow>> answer) = 0;
    virtual void revokeToken(std::string id, Answer<void> done) = 0;

    // Is the database reachable and are we its writer; cheap, from the last exchange.
    [[nodiscard]] virtual Result<void> health() const = 0;
};

} // namespace penstock::store
