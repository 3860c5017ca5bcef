// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/feed/detail/log_reader.h"

#include "server/feed/detail/wire.h"

namespace penstock::feed {

LogReader::LogReader(FeedSource& source, Outlet& outlet, OnEnd onEnd, OnWatching onWatching)
    : m_source(source), m_outlet(outlet), m_onEnd(std::move(onEnd)), m_onWatching(std::move(onWatching))
{}

void LogReader::add(LogTarget target)
{
    const Key key{target.watch, target.attempt};
    const auto [at, isNew] = m_follows.try_emplace(key, Follow{target});
    if (!isNew)
        return;
    m_lastProgress = m_outlet.now().mono;
    m_onWatching(target, true);
    queue(key, at->second);
    pump();
}

void LogReader::removeWatch(std::uint64_t watch)
{
    for (auto at = m_follows.lower_bound({watch, AttemptId(0)});
         at != m_follows.end() && at->first.first == watch;) {
        m_onWatching(at->second.target, false);
        at = m_follows.erase(at);
    }
}

std::size_t LogReader::countOf(std::uint64_t watch) const
{
    std::size_t count = 0;
    for (auto at = m_follows.lower_bound({watch, AttemptId(0)});
         at != m_follows.end() && at->first.first == watch; ++at)
        ++count;
    return count;
}

void LogReader::grew(std::uint64_t watch, AttemptId attempt)
{
    const auto found = m_follows.find({watch, attempt});
    if (found == m_follows.end())
        return;
    queue(found->first, found->second);
    pump();
}

void LogReader::pollAll()
{
    for (auto& [key, follow] : m_follows)
        queue(key, follow);
    pump();
}

void LogReader::queue(const Key& key, Follow& follow)
{
    if (follow.reading)
        follow.more = true;
    else if (!std::exchange(follow.queued, true))
        m_runnable.push_back(key);
}

void LogReader::pump()
{
    // An answer that comes at once calls this again; the outer turn goes on instead, so that nothing nests.
    if (std::exchange(m_pumping, true))
        return;
    while (m_reads < kMaxReads && !m_runnable.empty() && m_outlet.hasRoom()) {
        const auto key = m_runnable.front();
        m_runnable.pop_front();
        read(key);
    }
    m_pumping = false;
}

void LogReader::read(const Key& key)
{
    const auto found = m_follows.find(key);
    if (found == m_follows.end() || !std::exchange(found->second.queued, false))
        return; // was taken away meanwhile
    auto& follow = found->second;
    follow.reading = true;
    follow.more = false;
    ++m_reads;
    m_source.readLog(follow.target.attempt, follow.target.offset, kReadBytes,
                     [this, alive = std::weak_ptr(m_alive), key](Result<LogSlice> slice) {
                         if (alive.lock())
                             answered(key, std::move(slice));
                     });
}

void LogReader::answered(const Key& key, Result<LogSlice> slice)
{
    --m_reads;
    const auto found = m_follows.find(key);
    if (found != m_follows.end() && found->second.reading) {
        auto& follow = found->second;
        follow.reading = false;
        if (!slice && slice.error().code == ErrorCode::Unavailable) {
            // The next look (pollAll) tries again.
        } else if (!slice) {
            finish(key, &slice.error());
        } else {
            const bool moved = slice->next > follow.target.offset;
            const bool atEnd = slice->next >= slice->size;
            const bool ended = atEnd && slice->ended;
            sendSlice(follow, *slice, ended);
            if (moved)
                follow.target.offset = slice->next;
            if (ended || (atEnd && !follow.target.follow))
                finish(key, nullptr);
            else if ((moved && !atEnd) || follow.more)
                queue(key, follow);
        }
    }
    pump();
}

void LogReader::sendSlice(Follow& follow, const LogSlice& slice, bool ended)
{
    if (slice.pieces.empty() && !ended && std::exchange(follow.began, true))
        return;
    follow.began = true;
    if (!slice.pieces.empty())
        m_lastProgress = m_outlet.now().mono;
    monitor::FeedMessage message;
    auto& log = *message.mutable_log();
    log.set_watch(follow.target.watch);
    log.set_attempt_id(follow.target.attempt.value());
    log.set_step_id(follow.target.step.value());
    log.set_offset(slice.offset);
    for (const auto& piece : slice.pieces) {
        wire::write(*log.add_records(), piece);
        m_bytes += piece.data.size();
    }
    log.set_ended(ended);
    log.set_size(slice.size);
    m_outlet.send(message);
}

void LogReader::finish(const Key& key, const Error* error)
{
    const auto node = m_follows.extract(key);
    if (node.empty())
        return;
    m_onWatching(node.mapped().target, false);
    m_onEnd(node.mapped().target, error);
}

} // namespace penstock::feed
