// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/phases.h"

#include "server/store/postgres/row_reader.h"

#include <algorithm>
#include <utility>

namespace penstock::hydra {
namespace {

using store::postgres::ArrayColumn;
using store::postgres::Connection;
using store::postgres::Parameters;
using store::postgres::RowReader;
using store::postgres::Rows;
using store::postgres::Statement;

constexpr std::size_t kMostTogether = 2'000;
constexpr unsigned kMostTries = 20; // of a row that is locked: a few seconds

// Rows that a writer has locked are left to it: waiting for them could make a circle with it. The answer: those that
// are still to be moved, which were locked.
constexpr Statement kMove{"hydra_phases", R"sql(
WITH told AS (
    SELECT h.attempt, h.build, h.stepnr, p.busy
    FROM unnest($1::bigint[], $2::integer[]) AS p(attempt, busy)
    JOIN penstock.hydra_attempts h ON h.attempt = p.attempt
), free AS (
    SELECT s.build, s.stepnr, told.attempt, told.busy
    FROM told JOIN buildsteps s ON s.build = told.build AND s.stepnr = told.stepnr
    WHERE s.busy <> 0 AND s.busy < told.busy AND s.status IS NULL
    FOR UPDATE OF s SKIP LOCKED
), moved AS (
    UPDATE buildsteps s SET busy = free.busy FROM free
    WHERE s.build = free.build AND s.stepnr = free.stepnr
    RETURNING free.attempt
)
SELECT told.attempt
FROM told JOIN buildsteps s ON s.build = told.build AND s.stepnr = told.stepnr
WHERE s.busy <> 0 AND s.busy < told.busy AND s.status IS NULL
  AND NOT EXISTS (SELECT FROM moved WHERE moved.attempt = told.attempt)
)sql"};

bool mayComeBack(const Error& error)
{
    return error.code == ErrorCode::Unavailable || error.code == ErrorCode::Timeout;
}

} // namespace

int busyOf(std::string_view phase)
{
    if (phase.empty() || phase == "connecting" || phase == "preparing")
        return 0;
    if (phase == "sending-inputs")
        return 20;
    if (phase == "uploading")
        return 40;
    if (phase == "finishing")
        return 50;
    return kBusyBuilding; // a word that the build chose itself among them
}

Phases::Phases(PhaseOptions options, const Clock& clock, Logger& logger)
    : m_options(std::move(options)), m_clock(clock), m_logger(logger)
{
}

Phases::~Phases()
{
    m_stop.request();
}

void Phases::tell(AttemptId attempt, int busy)
{
    if (busy == 0)
        return;
    {
        const MutexLock lock(m_mutex);
        const auto known = m_waiting.find(attempt);
        if (known != m_waiting.end())
            known->second = {busy};
        else if (m_waiting.size() < m_options.maxWaiting)
            m_waiting.emplace(attempt, Waiting{busy});
        if (std::exchange(m_isArmed, true))
            return;
    }
    again(m_options.pause);
}

std::uint64_t Phases::statements()
{
    const MutexLock lock(m_mutex);
    return m_statements;
}

void Phases::again(Duration wait)
{
    m_loop.postAt(m_clock.now().mono + wait, [this] { flush(); });
}

Phases::Batch Phases::takeBatch()
{
    const MutexLock lock(m_mutex);
    ++m_statements;
    if (m_waiting.size() <= kMostTogether)
        return std::exchange(m_waiting, {});
    Batch batch;
    while (batch.size() < kMostTogether)
        batch.insert(m_waiting.extract(m_waiting.begin()));
    return batch;
}

// What was told meanwhile is newer.
void Phases::putBack(const Batch& batch)
{
    const MutexLock lock(m_mutex);
    for (const auto& [attempt, waiting] : batch) {
        if (m_waiting.size() < m_options.maxWaiting)
            m_waiting.emplace(attempt, waiting);
    }
}

void Phases::flush()
{
    const Batch batch = takeBatch();
    Duration wait = m_options.pause;
    if (const auto locked = write(batch)) {
        m_failures = 0;
        Batch rest;
        for (const AttemptId attempt : *locked) {
            const Waiting& waiting = batch.at(attempt);
            if (waiting.tries < kMostTries)
                rest.emplace(attempt, Waiting{waiting.busy, waiting.tries + 1});
        }
        putBack(rest);
    } else {
        m_connection.reset();
        m_logger.debug("hydra.phases_failed", {{"attempts", batch.size()}, {"error", locked.error().message}});
        wait = std::min(m_options.longestWait, m_options.firstWait * (1U << std::min(m_failures++, 10U)));
        if (mayComeBack(locked.error()))
            putBack(batch);
    }
    {
        const MutexLock lock(m_mutex);
        m_isArmed = !m_waiting.empty() && !m_stop.isRequested();
        if (!m_isArmed)
            return;
    }
    again(wait);
}

Result<std::vector<AttemptId>> Phases::write(const Batch& batch)
{
    if (!m_connection || !m_connection->isUsable()) {
        PENSTOCK_TRY(m_connection, Connection::open(m_options.connectionString, "penstock-server phases", m_stop));
    }
    ArrayColumn attempts(ArrayColumn::Element::Int64);
    ArrayColumn phases(ArrayColumn::Element::Int32);
    for (const auto& [attempt, waiting] : batch) {
        attempts.int64(static_cast<std::int64_t>(attempt.value()));
        phases.int32(waiting.busy);
    }
    Parameters parameters;
    parameters.bytes(attempts.take());
    parameters.bytes(phases.take());
    PENSTOCK_TRY(const Rows rows, m_connection->run(kMove, parameters));
    std::vector<AttemptId> locked;
    for (int index = 0; index < rows.count(); ++index) {
        RowReader row(rows, index);
        locked.emplace_back(static_cast<std::uint64_t>(row.int64()));
        PENSTOCK_TRY_VOID(row.finish("hydra_attempts"));
    }
    return locked;
}

} // namespace penstock::hydra
