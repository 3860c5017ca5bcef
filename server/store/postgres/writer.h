// SPDX-License-Identifier: GPL-3.0-or-later
// Writer: the one thread that writes. It takes everything that waits, merges it into one transaction (group commit),
// sends that as a pipeline, checks the epoch and every count of rows, and commits. It holds the lead: an advisory
// lock of its session, and an epoch number that each batch's transaction checks under a share lock, so that a former
// leader whose session still lingers cannot write after a new leader has begun. What a projection writes later is
// checked by nothing but the lock.
//
// A lost database is waited for with back-off and the very same transaction is sent again: were it committed after all,
// all its inserts find their rows and its updates write the same values. Batches are never reordered or dropped.
#pragma once

#include "server/store/postgres/connection.h"
#include "server/store/postgres/merged_batch.h"
#include "server/store/postgres/projection.h"
#include "server/store/store.h"
#include "shared/base/latest.h"
#include "shared/base/log.h"
#include "shared/base/queue.h"

#include <future>
#include <optional>
#include <thread>
#include <variant>

namespace penstock::store::postgres {

struct WriterOptions {
    std::string connectionString;
    std::function<void(Result<void>)> onHealth;
    Duration pruneInterval = std::chrono::hours(1); // of usage and history no longer needed
    Projection* projection = nullptr;               // outlives the writer
};

class Writer {
public:
    Writer(WriterOptions options, Logger& logger);
    ~Writer(); // writes what waits when the database is there; what cannot be written is answered with Unavailable
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    [[nodiscard]] Result<work::Recovery> loadOpen(); // blocks
    void persist(work::Changes changes, const work::IdMarks& marks, Answer<void> done);
    [[nodiscard]] Result<void> health() const { return m_health.get(); }

private:
    struct Batch {
        work::Changes changes;
        work::IdMarks marks;
        Answer<void> done;
    };
    struct Load {
        std::shared_ptr<std::promise<Result<work::Recovery>>> promise;
    };
    using Item = std::variant<Batch, Load>;

    void run();
    [[nodiscard]] std::deque<Item> take();
    void writeItems(std::deque<Item> items);
    void writeGroup(std::vector<Batch> group);
    [[nodiscard]] Result<void> writeUntilDone(const MergedBatch& merged);
    [[nodiscard]] Result<void> writeOnce(const MergedBatch& merged);
    [[nodiscard]] Result<void> writeInTransaction(const MergedBatch& merged);
    [[nodiscard]] Result<void> checkFolded(const MergedBatch& merged);
    [[nodiscard]] Result<work::Recovery> load();
    [[nodiscard]] Result<void> connect();
    [[nodiscard]] Result<void> takeLead();
    [[nodiscard]] Result<void> regainLead();
    [[nodiscard]] Result<bool> tryLead();
    [[nodiscard]] Result<std::int64_t> readEpoch();
    [[nodiscard]] Error otherLeads();
    void tell(const Result<void>& health);
    void dropLostConnection();
    void pruneSometimes(std::size_t written);
    void pruneNow();
    void expectMore(Projection::Rest rest);
    void writeLater();
    [[nodiscard]] Result<Projection::Rest> askForMore();

    WriterOptions m_options;
    Logger& m_logger;
    StopSignal m_stop;
    std::string m_applicationName; // of this writer alone
    BoundedQueue<Item> m_queue;
    Latest<Result<void>> m_health;

    // Of the thread.
    std::optional<Connection> m_connection;
    std::int64_t m_epoch = 0;    // 0: has never led
    int m_formerBackend = 0;     // of the lost connection
    bool m_holdsLead = false;    // on m_connection
    work::IdMarks m_storedMarks;
    std::size_t m_prunable = 0; // rows of usage and history since the last time
    Instant m_lastPrune;
    std::optional<Instant> m_laterAt; // when the projection is asked for what could not be written at once
    Duration m_laterPause{0};
    Projection::Rest m_left = Projection::Rest::None; // by the last write
    std::optional<Error> m_refusal; // the first; everything later gets it too
    std::thread m_thread;
};

} // namespace penstock::store::postgres
