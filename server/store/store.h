// SPDX-License-Identifier: GPL-3.0-or-later
// Store: the durable truth, in domain words. Two implementations pass one contract suite: MemoryStore and
// PostgresStore. Nobody but server/app names a concrete one.
//
// persist() takes batches in order and writes them in that order; several may become one transaction (group
// commit). The completion tells, per batch, that it is durable; or Unavailable: it is not, hand it in again
// (batches after it have failed too); or Conflict: another server leads or our view is wrong, so the process must end.
// Completions and answers run on a thread of the store: the receiver posts them to its own loop.
// persist() and the asynchronous reads are callable from any thread; loadOpen() blocks and is for start-up.
//
// PostgresStore never answers Unavailable to persist(): it keeps unconfirmed batches in order, reconnects with back-off
// and writes them again by itself (writing one twice is harmless), and tells through health() and its onHealth option
// that the database is away. A simulated store may answer Unavailable, so callers still obey the rule above. The
// core bounds how much waits unconfirmed; a store ends with Conflict when more than kMaxWaitingBatches wait.
//
// What persist() refuses with Conflict: an update of a row that does not exist; a machine whose identity another
// machine has; a job whose idempotency key an unfinished job holds (a finished job's key passes to the new job); any
// batch after the lead was lost or after a refused batch. A new row whose id is already stored is left as it is.
// Upserts replace the whole row. removedMachines takes effect before the batch's machines, so that a new machine may
// have a removed one's identity; a row of a machine that the same batch removes is left out. A machine that is not
// there may be removed.
// Usage and history are forgotten by the store itself, now and then: buckets older than kUsageKept before the newest
// (or before now, where that is earlier), and all but the work::kHistoryKept most recently run names. loadOpen() gives
// groups and namespaces by name, usage by bucket and group, history by last run, oldest first.
// Strings may hold any bytes, NUL and ill-formed UTF-8 too, and come back the same.
#pragma once

#include "server/work/changes.h"
#include "shared/base/result.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace penstock::store {

constexpr std::size_t kMaxWaitingBatches = 65'536; // of persist(), unconfirmed
constexpr std::uint32_t kMaxRowsAnswered = 1'000;  // the largest limit of a filter; others are refused with Invalid
constexpr Duration kUsageRecovered = std::chrono::hours(24); // before the newest bucket, at loadOpen()
constexpr Duration kUsageKept = std::chrono::hours(25);      // older rows are deleted now and then
constexpr std::size_t kMaxKeysRemembered = 200'000; // of finished jobs, newest first, at loadOpen()

template <class T> using Answer = std::function<void(Result<T>)>;

// Every member has a default, so that a filter is written with designated initialisers.
// Newest first. before: only ids below it (paging). limit: 1 to 1,000.
struct JobFilter {
    std::optional<work::JobState> state = {};
    bool openOnly = false;
    std::string nameSpace = {}; // empty: all
    std::string user = {};      // empty: all
    std::string name = {};      // empty: all; else exactly this one
    std::optional<JobId> before = {};
    std::uint32_t limit = 100;
};

struct StepFilter {
    std::optional<JobId> job = {};
    std::optional<StepId> step = {};
    std::optional<work::StepState> state = {};
    bool rootsOnly = false; // of the job: what was asked for by name
    std::optional<StepId> before = {};
    std::uint32_t limit = 100;
};

struct AttemptFilter { // oldest first within a step or job
    std::optional<JobId> job = {}; // every attempt of every step the job needs
    std::optional<StepId> step = {};
    std::optional<AttemptId> attempt = {};
    std::optional<AttemptId> after = {};
    std::uint32_t limit = 1000;
};

// Invalid unless 1 to kMaxRowsAnswered.
[[nodiscard]] Result<void> checkLimit(std::uint32_t limit);
// Invalid when more than kMaxRowsAnswered are asked for.
[[nodiscard]] Result<void> checkAsked(const std::vector<StepId>& steps);

struct JobView {
    work::JobRow row;
    std::uint32_t stepsDone = 0;    // finished with a good result
    std::uint32_t stepsRunning = 0;
    std::uint32_t stepsFailed = 0;  // finished with another result, cancelled apart
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

// What a builder needs of a derivation, as it was submitted. No text: its file is in the server's own Nix store.
struct StoredDerivation {
    StepId step{0};
    std::string drv;
    std::vector<std::string> inputPaths;
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
    // Steps come without the texts and input paths of their derivations; so in loadJob().
    [[nodiscard]] virtual Result<work::Recovery> loadOpen() = 0;

    virtual void persist(work::Changes changes, work::IdMarks marks, Answer<void> done) = 0;

    virtual void findJobs(JobFilter filter, Answer<std::vector<JobView>> answer) = 0;
    virtual void findJob(JobId id, Answer<JobView> answer) = 0; // NotFound: "no job 42"
    virtual void findSteps(StepFilter filter, Answer<std::vector<StepView>> answer) = 0;
    virtual void findAttempts(AttemptFilter filter, Answer<std::vector<AttemptView>> answer) = 0;
    virtual void loadJob(JobId id, Answer<work::StoredJob> answer) = 0;
    // By id, each once; a step that is not stored, or builds nothing of Nix, is left out. At most kMaxRowsAnswered.
    virtual void loadDerivations(std::vector<StepId> steps, Answer<std::vector<StoredDerivation>> answer) = 0;

    // Tokens are written by whoever adds them, leader or not. Conflict: the id is taken. NotFound: "no token x".
    virtual void addToken(TokenRow token, Answer<void> done) = 0;
    virtual void findToken(std::string id, Answer<TokenRow> answer) = 0;
    virtual void listTokens(Answer<std::vector<TokenRow>> answer) = 0;
    virtual void revokeToken(std::string id, Answer<void> done) = 0;

    // Is the database reachable and are we its writer; cheap, from the last exchange.
    [[nodiscard]] virtual Result<void> health() const = 0;
};

} // namespace penstock::store
