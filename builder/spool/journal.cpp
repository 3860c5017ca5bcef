// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/spool/journal.h"

#include "shared/base/bytes.h"
#include "shared/protocol/envelope.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

namespace penstock::builder {
namespace {

// Record: length of the body (4 bytes), check sum of the body (4), body = kind (1) and what belongs to it.
constexpr std::size_t kHeaderBytes = 8;
constexpr std::size_t kMaxBodyBytes = protocol::kMaxFrameBytes + 64;
constexpr std::size_t kMaxJournalBytes = 1U << 30U;
constexpr std::size_t kRewriteBytes = 1U << 20U; // below this a rewrite is not worth it
constexpr std::size_t kRewriteBytesPerEntry = 4096;
enum class Kind : char { Boot = 'b', Started = 's', Finished = 'f', Stored = 'r', Forgotten = 'x' };

std::uint32_t checkSum(std::string_view bytes) // FNV-1a
{
    std::uint32_t sum = 2'166'136'261U;
    for (const char byte : bytes)
        sum = (sum ^ static_cast<unsigned char>(byte)) * 16'777'619U;
    return sum;
}

void append64(std::string& out, std::uint64_t value)
{
    appendBigEndian32(out, static_cast<std::uint32_t>(value >> 32U));
    appendBigEndian32(out, static_cast<std::uint32_t>(value));
}

// Takes numbers off the front; zero when too short, with good() false.
class Cursor {
public:
    explicit Cursor(std::string_view bytes) : m_bytes(bytes) {}
    [[nodiscard]] std::uint64_t take64()
    {
        if (m_bytes.size() < 8) {
            m_good = false;
            return 0;
        }
        const auto high = static_cast<std::uint64_t>(readBigEndian32(bytesOf(m_bytes)));
        const std::uint64_t value = (high << 32U) | readBigEndian32(bytesOf(m_bytes.substr(4)));
        m_bytes.remove_prefix(8);
        return value;
    }
    [[nodiscard]] std::string_view rest() const { return m_bytes; }
    [[nodiscard]] bool good() const { return m_good; }

private:
    std::string_view m_bytes;
    bool m_good = true;
};

std::string record(Kind kind, const std::string& rest)
{
    const std::string body = static_cast<char>(kind) + rest;
    std::string out;
    appendBigEndian32(out, static_cast<std::uint32_t>(body.size()));
    appendBigEndian32(out, checkSum(body));
    return out + body;
}

std::string idRecord(Kind kind, AttemptId attempt)
{
    std::string rest;
    append64(rest, attempt.value());
    return record(kind, rest);
}

std::string startedRecord(AttemptId attempt, const JournalEntry& entry)
{
    std::string rest;
    append64(rest, attempt.value());
    append64(rest, entry.step.value());
    append64(rest, static_cast<std::uint64_t>(entry.startedAt.micros()));
    append64(rest, static_cast<std::uint64_t>(entry.session));
    append64(rest, static_cast<std::uint64_t>(entry.sinceBoot.count()));
    return record(Kind::Started, rest);
}

Result<std::string> finishedRecord(const protocol::AttemptResult& result)
{
    std::string frame;
    PENSTOCK_TRY_VOID(protocol::appendMessage(frame, protocol::BuilderMessage(result)));
    return record(Kind::Finished, frame.substr(protocol::kFrameHeaderBytes));
}

bool applyFinished(std::string_view payload, JournalContents& to)
{
    auto message = protocol::decodeBuilderMessage(bytesOf(payload));
    if (!message || !*message)
        return false;
    auto* result = std::get_if<protocol::AttemptResult>(&**message);
    if (result == nullptr)
        return false;
    to.entries[result->attempt].result = std::move(*result);
    return true;
}

bool applyRecord(std::string_view body, JournalContents& to)
{
    const std::string_view rest = body.substr(1);
    Cursor cursor(rest);
    switch (static_cast<Kind>(body.front())) {
    case Kind::Boot: to.bootId = std::string(rest); return true;
    case Kind::Finished: return applyFinished(rest, to);
    case Kind::Started: {
        const AttemptId attempt(cursor.take64());
        JournalEntry entry;
        entry.step = StepId(cursor.take64());
        entry.startedAt = WallTime::fromMicros(static_cast<std::int64_t>(cursor.take64()));
        entry.session = static_cast<pid_t>(cursor.take64());
        entry.sinceBoot = Duration{static_cast<std::int64_t>(cursor.take64())};
        if (cursor.good())
            to.entries.insert_or_assign(attempt, std::move(entry));
        return cursor.good();
    }
    case Kind::Stored: {
        const auto found = to.entries.find(AttemptId(cursor.take64()));
        if (found != to.entries.end())
            found->second.resultStored = true;
        return cursor.good();
    }
    case Kind::Forgotten: to.entries.erase(AttemptId(cursor.take64())); return cursor.good();
    }
    return true; // a kind of a newer version: nothing we could act on
}

Result<void> writeAll(int fd, std::string_view bytes, const std::string& path)
{
    while (!bytes.empty()) {
        const ssize_t done = ::write(fd, bytes.data(), bytes.size());
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return fail(ErrorCode::Unavailable, fmt::format("cannot write {}: {}", path, std::strerror(errno)));
        bytes.remove_prefix(static_cast<std::size_t>(done));
    }
    return {};
}

Result<std::string> readWhole(int fd, const std::string& path)
{
    struct stat info = {};
    if (::fstat(fd, &info) != 0 || static_cast<std::size_t>(info.st_size) > kMaxJournalBytes)
        return fail(ErrorCode::Exhausted, fmt::format("{} has {} bytes, the limit is {}; remove it when its attempts "
                                                      "no longer matter",
                                                      path, info.st_size, kMaxJournalBytes));
    std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t got = ::pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
        if (got <= 0)
            break;
        done += static_cast<std::size_t>(got);
    }
    bytes.resize(done);
    return bytes;
}

} // namespace

