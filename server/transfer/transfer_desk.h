// SPDX-License-Identifier: GPL-3.0-or-later
// TransferDesk: where store paths come in and go out. Says who may bring what, takes NARs, publishes them, answers what
// a path needs. Sessions live on the home loop, where all is called and answered unless said; whatever blocks runs on
// threads of its own, so many at once, and what is beyond that is refused as Unavailable. Errors: Denied (not this
// sender's, or the attempt is over), NotFound (not announced), Conflict (another hash than announced, or at the wrong
// time), Corrupt (the bytes are damaged), Invalid, Exhausted (a limit, or the disk), Unavailable (try again).
#pragma once

#include "server/cache/output_store.h"
#include "server/transfer/info_memo.h"
#include "server/transfer/nar_holds.h"
#include "server/transfer/sessions.h"
#include "server/transfer/upload_policy.h"
#include "server/transfer/worker_pool.h"
#include "shared/base/log.h"
#include "shared/base/loop.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace penstock::transfer {

template <class T> using Answer = std::function<void(Result<T>)>;

struct AttemptSource {
    virtual ~AttemptSource() = default;
    // Answered on the desk's loop. NotFound: it is over, never was, or builds nothing of Nix.
    virtual void attemptWork(AttemptId attempt, Answer<AttemptWork> answer) = 0;
};

struct DeskParts { // all outlive the desk
    Loop& home;
    const Clock& clock;
    Logger& logger;
    AttemptSource& attempts;
    cache::OutputStore& store;            // the first: whose presence counts
    cache::ObjectStore* files = nullptr;  // what it is made of; null where it is not made of files
    // Where the inputs of builds are read, when they may lie elsewhere too; null: in the first. What is only there is
    // no output for anybody: it answers neither findDigest() nor what is announced.
    cache::OutputStore* inputs = nullptr;
    cache::ObjectStore* inputFiles = nullptr;
};

