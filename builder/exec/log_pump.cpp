// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/log_pump.h"

#include "shared/protocol/limits.h"

#include <algorithm>
#include <unistd.h>
#include <utility>

namespace penstock::builder {

LogPump::LogPump(AttemptId attempt, std::string path, LogBudget& budget, SendChunk send)
    : m_attempt(attempt), m_path(std::move(path)), m_budget(budget), m_send(std::move(send))
{}

LogPump::~LogPump()
{
    setInFlight(0);
}

void LogPump::setInFlight(std::uint64_t bytes)
{
    m_budget.inFlight += bytes;
    m_budget.inFlight -= std::exchange(m_inFlight, bytes);
}

Result<void> LogPump::reopen()
{
    auto spool = LogSpool::reopen(m_path);
    if (!spool && spool.error().code == ErrorCode::NotFound)
        return {};
    if (!spool)
        return fail(std::move(spool).error());
    m_spool = *std::move(spool);
    m_stored = m_spool->begin();
    m_sent = m_stored;
    return {};
}

Result<void> LogPump::append(WallTime time, protocol::Stream stream, std::string_view bytes)
{
    if (!m_spool && !bytes.empty()) {
        PENSTOCK_TRY(m_spool, LogSpool::create(m_path));
    }
    while (!bytes.empty()) {
        const std::string_view piece = bytes.substr(0, protocol::kMaxLogRecordBytes);
        PENSTOCK_TRY_VOID(m_spool->append(time, stream, piece));
        bytes.remove_prefix(piece.size());
    }
    return {};
}

Result<void> LogPump::pump()
{
    while (m_linkUp && !m_stopped && m_spool && m_sent.logOffset < length() && m_inFlight < kLogWindowBytes) {
        if (m_budget.inFlight >= kTotalLogWindowBytes) {
            m_budget.exhausted = true;
            break;
        }
        protocol::LogChunk chunk{m_attempt, m_sent.logOffset, {}};
        PENSTOCK_TRY(chunk.records, m_spool->read(m_sent, kLogChunkBytes));
        if (chunk.records.empty())
            break;
        m_chunkEnds.insert_or_assign(m_sent.logOffset, m_sent);
        setInFlight(m_sent.logOffset - m_stored.logOffset);
        m_send(std::move(chunk));
    }
    return {};
}

void LogPump::linkUp()
{
    linkDown();
    m_linkUp = true;
}

void LogPump::linkDown()
{
    m_linkUp = false;
    m_sent = m_stored;
    m_chunkEnds.clear();
    setInFlight(0);
}

Result<void> LogPump::resendUnconfirmed()
{
    if (!m_linkUp || m_stopped || m_inFlight == 0) {
        m_unconfirmed.reset();
        return {};
    }
    if (std::exchange(m_unconfirmed, m_stored.logOffset) != m_stored.logOffset)
        return {};
    m_sent = m_stored; // doubles are cut off by the server
    m_chunkEnds.clear();
    setInFlight(0);
    return pump();
}

Result<void> LogPump::onStored(const protocol::LogStored& stored)
{
    m_stopped = m_stopped || stored.stop;
    // A server that restarted may have lost what it had not yet synced and then names an earlier offset; but
    // what it once confirmed may be gone here, and what it now confirms beyond our end is nonsense of its
    // own.
    const std::uint64_t offset = std::min(stored.offset, length());
    if (m_spool && offset > m_stored.logOffset) {
        const auto known = m_chunkEnds.find(offset);
        if (known != m_chunkEnds.end()) {
            m_stored = known->second;
        } else {
            PENSTOCK_TRY(m_stored, m_spool->seek(m_stored, offset));
        }
        m_chunkEnds.erase(m_chunkEnds.begin(), m_chunkEnds.upper_bound(m_stored.logOffset));
        if (m_sent.logOffset < m_stored.logOffset)
            m_sent = m_stored;
        m_spool->release(m_stored);
    }
    setInFlight(m_stopped ? 0 : m_sent.logOffset - m_stored.logOffset);
    return pump();
}

void LogPump::remove()
{
    if (std::exchange(m_spool, std::nullopt))
        ::unlink(m_path.c_str());
}

} // namespace penstock::builder
