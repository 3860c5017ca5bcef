// SPDX-License-Identifier: GPL-3.0-or-later
// The writer's connection and its lead.
#include "server/store/postgres/writer.h"

#include "server/store/postgres/queries.h"
#include "server/store/postgres/schema.h"
#include "server/store/postgres/sql.h"
#include "shared/base/clock.h"

#include <fmt/core.h>

namespace penstock::store::postgres {
namespace {

constexpr std::chrono::milliseconds kLeadPause(20);
// A server that has just ended keeps its session, and so the lead, for a moment.
constexpr std::chrono::seconds kLeadLimit(2);

// These settings make each plan a walk over an index for each row given, whatever the planner believes about the sizes
// of tables that have never been analysed: a plan made for an empty table must not stay when it has a million rows.
constexpr const char* kWriterSettings = "SET enable_seqscan = off; SET enable_hashjoin = off; "
                                        "SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan";

} // namespace

Result<void> Writer::connect()
{
    PENSTOCK_TRY(m_connection, Connection::open(m_options.connectionString, m_applicationName, m_stop));
    m_holdsLead = false;
    return {};
}

Result<bool> Writer::tryLead()
{
    PENSTOCK_TRY(const Rows rows, m_connection->runPlanned(sql::kTryLead, {}));
    RowReader row(rows, 0);
    const bool isTaken = rows.count() == 1 && row.boolean();
    PENSTOCK_TRY_VOID(row.finish("lock"));
    return isTaken;
}

Result<std::int64_t> Writer::readEpoch()
{
    PENSTOCK_TRY(const Rows rows, m_connection->runPlanned(sql::kReadEpoch, {}));
    RowReader row(rows, 0);
    if (rows.count() != 1)
        return fail(ErrorCode::Corrupt, "the table penstock.epoch must hold one row; restore it from a backup");
    const std::int64_t epoch = row.int64();
    PENSTOCK_TRY_VOID(row.finish("epoch"));
    return epoch;
}

Error Writer::otherLeads()
{
    std::string who = "another server";
    if (m_connection && m_connection->isUsable())
        if (const auto rows = m_connection->runPlanned(sql::kWhoLeads, {}); rows && rows->count() > 0) {
            RowReader row(*rows, 0);
            const std::int64_t pid = row.int64();
            const std::string name = row.text();
            const std::string host = row.text();
            who = fmt::format("another server (database session {} \"{}\" from {})", pid, name, host);
        }
    return {ErrorCode::Conflict, who + " leads on this database; only one may write: stop it, or give this one "
                                       "another database"};
}

// At start-up: for the first time, with a new epoch.
Result<void> Writer::takeLead()
{
    const Instant limit = SystemClock{}.now().mono + kLeadLimit;
    for (;;) {
        PENSTOCK_TRY(const bool isTaken, tryLead());
        if (isTaken)
            break;
        if (SystemClock{}.now().mono >= limit || !m_stop.sleepFor(kLeadPause))
            return fail(otherLeads());
    }
    PENSTOCK_TRY(const Rows rows, m_connection->runPlanned(sql::kRaiseEpoch, {}));
    RowReader row(rows, 0);
    if (rows.count() != 1)
        return fail(ErrorCode::Corrupt, "the table penstock.epoch must hold one row; restore it from a backup");
    m_epoch = row.int64();
    PENSTOCK_TRY_VOID(row.finish("epoch"));
    m_holdsLead = true;
    return {};
}

// After a lost connection: with the epoch we had, or not at all.
Result<void> Writer::regainLead()
{
    PENSTOCK_TRY(const std::int64_t epoch, readEpoch());
    if (epoch != m_epoch)
        return fail(otherLeads());
    PENSTOCK_TRY(const bool isTaken, tryLead());
    if (!isTaken) {
        Parameters former;
        former.int64(m_formerBackend);
        former.text(std::string_view(m_applicationName));
        PENSTOCK_TRY_VOID(m_connection->runPlanned(sql::kEndBackend, former));
        return fail(ErrorCode::Unavailable, "our former session with the database still holds the lead");
    }
    // Between the two questions another server may have led for a moment.
    PENSTOCK_TRY(const std::int64_t still, readEpoch());
    if (still != m_epoch)
        return fail(otherLeads());
    m_holdsLead = true;
    return m_connection->runScript(kWriterSettings);
}

Result<work::Recovery> Writer::load()
{
    if (m_connection && !m_connection->isUsable())
        m_connection.reset();
    if (!m_connection)
        PENSTOCK_TRY_VOID(connect());
    PENSTOCK_TRY_VOID(m_connection->runScript("RESET enable_seqscan; RESET enable_hashjoin; RESET enable_mergejoin; "
                                              "RESET plan_cache_mode"));
    PENSTOCK_TRY_VOID(migrate(*m_connection));
    if (!m_holdsLead)
        PENSTOCK_TRY_VOID(takeLead());
    if (m_options.projection != nullptr) {
        PENSTOCK_TRY_VOID(m_options.projection->begin(*m_connection));
        expectMore(Projection::Rest::Waits);
    }
    PENSTOCK_TRY(work::Recovery recovery, loadRecovery(*m_connection, SystemClock{}.now().wall));
    PENSTOCK_TRY_VOID(m_connection->runScript(kWriterSettings));
    m_storedMarks = recovery.marks;
    m_refusal.reset();
    pruneNow();
    return recovery;
}

} // namespace penstock::store::postgres