struct DeskOptions {
    UploadRules rules;
    PoolSize questions{8, 2'000};
    PoolSize bodies{32, 64}; // NARs taken at once, and how many wait for their turn
    SessionLimits sessions = {};
    std::chrono::seconds signedExpiry{3'600};
    std::uint64_t partsFrom = 64U << 20U; // NarSize from which an upload past us is one in parts
    std::uint64_t partBytes = 16U << 20U;
    // Told of what is in the store now, before its sender is; its error is the sender's. On a thread of the desk's.
    std::function<Result<void>(const std::vector<nix::StorePath>&)> published = {};
    // What waits for further stores, at most so many. On a thread of the desk's.
    std::function<std::vector<nix::StorePath>(std::size_t)> waiting = {};
};

enum class UploadState : std::uint8_t { Present, Wanted, Refused };
struct SignedPart {
    unsigned number; // from 1
    cache::SignedRequest request;
};
struct PartsPlan {
    std::string upload;
    std::uint64_t partBytes = 0;
    std::vector<SignedPart> parts; // the first of them; more are had by moreParts()
};
struct UploadPlan {
    nix::StorePath path;
    UploadState state = UploadState::Present;
    std::string reason = {};                 // of a refusal
    compress::EncoderOptions encoding = {};  // what to send
    std::optional<cache::SignedRequest> past = {};  // past us; with parts: none
    std::optional<PartsPlan> parts = {};
};

struct Announcement {
    Sender sender;
    std::vector<nix::NarInfo> infos;
    bool direct = false; // the sender reaches nobody but us
};
// The next piece of a body, empty at its end. Called on a thread of the desk's.
using PieceSource = std::function<Result<std::string>()>;
struct Delivery {
    Sender sender;
    nix::StorePath path;
    compress::Method method = compress::Method::None;
    PieceSource next;
};
struct Publication {
    nix::StorePath path;
    std::string upload = {};                       // id of an upload in parts, with what each part got
    std::vector<cache::UploadedPart> parts = {};
};

struct DeskCounters {
    std::map<Refusal, std::uint64_t> refused;
    std::uint64_t bytesIn = 0;
    std::uint64_t bytesOut = 0;
    std::uint64_t received = 0;  // NARs staged
    std::uint64_t failed = 0;    // NARs that were not what was announced, or broke off
    std::uint64_t published = 0; // paths
    std::uint64_t discarded = 0; // staged and never published
    std::uint64_t unknown = 0;   // questions that the store could not answer
};

class TransferDesk {
public:
    TransferDesk(DeskParts parts, DeskOptions options);
    // Bodies that are being taken must have been ended before: their threads are waited for.
    ~TransferDesk();
    TransferDesk(const TransferDesk&) = delete;
    TransferDesk& operator=(const TransferDesk&) = delete;

    // ---- in
    void announce(Announcement announcement, Answer<std::vector<UploadPlan>> answer); // in the order announced
    void receive(Delivery delivery, Answer<void> answer);                             // staged when answered
    void moreParts(Sender sender, nix::StorePath path, std::vector<unsigned> numbers,
                   Answer<std::vector<SignedPart>> answer);
    void publish(Sender sender, std::vector<Publication> paths, Answer<void> answer);
    void attemptEnded(AttemptId attempt);
    // Full paths that wait for being shown, here or in a further store; at most so many.
    void findWaiting(std::size_t most, Answer<std::vector<std::string>> answer);

    // ---- out
    void findDigest(std::string digest, Answer<std::optional<nix::NarInfo>> answer);
    void findFile(std::string key, Answer<std::optional<cache::ObjectInfo>> answer);
    // On any thread but a loop's: the file's bytes; NotFound.
    [[nodiscard]] Result<void> readFile(const std::string& key, cache::ByteRange range, const ByteSink& sink);
    // On any thread but a loop's: the narinfos of all that the paths need, references first.
    [[nodiscard]] Result<void> writeClosure(const nix::StorePathSet& paths, const ByteSink& sink);
    void countOut(std::uint64_t bytes) { m_counters.bytesOut += bytes; }

    [[nodiscard]] const nix::StoreDir& storeDir() const;
    [[nodiscard]] const DeskCounters& counters() const { return m_counters; }
    [[nodiscard]] const Sessions& sessions() const { return m_sessions; }

private:
    using Facts = std::shared_ptr<const AttemptFacts>;
    using Plans = std::vector<UploadPlan>;
    struct Judged {
        nix::NarInfo info;
        UploadPlan plan;
        Refusal refusal = Refusal::None;
        bool isFree = false; // nothing lay under its NAR's key, so that what lies there later came by this upload
    };
    struct Batch; // of a publication

    [[nodiscard]] cache::ObjectStore* readerFiles() const
    {
        return m_parts.inputFiles == nullptr ? m_parts.files : m_parts.inputFiles;
    }
    template <class T> void onThread(WorkerPool& pool, std::function<Result<T>()> work, Answer<T> answer);
    // Facts of the sender's attempt, null for a client; Denied when the attempt is over.
    void withFacts(const Sender& sender, Answer<Facts> answer);
    [[nodiscard]] std::function<Result<std::vector<Judged>>()> judging(Announcement announcement, Facts facts) const;
    [[nodiscard]] Result<void> enlistWanted(const Sender& sender, Judged& judged);
    [[nodiscard]] nix::NarInfo pastFile(nix::NarInfo announced) const;
    [[nodiscard]] Result<Plans> enlist(const Sender& sender, Facts facts, std::vector<Judged> judged);
    void take(Delivery delivery, Answer<void> answer);
    [[nodiscard]] Result<Batch> gather(const Sender& sender, const std::vector<Publication>& paths);
    void settle(const Sender& sender, const Batch& batch, bool published);
    void discard(std::vector<Item> items);
    void letGo(const nix::NarInfo& nar, bool isStored);
    struct Taken {
        Result<nix::NarInfo> staged;
        std::uint64_t bytes = 0;
        bool wasThere = false; // the file, before
    };
    [[nodiscard]] std::function<Result<Taken>()> taking(const Delivery& delivery, const nix::NarInfo& announced) const;
    void taken(const Sender& sender, const nix::NarInfo& announced, Result<Taken> result, const Answer<void>& answer);
    void sweep();

    DeskParts m_parts;
    DeskOptions m_options;
    std::shared_ptr<const UploadRules> m_rules;
    InfoMemo m_memo;
    Sessions m_sessions;
    NarHolds m_holds;
    DeskCounters m_counters;
    Loop::TimerId m_sweep = 0;
    std::shared_ptr<bool> m_alive; // answers that come home after our end look here first
    WorkerPool m_questions;
    WorkerPool m_bodies; // last: their threads use all of the above
};

} // namespace penstock::transfer
