// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/spool/log_spool.h"

#include "shared/base/bytes.h"
#include "shared/base/check.h"
#include "shared/protocol/limits.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/uio.h>

namespace penstock::builder {
namespace {

// Record: mark (1 byte), stream (1), length (4), time (8), log offset (8), data. The mark tells a record from a hole,
// the log offset lets a reopened file with a hole know where it stands.
constexpr std::size_t kHeaderBytes = 22;
constexpr char kMark = '\x4C';
constexpr std::size_t kMaxDiskReadBytes = 256U << 10U;
constexpr std::uint64_t kHoleBytes = 4U << 20U; // give space back in pieces of at least this

struct Header {
    protocol::Stream stream;
    std::size_t length;
    WallTime time;
    std::uint64_t logOffset;
};

std::uint64_t read64(std::string_view bytes)
{
    const auto high = static_cast<std::uint64_t>(readBigEndian32(bytesOf(bytes)));
    return (high << 32U) | readBigEndian32(bytesOf(bytes.substr(4)));
}

void append64(std::string& out, std::uint64_t value)
{
    appendBigEndian32(out, static_cast<std::uint32_t>(value >> 32U));
    appendBigEndian32(out, static_cast<std::uint32_t>(value));
}

bool parseHeader(std::string_view bytes, Header& to)
{
    if (bytes.size() < kHeaderBytes || bytes[0] != kMark || static_cast<unsigned char>(bytes[1]) > 2)
        return false;
    to.stream = static_cast<protocol::Stream>(bytes[1]);
    to.length = readBigEndian32(bytesOf(bytes.substr(2)));
    to.time = WallTime::fromMicros(static_cast<std::int64_t>(read64(bytes.substr(6))));
    to.logOffset = read64(bytes.substr(14));
    return to.length > 0 && to.length <= protocol::kMaxLogRecordBytes;
}

} // namespace

Result<LogSpool> LogSpool::create(const std::string& path)
{
    FileHandle file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.isOpen())
        return fail(ErrorCode::Unavailable, fmt::format("cannot make the log file {}: {}", path, std::strerror(errno)));
    return LogSpool(path, std::move(file));
}

Result<LogSpool> LogSpool::reopen(const std::string& path)
{
    FileHandle file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!file.isOpen())
        return fail(errno == ENOENT ? ErrorCode::NotFound : ErrorCode::Unavailable,
                    fmt::format("cannot open the log file {}: {}", path, std::strerror(errno)));
    LogSpool spool(path, std::move(file));
    PENSTOCK_TRY_VOID(spool.scan());
    return spool;
}