JournalContents readJournal(std::string_view bytes)
{
    JournalContents contents;
    while (bytes.size() >= kHeaderBytes) {
        const std::size_t length = readBigEndian32(bytesOf(bytes));
        const std::uint32_t sum = readBigEndian32(bytesOf(bytes.substr(4)));
        if (length == 0 || length > kMaxBodyBytes || length > bytes.size() - kHeaderBytes)
            break;
        const std::string_view body = bytes.substr(kHeaderBytes, length);
        if (checkSum(body) != sum || !applyRecord(body, contents))
            break;
        contents.goodBytes += kHeaderBytes + length;
        bytes.remove_prefix(kHeaderBytes + length);
    }
    contents.droppedBytes = bytes.size();
    return contents;
}

Result<JournalContents> Journal::read(const std::string& path)
{
    const FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file.isOpen())
        return fail(ErrorCode::NotFound, fmt::format("cannot read {}: {}", path, std::strerror(errno)));
    PENSTOCK_TRY(const std::string bytes, readWhole(file.get(), path));
    return readJournal(bytes);
}

Journal::Journal(std::string path, std::string bootId, FileHandle file, JournalContents contents)
    : m_path(std::move(path)), m_bootId(std::move(bootId)), m_formerBootId(std::move(contents.bootId)),
      m_file(std::move(file)), m_entries(std::move(contents.entries)), m_bytes(contents.goodBytes),
      m_droppedBytes(contents.droppedBytes)
{
}

Result<Journal> Journal::open(const std::string& path, const std::string& bootId)
{
    FileHandle file(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.isOpen())
        return fail(ErrorCode::Denied, fmt::format("cannot open {}: {}", path, std::strerror(errno)));
    PENSTOCK_TRY(const std::string bytes, readWhole(file.get(), path));
    JournalContents contents = readJournal(bytes);
    if (contents.droppedBytes > 0 && ::ftruncate(file.get(), static_cast<off_t>(contents.goodBytes)) != 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot cut {}: {}", path, std::strerror(errno)));
    Journal journal(path, bootId, std::move(file), std::move(contents));
    PENSTOCK_TRY_VOID(journal.append(record(Kind::Boot, bootId)));
    return journal;
}

Result<void> Journal::append(const std::string& bytes)
{
    PENSTOCK_TRY_VOID(writeAll(m_file.get(), bytes, m_path));
    m_bytes += bytes.size();
    return {};
}

Result<void> Journal::started(AttemptId attempt, JournalEntry entry)
{
    PENSTOCK_TRY_VOID(append(startedRecord(attempt, entry)));
    m_entries.insert_or_assign(attempt, std::move(entry));
    return {};
}

Result<void> Journal::finished(const protocol::AttemptResult& result)
{
    PENSTOCK_TRY(const std::string bytes, finishedRecord(result));
    PENSTOCK_TRY_VOID(append(bytes));
    m_entries[result.attempt].result = result;
    return {};
}

Result<void> Journal::resultStored(AttemptId attempt)
{
    PENSTOCK_TRY_VOID(append(idRecord(Kind::Stored, attempt)));
    m_entries[attempt].resultStored = true;
    return {};
}

Result<void> Journal::forgotten(AttemptId attempt)
{
    m_entries.erase(attempt);
    PENSTOCK_TRY_VOID(append(idRecord(Kind::Forgotten, attempt)));
    return rewriteWhenWorthwhile();
}

Result<void> Journal::rewriteWhenWorthwhile()
{
    if (m_bytes < kRewriteBytes + m_entries.size() * kRewriteBytesPerEntry)
        return {};
    const std::string beside = m_path + ".new";
    FileHandle file(::open(beside.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.isOpen())
        return fail(ErrorCode::Unavailable, fmt::format("cannot write {}: {}", beside, std::strerror(errno)));
    std::string bytes = record(Kind::Boot, m_bootId);
    for (const auto& [attempt, entry] : m_entries) {
        bytes += startedRecord(attempt, entry);
        if (entry.result) {
            PENSTOCK_TRY(const std::string finishedBytes, finishedRecord(*entry.result));
            bytes += finishedBytes;
        }
        if (entry.resultStored)
            bytes += idRecord(Kind::Stored, attempt);
    }
    PENSTOCK_TRY_VOID(writeAll(file.get(), bytes, beside));
    if (::rename(beside.c_str(), m_path.c_str()) != 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot rename {}: {}", beside, std::strerror(errno)));
    m_file = std::move(file);
    m_bytes = bytes.size();
    return {};
}

FileHandle Journal::handleForSync() const
{
    return FileHandle(::fcntl(m_file.get(), F_DUPFD_CLOEXEC, 3));
}

} // namespace penstock::builder
