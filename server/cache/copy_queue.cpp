// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/copy_queue.h"

#include "server/cache/detail/dir_list.h"
#include "shared/base/text.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace penstock::cache {
namespace {

constexpr std::string_view kHead = "penstock-copy 1\n";
constexpr std::size_t kMaxEntryBytes = 128U << 10U;
constexpr std::uint64_t kShardEntries = 256;
constexpr std::size_t kMaxErrorBytes = 300;
constexpr unsigned kMaxDoublings = 20;

std::string shardOf(std::uint64_t number)
{
    return fmt::format("{:016x}", number / kShardEntries);
}

std::string fileOf(const std::string& directory, std::uint64_t number)
{
    return fmt::format("{}/{}/{:016x}", directory, shardOf(number), number);
}

std::optional<std::uint64_t> parseName(std::string_view name)
{
    if (name.size() != 16)
        return std::nullopt;
    std::uint64_t number = 0;
    for (const char c : name) {
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return std::nullopt;
        number = number * 16 + static_cast<std::uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return number;
}

std::string print(const CopyEntry& entry)
{
    std::string text(kHead);
    for (const nix::StorePath& path : entry.paths)
        text += fmt::format("path {}\n", path.baseName());
    if (!entry.log.empty())
        text += fmt::format("log {}\n", entry.log);
    return text + "end\n"; // so that half of one is none
}

Result<CopyEntry> parse(std::string_view text)
{
    if (!text.starts_with(kHead) || !text.ends_with("\nend\n"))
        return fail(ErrorCode::Corrupt, "it is no whole entry");
    CopyEntry entry;
    for (const std::string_view line : split(text.substr(kHead.size()), '\n')) {
        if (line.starts_with("path ")) {
            PENSTOCK_TRY(auto path, nix::StorePath::fromBaseName(line.substr(5)));
            entry.paths.push_back(std::move(path));
        } else if (line.starts_with("log ")) {
            PENSTOCK_TRY(const auto path, nix::StorePath::fromBaseName(line.substr(4)));
            entry.log = path.baseName();
        } else if (line != "end" && !line.empty()) {
            return fail(ErrorCode::Corrupt,
                        fmt::format("it has the line \"{}\"", toValidUtf8(line.substr(0, 80))));
        }
    }
    return entry;
}

// The store as a whole is in trouble, not this entry.
bool concernsStore(ErrorCode code)
{
    switch (code) {
    case ErrorCode::Unavailable:
    case ErrorCode::Timeout:
    case ErrorCode::Exhausted:
    case ErrorCode::Denied:
    case ErrorCode::Cancelled: return true;
    case ErrorCode::Invalid:
    case ErrorCode::NotFound:
    case ErrorCode::Conflict:
    case ErrorCode::Corrupt:
    case ErrorCode::Internal: return false;
    }
    return false;
}

Result<std::vector<std::string>> namesIn(const std::string& directory)
{
    PENSTOCK_TRY(const auto entries, detail::entriesOf(AT_FDCWD, directory, directory));
    std::vector<std::string> names;
    for (const auto& entry : entries)
        names.push_back(entry.name);
    std::sort(names.begin(), names.end());
    return names;
}

} // namespace

CopyQueue::CopyQueue(std::string directory, CopyQueueOptions options)
    : m_directory(std::move(directory)), m_options(options)
{}

Result<std::unique_ptr<CopyQueue>> CopyQueue::open(std::string directory, CopyQueueOptions options)
{
    PENSTOCK_TRY_VOID(detail::makeDirectories(directory));
    std::unique_ptr<CopyQueue> queue(new CopyQueue(std::move(directory), options));
    PENSTOCK_TRY_VOID(queue->count());
    return queue;
}

Result<void> CopyQueue::count()
{
    PENSTOCK_TRY(const auto shards, namesIn(m_directory));
    const MutexLock adding(m_adding);
    const MutexLock lock(m_mutex);
    for (const std::string& shard : shards) {
        const auto shardNumber = parseName(shard);
        if (!shardNumber)
            continue; // no part of the queue
        // Numbers are never given again, also when their shard is empty.
        m_lastNumber = std::max(m_lastNumber, *shardNumber * kShardEntries);
        PENSTOCK_TRY(const auto names, namesIn(m_directory + "/" + shard));
        for (const std::string& name : names) {
            if (const auto number = parseName(name)) {
                ++m_status.waiting;
                m_lastNumber = std::max(m_lastNumber, *number);
            } else if (name.ends_with(".tmp")) {
                ::unlink(fmt::format("{}/{}/{}", m_directory, shard, name)
                             .c_str()); // of a crash; nobody was told of it
            } else {
                ++m_status.unreadable;
            }
        }
    }
    m_highest = m_lastNumber;
    return load();
}

Result<std::vector<std::uint64_t>> CopyQueue::numbersFrom(std::uint64_t first, std::size_t limit) const
{
    std::vector<std::uint64_t> numbers;
    PENSTOCK_TRY(const auto shards, namesIn(m_directory));
    for (const std::string& shard : shards) {
        if (shard < shardOf(first) || !parseName(shard))
            continue;
        auto names = namesIn(m_directory + "/" + shard);
        if (!names && names.error().code == ErrorCode::NotFound)
            continue; // it was emptied meanwhile
        if (!names)
            return fail(std::move(names).error());
        for (const std::string& name : *names)
            if (const auto number = parseName(name); number && *number >= first) {
                if (numbers.size() == limit)
                    return numbers;
                numbers.push_back(*number);
            }
    }
    return numbers;
}

Result<void> CopyQueue::load()
{
    if (m_nextUnloaded > m_highest || m_loaded.size() >= m_options.maxLoaded)
        return {};
    const std::size_t room = m_options.maxLoaded - m_loaded.size();
    PENSTOCK_TRY(const auto numbers, numbersFrom(m_nextUnloaded, room));
    for (const std::uint64_t number : numbers)
        if (number <= m_highest)
            include(number);
    if (numbers.size() < room)
        m_nextUnloaded = m_highest + 1;
    return {};
}

void CopyQueue::include(std::uint64_t number)
{
    m_loaded.emplace(number, State{});
    m_due.emplace(Instant{}, number);
    m_nextUnloaded = number + 1;
}

Result<std::uint64_t> CopyQueue::write(const CopyEntry& entry)
{
    const std::uint64_t number = m_lastNumber + 1;
    PENSTOCK_TRY_VOID(detail::makeDirectories(m_directory + "/" + shardOf(number)));
    const std::string path = fileOf(m_directory, number);
    const std::string temporary = path + ".tmp";
    const auto put = [&]() -> Result<void> {
        PENSTOCK_TRY(const auto file,
                     detail::openAt(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_TRUNC, temporary));
        PENSTOCK_TRY_VOID(detail::writeAll(file.get(), print(entry), temporary));
        PENSTOCK_TRY_VOID(detail::syncFile(file.get(), temporary));
        if (std::rename(temporary.c_str(), path.c_str()) != 0)
            return fail(detail::systemError(errno, "storing " + path));
        return {};
    };
    auto done = put();
    if (!done) {
        ::unlink(temporary.c_str());
        return fail(std::move(done).error().in("outbox"));
    }
    m_lastNumber = number;
    return number;
}

Result<void> CopyQueue::add(const std::vector<nix::StorePath>& paths, const std::string& log)
{
    const MutexLock adding(m_adding);
    std::vector<std::uint64_t> numbers;
    std::size_t at = 0;
    do {
        CopyEntry entry;
        const std::size_t end = std::min(paths.size(), at + kMaxEntryPaths);
        for (; at < end; ++at)
            entry.paths.push_back(paths[at]);
        if (at == paths.size())
            entry.log = log;
        PENSTOCK_TRY(const std::uint64_t number, write(entry));
        const MutexLock lock(m_mutex);
        ++m_status.waiting;
        const bool isNext = m_nextUnloaded == m_highest + 1;
        m_highest = number;
        if (isNext && m_loaded.size() < m_options.maxLoaded)
            include(number);
        if (numbers.empty() || shardOf(numbers.back()) != shardOf(number))
            numbers.push_back(number);
    } while (at < paths.size());
    for (const std::uint64_t number : numbers) {
        const std::string shard = m_directory + "/" + shardOf(number);
        PENSTOCK_TRY(const auto directory, detail::openAt(AT_FDCWD, shard, O_RDONLY | O_DIRECTORY, shard));
        PENSTOCK_TRY_VOID(detail::syncFile(directory.get(), shard));
    }
    return {};
}

Result<CopyEntry> CopyQueue::read(std::uint64_t number) const
{
    const std::string path = fileOf(m_directory, number);
    PENSTOCK_TRY(const std::string text, detail::readSmall(AT_FDCWD, path, kMaxEntryBytes, path));
    auto entry = parse(text);
    if (!entry)
        return fail(ErrorCode::Corrupt, fmt::format("{}: {}; remove it", path, entry.error().message));
    entry->number = number;
    return entry;
}

void CopyQueue::dropUnreadable(std::uint64_t number)
{
    const auto found = m_loaded.find(number);
    m_due.erase({found->second.due, number});
    m_loaded.erase(found);
    --m_status.waiting;
    ++m_status.unreadable;
}

Result<std::optional<CopyEntry>> CopyQueue::take(Instant now)
{
    const MutexLock lock(m_mutex);
    if (m_loaded.size() <= m_options.maxLoaded / 2)
        PENSTOCK_TRY_VOID(load());
    while (m_heldUntil <= now && !m_due.empty() && m_due.begin()->first <= now) {
        const std::uint64_t number = m_due.begin()->second;
        auto entry = read(number);
        if (!entry &&
            (entry.error().code == ErrorCode::Corrupt || entry.error().code == ErrorCode::NotFound)) {
            m_status.lastError = entry.error().message;
            dropUnreadable(number);
            continue;
        }
        if (!entry)
            return fail(std::move(entry).error());
        m_due.erase(m_due.begin());
        m_loaded.at(number).isTaken = true;
        ++m_status.copying;
        return *std::move(entry);
    }
    return std::nullopt;
}

Result<void> CopyQueue::finished(std::uint64_t number)
{
    const MutexLock lock(m_mutex);
    const auto found = m_loaded.find(number);
    if (found == m_loaded.end())
        return {};
    // Not synced: after a power cut it is copied once more, which changes nothing.
    if (::unlink(fileOf(m_directory, number).c_str()) != 0 && errno != ENOENT)
        return fail(detail::systemError(errno, "removing " + fileOf(m_directory, number)));
    if (shardOf(number) != shardOf(m_highest + 1))
        ::rmdir(fmt::format("{}/{}", m_directory, shardOf(number)).c_str()); // works for the last one only
    if (found->second.isTaken)
        --m_status.copying;
    m_due.erase({found->second.due, number});
    m_loaded.erase(found);
    --m_status.waiting;
    ++m_status.finished;
    m_storeFailures = 0;
    return {};
}

Duration CopyQueue::pauseAfter(unsigned failures) const
{
    const unsigned doublings = std::min(failures - 1, kMaxDoublings);
    return std::min(m_options.firstPause * (1U << doublings), m_options.longestPause);
}

void CopyQueue::failed(std::uint64_t number, const Error& error, Instant now)
{
    const MutexLock lock(m_mutex);
    const auto found = m_loaded.find(number);
    if (found == m_loaded.end() || !found->second.isTaken)
        return;
    State& state = found->second;
    state.isTaken = false;
    state.lastError = toValidUtf8(std::string_view(error.message).substr(0, kMaxErrorBytes));
    ++state.attempts;
    --m_status.copying;
    ++m_status.failures;
    m_status.lastError = state.lastError;
    if (concernsStore(error.code))
        m_heldUntil = now + pauseAfter(++m_storeFailures);
    else
        state.due = now + pauseAfter(state.attempts);
    m_due.emplace(state.due, number);
}

std::optional<Instant> CopyQueue::nextDue()
{
    const MutexLock lock(m_mutex);
    if (m_due.empty())
        return m_nextUnloaded <= m_highest ? std::optional(m_heldUntil) : std::nullopt;
    return std::max(m_due.begin()->first, m_heldUntil);
}

CopyQueueStatus CopyQueue::status()
{
    const MutexLock lock(m_mutex);
    return m_status;
}

Result<std::vector<CopyListing>> CopyQueue::list(std::uint64_t after, std::size_t limit)
{
    PENSTOCK_TRY(const auto numbers, numbersFrom(after + 1, limit));
    std::vector<CopyListing> page;
    for (const std::uint64_t number : numbers) {
        auto entry = read(number);
        if (!entry)
            continue; // finished meanwhile, or counted as unreadable
        CopyListing row{*std::move(entry), 0, false, {}};
        const MutexLock lock(m_mutex);
        if (const auto found = m_loaded.find(number); found != m_loaded.end()) {
            row.attempts = found->second.attempts;
            row.isCopying = found->second.isTaken;
            row.lastError = found->second.lastError;
        }
        page.push_back(std::move(row));
    }
    return page;
}

} // namespace penstock::cache
