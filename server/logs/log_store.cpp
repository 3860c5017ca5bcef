// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/logs/log_store.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace penstock::logs {
namespace {

// Attempts whose log may still be completed by a builder that comes back; beyond it the oldest is ended as it
// is.
constexpr std::size_t kMaxExpected = 10'000;

} // namespace

LogStore::LogStore(std::string folder, LogLimits limits, Logger& logger, Grown grown, LogTap* tap)
    : m_folder(std::move(folder)), m_limits(limits), m_logger(logger), m_grown(std::move(grown)), m_tap(tap)
{}

std::string LogStore::pathOf(AttemptId attempt) const
{
    return fmt::format("{}/{:04}/{}.log", m_folder, attempt.value() / 10'000, attempt.value());
}

Result<LogFile*> LogStore::fileOf(AttemptId attempt, bool create)
{
    const auto found = m_open.find(attempt);
    if (found != m_open.end()) {
        m_recent.splice(m_recent.begin(), m_recent, found->second.used);
        return found->second.file.get();
    }
    PENSTOCK_TRY(std::unique_ptr<LogFile> file, LogFile::open(pathOf(attempt), create));
    while (m_open.size() >= m_limits.maxOpenFiles) {
        m_open.erase(m_recent.back());
        m_recent.pop_back();
    }
    m_recent.push_front(attempt);
    LogFile* raw = file.get();
    m_open.emplace(attempt, Open{std::move(file), m_recent.begin()});
    return raw;
}

Result<Stored> LogStore::store(const protocol::LogChunk& chunk)
{
    PENSTOCK_TRY(LogFile* const file, fileOf(chunk.attempt, true));
    if (file->ended() || file->size() >= m_limits.maxBytesPerAttempt)
        return Stored{file->size(), true};
    if (chunk.offset > file->size())
        return Stored{file->size(), false}; // a hole: the builder goes on from what is known
    const std::uint64_t before = file->size();
    PENSTOCK_TRY_VOID(file->append(chunk));
    if (m_tap != nullptr)
        m_tap->appended(chunk, *file);
    settleIfWhole(chunk.attempt, *file);
    endIfWhole(chunk.attempt, *file);
    if (file->size() != before || file->ended())
        m_grown(chunk.attempt, file->size(), file->ended());
    return Stored{file->size(), false};
}

void LogStore::endIfWhole(AttemptId attempt, LogFile& file)
{
    const auto expected = m_expected.find(attempt);
    if (expected == m_expected.end() || file.size() < expected->second)
        return;
    m_expected.erase(expected);
    if (const auto ended = file.end(); !ended)
        m_logger.warning("log.end_failed", {{"attempt", attempt.value()}, {"error", ended.error().message}});
}

void LogStore::append(protocol::LogChunk chunk, Answer<Stored> answer)
{
    m_loop.post([this, chunk = std::move(chunk), answer = std::move(answer)] {
        Result<Stored> stored = store(chunk);
        if (!stored)
            m_logger.warning("log.store_failed",
                             {{"attempt", chunk.attempt.value()}, {"error", stored.error().message}});
        answer(std::move(stored));
    });
}

void LogStore::end(AttemptId attempt, std::uint64_t bytes, bool hasRun)
{
    m_loop.post([this, attempt, bytes, hasRun] {
        tellEnded(attempt, hasRun);
        const auto file = fileOf(attempt, bytes > 0);
        if (!file) {
            if (file.error().code != ErrorCode::NotFound) {
                m_logger.warning("log.end_failed",
                                 {{"attempt", attempt.value()}, {"error", file.error().message}});
                expect(attempt, bytes); // the builder sends until there is room
                return;
            }
            m_grown(attempt, 0, true);
            return;
        }
        expect(attempt, bytes);
        endIfWhole(attempt, **file);
        m_grown(attempt, (*file)->size(), (*file)->ended());
    });
}

void LogStore::expect(AttemptId attempt, std::uint64_t bytes)
{
    if (m_expected.size() >= kMaxExpected) {
        const AttemptId oldest = m_expected.begin()->first;
        m_expected.erase(m_expected.begin());
        m_logger.warning("log.incomplete", {{"attempt", oldest.value()}});
    }
    m_expected[attempt] = bytes;
}

void LogStore::endHere(AttemptId attempt)
{
    m_loop.post([this, attempt] {
        tellEnded(attempt, false);
        const auto file = fileOf(attempt, false);
        m_expected.erase(attempt);
        std::uint64_t size = 0;
        if (file) {
            size = (*file)->size();
            if (const auto ended = (*file)->end(); !ended)
                m_logger.warning("log.end_failed",
                                 {{"attempt", attempt.value()}, {"error", ended.error().message}});
        }
        m_grown(attempt, size, true);
    });
}

void LogStore::read(AttemptId attempt, std::uint64_t offset, std::uint64_t limit, Answer<LogSlice> answer)
{
    m_loop.post([this, attempt, offset, limit, answer = std::move(answer)] {
        const auto file = fileOf(attempt, false);
        if (!file)
            return answer(fail(file.error()));
        answer((*file)->read(offset, std::clamp<std::uint64_t>(limit, 1, m_limits.maxReadBytes)));
    });
}

// ------------------------------------------------------------------------------------------------- for the tap

LogFile* LogStore::existing(AttemptId attempt)
{
    const auto file = fileOf(attempt, false);
    if (!file && file.error().code != ErrorCode::NotFound)
        m_logger.warning("log.open_failed", {{"attempt", attempt.value()}, {"error", file.error().message}});
    return file ? *file : nullptr;
}

void LogStore::tellEnded(AttemptId attempt, bool hasRun)
{
    if (m_tap != nullptr)
        m_tap->ended(attempt, m_tap->isOpen(attempt) ? existing(attempt) : nullptr, hasRun);
}

void LogStore::opened(AttemptId attempt, std::string subject)
{
    if (m_tap != nullptr)
        m_loop.post([this, attempt, subject = std::move(subject)] { m_tap->opened(attempt, subject); });
}

void LogStore::running(AttemptId attempt, Task then)
{
    m_loop.post([this, attempt, then = std::move(then)] {
        if (m_tap != nullptr && m_tap->isOpen(attempt))
            m_tap->running(attempt, existing(attempt));
        then();
    });
}

void LogStore::settle(AttemptId attempt, std::uint64_t bytes, bool hasRun, std::function<void(bool)> answer)
{
    m_loop.post([this, attempt, bytes, hasRun, answer = std::move(answer)]() mutable {
        if (m_tap == nullptr || !m_tap->isOpen(attempt)) {
            m_awaited.erase(attempt);
            return answer(true);
        }
        m_awaited.insert_or_assign(attempt, Awaited{bytes, hasRun, std::move(answer)});
        if (bytes == 0)
            return settled(attempt, true);
        if (const LogFile* file = existing(attempt); file != nullptr)
            settleIfWhole(attempt, *file);
    });
}

void LogStore::settleIfWhole(AttemptId attempt, const LogFile& file)
{
    const auto awaited = m_awaited.find(attempt);
    if (awaited == m_awaited.end())
        return;
    // What is beyond our own limit is never taken.
    if (file.size() >= std::min(awaited->second.bytes, m_limits.maxBytesPerAttempt) || file.ended())
        settled(attempt, true);
}

void LogStore::settled(AttemptId attempt, bool isWhole)
{
    auto awaited = m_awaited.extract(attempt);
    if (awaited.empty())
        return;
    const bool isSilent = awaited.mapped().bytes == 0;
    const Ending ending = !awaited.mapped().hasRun ? Ending::NotRun : isSilent ? Ending::Silent : Ending::Told;
    m_tap->closed(attempt, isSilent ? nullptr : existing(attempt), ending);
    awaited.mapped().answer(isWhole);
}

void LogStore::settleNow(AttemptId attempt)
{
    m_loop.post([this, attempt] { settled(attempt, false); });
}

void LogStore::unsettle(AttemptId attempt)
{
    m_loop.post([this, attempt] { m_awaited.erase(attempt); });
}

} // namespace penstock::logs
