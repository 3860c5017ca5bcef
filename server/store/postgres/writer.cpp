// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/writer.h"

#include "server/store/postgres/queries.h"
#include "server/store/postgres/row_writer.h"
#include "server/store/postgres/sql.h"
#include "shared/base/clock.h"

#include <algorithm>
#include <fmt/core.h>
#include <iterator>
#include <pthread.h>
#include <string_view>

namespace penstock::store::postgres {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstPause(20);
constexpr milliseconds kLongestPause(2'000);
// What a projection could not write with its own transaction waits for locks of others.
constexpr milliseconds kFirstLaterPause(200);
constexpr std::chrono::seconds kLongestLaterPause(30);
constexpr std::chrono::seconds kLongestNewPause(2); // of what has begun to wait, though others wait longer
constexpr milliseconds kBetweenParts(5); // what has come in the meantime goes first
// One transaction: enough to be fast, small enough to be done in about a second.
constexpr std::size_t kMaxGroupWeight = 32 * 1024 * 1024;
constexpr std::size_t kRowWeight = 200;

std::size_t weightOf(const work::Changes& c)
{
    std::size_t weight = kRowWeight * rowsOf(c);
    for (const work::JobRow& row : c.newJobs)
        weight += row.spec.definition.size();
    for (const work::StepRow& row : c.newSteps)
        if (const auto* nix = std::get_if<work::NixWork>(row.spec.work.get()))
            weight += nix->drv.size();
    return weight;
}

bool isWorthTrying(const Error& error)
{
    return error.code == ErrorCode::Unavailable || error.code == ErrorCode::Timeout;
}

} // namespace

Writer::Writer(WriterOptions options, Logger& logger)
    : m_options(std::move(options)), m_logger(logger),
      m_applicationName(fmt::format("penstock-writer-{:x}", SystemClock{}.now().wall.micros())),
      m_queue(kMaxWaitingBatches), m_health(fail(ErrorCode::Unavailable, "the database was not asked yet")),
      m_thread([this] {
          ::pthread_setname_np(::pthread_self(), "store-writer");
          run();
      })
{
}

Writer::~Writer()
{
    m_queue.close();
    m_stop.request();
    m_thread.join();
}

Result<work::Recovery> Writer::loadOpen()
{
    auto promise = std::make_shared<std::promise<Result<work::Recovery>>>();
    auto loaded = promise->get_future();
    if (!m_queue.push(Load{promise}))
        return fail(ErrorCode::Exhausted, "too many batches wait for the database; end the server and start it anew");
    return loaded.get();
}

void Writer::persist(work::Changes changes, const work::IdMarks& marks, Answer<void> done)
{
    Item item = Batch{std::move(changes), marks, std::move(done)};
    // A batch left out would make those after it wrong, so this ends the process.
    if (!m_queue.push(std::move(item)))
        std::get<Batch>(item).done(fail(
            ErrorCode::Conflict,
            fmt::format("more than {} batches wait for the database, the last of them is lost", kMaxWaitingBatches)));
}

void Writer::tell(const Result<void>& health)
{
    const bool hasChanged = health.has_value() != m_health.get().has_value();
    m_health.publish(health);
    if (!hasChanged)
        return;
    if (health)
        m_logger.info("store.available");
    else
        m_logger.error("store.unavailable", {{"error", health.error().message}});
    if (m_options.onHealth)
        m_options.onHealth(health);
}

// ------------------------------------------------------------------------------------------------------ the thread

void Writer::run()
{
    for (auto items = take(); !items.empty(); items = take())
        writeItems(std::move(items));
}

// Whatever waits for the projection comes when nothing else does, or is overdue.
std::deque<Writer::Item> Writer::take()
{
    while (m_laterAt) {
        if (SystemClock{}.now().mono < *m_laterAt) {
            auto items = m_queue.takeAllUntil(std::chrono::steady_clock::time_point(m_laterAt->sinceStart));
            if (items)
                return *std::move(items);
        }
        writeLater();
    }
    return m_queue.takeAll();
}

void Writer::writeItems(std::deque<Item> items)
{
    std::vector<Batch> group;
    std::size_t weight = 0;
    for (Item& item : items) {
        if (auto* load = std::get_if<Load>(&item)) {
            writeGroup(std::exchange(group, {}));
            weight = 0;
            auto loaded = this->load();
            tell(loaded ? Result<void>() : Result<void>(fail(loaded.error())));
            load->promise->set_value(std::move(loaded));
            continue;
        }
        auto& batch = std::get<Batch>(item);
        weight += weightOf(batch.changes);
        group.push_back(std::move(batch));
        if (weight >= kMaxGroupWeight) {
            writeGroup(std::exchange(group, {}));
            weight = 0;
        }
    }
    writeGroup(std::move(group));
}

void Writer::writeGroup(std::vector<Batch> group)
{
    if (group.empty())
        return;
    Result<void> done;
    std::size_t prunable = 0;
    if (m_epoch == 0 && !m_refusal)
        done = fail(ErrorCode::Conflict, "this server does not lead, so it may not write");
    else if (m_refusal)
        done = fail(*m_refusal);
    else {
        MergedBatch merged;
        for (Batch& batch : group)
            merged.add(std::move(batch.changes), batch.marks);
        merged.finish();
        prunable = merged.changes().usage.size() + merged.changes().history.size();
        done = writeUntilDone(merged);
        if (!done)
            m_refusal = done.error();
    }
    for (Batch& batch : group)
        batch.done(done);
    if (!done)
        return;
    pruneSometimes(prunable);
    expectMore(m_left);
}

// Each question costs as much as all that waits, so what waits for long already is not asked for with every write.
void Writer::expectMore(Projection::Rest rest)
{
    if (rest == Projection::Rest::None)
        return;
    if (!m_laterAt)
        m_laterPause = kFirstLaterPause;
    m_laterPause = std::min<Duration>(m_laterPause, kLongestNewPause);
    const Duration pause = rest == Projection::Rest::More ? Duration(kBetweenParts) : m_laterPause;
    const Instant soon = SystemClock{}.now().mono + pause;
    m_laterAt = m_laterAt ? std::min(*m_laterAt, soon) : soon;
}

void Writer::writeLater()
{
    m_laterAt.reset();
    if (m_refusal)
        return;
    using enum Projection::Rest;
    const Result<Projection::Rest> more = askForMore();
    if (!more && m_connection && m_connection->isUsable())
        if (const auto undone = m_connection->runScript("ROLLBACK"); !undone)
            m_logger.warning("store.rollback_failed", {{"error", undone.error().message}});
    dropLostConnection();
    if (!more && !isWorthTrying(more.error()) && more.error().code != ErrorCode::Cancelled) {
        m_refusal = Error{ErrorCode::Conflict, more.error().message};
        return tell(fail(*m_refusal));
    }
    if (!more)
        m_logger.warning("store.projection_waits", {{"error", more.error().message}});
    const Projection::Rest rest = more.value_or(Waits);
    if (rest == None)
        return;
    if (rest == Waits)
        m_laterPause = std::min<Duration>(m_laterPause * 2, kLongestLaterPause);
    m_laterAt = SystemClock{}.now().mono + (rest == More ? Duration(kBetweenParts) : m_laterPause);
}

Result<Projection::Rest> Writer::askForMore()
{
    if (!m_connection)
        PENSTOCK_TRY_VOID(connect());
    if (!m_holdsLead)
        PENSTOCK_TRY_VOID(regainLead());
    return m_options.projection->later(*m_connection);
}

void Writer::dropLostConnection()
{
    if (!m_connection || m_connection->isUsable())
        return;
    m_formerBackend = m_connection->backend();
    m_connection.reset();
    m_holdsLead = false;
}

// Costs as much as all usage and history there is, so only when an hour is over or as much was written again. Only with
// a batch, as an idle farm adds nothing.
void Writer::pruneSometimes(std::size_t written)
{
    m_prunable += written;
    const bool isDue = SystemClock{}.now().mono - m_lastPrune >= m_options.pruneInterval;
    if (m_connection && m_prunable > 0 && (isDue || m_prunable >= work::kHistoryKept))
        pruneNow();
}

// Harmless when it fails: what stays too long is left out of the recovery all the same.
void Writer::pruneNow()
{
    const Now now = SystemClock{}.now();
    m_prunable = 0;
    m_lastPrune = now.mono;
    const auto pruned = prune(*m_connection, now.wall);
    if (pruned)
        m_logger.debug("store.pruned", {{"rows", *pruned}});
    else
        m_logger.warning("store.prune_failed", {{"error", pruned.error().message}});
    dropLostConnection();
}

Result<void> Writer::writeUntilDone(const MergedBatch& merged)
{
    milliseconds pause = kFirstPause;
    for (;;) {
        Result<void> done = writeOnce(merged);
        if (done) {
            tell(done);
            return done;
        }
        dropLostConnection();
        tell(done);
        if (!isWorthTrying(done.error()) && done.error().code != ErrorCode::Cancelled)
            return fail(ErrorCode::Conflict, done.error().message);
        if (done.error().code == ErrorCode::Cancelled || !m_stop.sleepFor(pause))
            return fail(ErrorCode::Unavailable, "the store was stopped before the database had confirmed: " +
                                                    done.error().message);
        pause = std::min(pause * 2, kLongestPause);
    }
}

Result<void> Writer::writeOnce(const MergedBatch& merged)
{
    if (!m_connection)
        PENSTOCK_TRY_VOID(connect());
    if (!m_holdsLead)
        PENSTOCK_TRY_VOID(regainLead());
    auto written = writeInTransaction(merged);
    if (!written && m_connection->isUsable())
        if (const auto undone = m_connection->runScript("ROLLBACK"); !undone)
            m_logger.warning("store.rollback_failed", {{"error", undone.error().message}});
    return written;
}

// -------------------------------------------------------------------------------------------------- transactions

Result<void> Writer::writeInTransaction(const MergedBatch& merged)
{
    const work::IdMarks& marks = merged.marks();
    m_left = Projection::Rest::None;
    std::vector<Write> writes = farmRowsOf(merged.changes());
    const auto add = [&writes](std::vector<Write> more) {
        writes.insert(writes.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
    };
    add(insertsOf(merged.changes()));
    add(updatesOf(merged.changes()));
    add(keysOf(merged.changes()));
    const bool raisesMarks = marks.job > m_storedMarks.job || marks.step > m_storedMarks.step ||
                             marks.attempt > m_storedMarks.attempt || marks.machine > m_storedMarks.machine;
    if (writes.empty() && !raisesMarks)
        return {};
    std::vector<Request> requests{{&sql::kBegin}, {&sql::kCheckEpoch}};
    if (raisesMarks) {
        requests.push_back({&sql::kRaiseMarks});
        for (const std::uint64_t mark : {marks.job, marks.step, marks.attempt, marks.machine})
            requests.back().parameters.int64(static_cast<std::int64_t>(mark));
    }
    const std::size_t firstWrite = requests.size();
    for (Write& write : writes)
        requests.push_back(std::move(write.request));
    PENSTOCK_TRY(const std::vector<Rows> answers, m_connection->runAll(requests));

    RowReader epoch(answers[1], 0);
    if (answers[1].count() != 1 || epoch.int64() != m_epoch)
        return fail(otherLeads());
    bool isAllNew = true;
    for (std::size_t index = 0; index < writes.size(); ++index) {
        const Write& write = writes[index];
        const std::uint64_t affected = answers[firstWrite + index].affected();
        if (affected == write.rows)
            continue;
        isAllNew = false;
        if (write.expect == Write::Expect::All)
            return fail(ErrorCode::Conflict,
                        fmt::format("{} rows of kind \"{}\" were to be written and {} were found; our view of the "
                                    "rows is wrong (an update of a row that is not stored, or a key that another "
                                    "unfinished job holds)",
                                    write.rows, write.what, affected));
    }
    if (!isAllNew)
        PENSTOCK_TRY_VOID(checkFolded(merged));
    if (m_options.projection != nullptr) {
        PENSTOCK_TRY(m_left, m_options.projection->write(*m_connection, merged.changes()));
    }
    PENSTOCK_TRY(const Rows committed, m_connection->run(sql::kCommit));
    m_storedMarks = {std::max(m_storedMarks.job, marks.job), std::max(m_storedMarks.step, marks.step),
                     std::max(m_storedMarks.attempt, marks.attempt), std::max(m_storedMarks.machine, marks.machine)};
    return {};
}

// Some new rows exist already, as they are written for the second time: their updates count all the same.
Result<void> Writer::checkFolded(const MergedBatch& merged)
{
    std::vector<Request> requests;
    for (Write& write : updatesOf(merged.folded()))
        requests.push_back(std::move(write.request));
    if (!requests.empty())
        PENSTOCK_TRY_VOID(m_connection->runAll(requests));
    return {};
}

} // namespace penstock::store::postgres