Result<std::string> LogSpool::readAt(std::uint64_t offset, std::size_t count) const
{
    std::string bytes(count, '\0');
    const ssize_t got = ::pread(m_file.get(), bytes.data(), count, static_cast<off_t>(offset));
    if (got < 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot read {}: {}", m_path, std::strerror(errno)));
    bytes.resize(static_cast<std::size_t>(got));
    return bytes;
}

Result<void> LogSpool::scan()
{
    const off_t dataStart = ::lseek(m_file.get(), 0, SEEK_DATA); // behind the hole; ENXIO: nothing but hole
    struct stat info = {};
    if (::fstat(m_file.get(), &info) != 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot look at {}: {}", m_path, std::strerror(errno)));
    std::uint64_t at = dataStart > 0 ? static_cast<std::uint64_t>(dataStart) : 0;
    const auto size = static_cast<std::uint64_t>(info.st_size);
    bool first = true;
    while (at < size) {
        PENSTOCK_TRY(const std::string bytes, readAt(at, kHeaderBytes));
        Header header{};
        if (!parseHeader(bytes, header)) {
            if (!first || bytes.empty() || bytes.front() != '\0')
                break;
            ++at; // holes end at block borders, records begin anywhere behind: step over the zeros
            continue;
        }
        if (at + kHeaderBytes + header.length > size || (!first && header.logOffset != m_end.logOffset))
            break;
        if (std::exchange(first, false))
            m_begin = {header.logOffset, at};
        at += kHeaderBytes + header.length;
        m_end = {header.logOffset + header.length, at};
    }
    if (m_end.fileOffset < size && ::ftruncate(m_file.get(), static_cast<off_t>(m_end.fileOffset)) != 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot cut {}: {}", m_path, std::strerror(errno)));
    return {};
}

Result<void> LogSpool::append(WallTime time, protocol::Stream stream, std::string_view data)
{
    PENSTOCK_CHECK(!data.empty() && data.size() <= protocol::kMaxLogRecordBytes);
    std::string header;
    header.push_back(kMark);
    header.push_back(static_cast<char>(stream));
    appendBigEndian32(header, static_cast<std::uint32_t>(data.size()));
    append64(header, static_cast<std::uint64_t>(time.micros()));
    append64(header, m_end.logOffset);
    std::array<iovec, 2> parts{{{header.data(), header.size()}, {const_cast<char*>(data.data()), data.size()}}};
    const auto whole = static_cast<ssize_t>(header.size() + data.size());
    const ssize_t done = ::pwritev(m_file.get(), parts.data(), 2, static_cast<off_t>(m_end.fileOffset));
    if (done != whole) // the torn record is overwritten by the next one, or cut off at a restart
        return fail(ErrorCode::Unavailable, fmt::format("cannot write {}: {}", m_path,
                                                        done < 0 ? std::strerror(errno) : "the disk is full"));
    m_end = {m_end.logOffset + data.size(), m_end.fileOffset + static_cast<std::uint64_t>(whole)};
    return {};
}

Result<std::vector<protocol::LogRecord>> LogSpool::read(LogPosition& position, std::size_t maxBytes) const
{
    std::vector<protocol::LogRecord> records;
    const std::uint64_t left = m_end.fileOffset - std::min(position.fileOffset, m_end.fileOffset);
    PENSTOCK_TRY(const std::string bytes,
                 readAt(position.fileOffset, std::min<std::uint64_t>(left, kMaxDiskReadBytes)));
    std::string_view rest = bytes;
    std::size_t taken = 0;
    while (!rest.empty() && records.size() < protocol::kMaxLogRecords) {
        Header header{};
        if (rest.size() < kHeaderBytes)
            break;
        if (!parseHeader(rest, header) || header.logOffset != position.logOffset)
            return fail(ErrorCode::Corrupt,
                        fmt::format("{} is damaged at byte {}", m_path, position.fileOffset));
        if (rest.size() < kHeaderBytes + header.length || (taken > 0 && taken + header.length > maxBytes))
            break;
        records.push_back({header.time, header.stream, std::string(rest.substr(kHeaderBytes, header.length))});
        taken += header.length;
        rest.remove_prefix(kHeaderBytes + header.length);
        position = {position.logOffset + header.length, position.fileOffset + kHeaderBytes + header.length};
    }
    return records;
}

Result<LogPosition> LogSpool::seek(LogPosition from, std::uint64_t logOffset) const
{
    while (from.logOffset < logOffset && from.fileOffset < m_end.fileOffset) {
        PENSTOCK_TRY(const std::string bytes, readAt(from.fileOffset, kHeaderBytes));
        Header header{};
        if (!parseHeader(bytes, header))
            return fail(ErrorCode::Corrupt, fmt::format("{} is damaged at byte {}", m_path, from.fileOffset));
        if (from.logOffset + header.length > logOffset)
            break;
        from = {from.logOffset + header.length, from.fileOffset + kHeaderBytes + header.length};
    }
    return from;
}

void LogSpool::release(LogPosition upTo)
{
    if (upTo.fileOffset - m_begin.fileOffset < kHoleBytes)
        return;
    // Only a saving: a file system without holes keeps the bytes until the file goes.
    ::fallocate(m_file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(m_begin.fileOffset),
                static_cast<off_t>(upTo.fileOffset - m_begin.fileOffset));
    m_begin = upTo;
}

} // namespace penstock::builder
