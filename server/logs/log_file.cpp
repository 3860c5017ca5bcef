// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/logs/log_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::logs {
namespace {

constexpr std::array<char, 8> kMagic{'P', 'S', 'L', 'O', 'G', '1', '\n', '\0'};
constexpr std::size_t kHeaderBytes = 24;
constexpr std::uint32_t kMaxRecordBytes = 1U << 20U; // far above what the link lets through
constexpr std::uint64_t kMarkSpacing = 256U << 10U;
constexpr std::uint8_t kEndMark = 255;

struct Header {
    std::uint64_t offset;
    std::uint64_t timeMicros;
    std::uint32_t length;
    std::uint8_t stream;
};

template <class T> void put(std::string& out, T value)
{
    for (std::size_t i = 0; i < sizeof(T); ++i)
        out.push_back(static_cast<char>((static_cast<std::uint64_t>(value) >> (8 * i)) & 0xFFU));
}

template <class T> T get(const char* in)
{
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
        value |= static_cast<std::uint64_t>(static_cast<unsigned char>(in[i])) << (8 * i);
    return static_cast<T>(value);
}

void putHeader(std::string& out, const Header& header)
{
    put(out, header.offset);
    put(out, header.timeMicros);
    put(out, header.length);
    put(out, header.stream);
    out.append(3, '\0');
}

Header getHeader(const char* in)
{
    return {get<std::uint64_t>(in), get<std::uint64_t>(in + 8), get<std::uint32_t>(in + 16),
            get<std::uint8_t>(in + 20)};
}

Error systemError(std::string_view what, const std::string& path)
{
    return {ErrorCode::Internal, fmt::format("{} {}: {}", what, path, std::strerror(errno))};
}

// Reads up to bytes at position; shorter only at the end of the file.
Result<std::string> readAt(int descriptor, std::uint64_t position, std::size_t bytes, const std::string& path)
{
    std::string buffer(bytes, '\0');
    std::size_t filled = 0;
    while (filled < bytes) {
        const ssize_t got = ::pread(descriptor, buffer.data() + filled, bytes - filled,
                                    static_cast<off_t>(position + filled));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(systemError("reading log", path));
        if (got == 0)
            break;
        filled += static_cast<std::size_t>(got);
    }
    buffer.resize(filled);
    return buffer;
}

} // namespace

Result<std::unique_ptr<LogFile>> LogFile::open(std::string path, bool create)
{
    if (create) {
        std::error_code error;
        std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
        if (error)
            return fail(ErrorCode::Internal,
                        fmt::format("making the folder of log {}: {}", path, error.message()));
    }
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0640);
    if (descriptor < 0 && errno == ENOENT)
        return fail(ErrorCode::NotFound, fmt::format("no log {}", path));
    if (descriptor < 0)
        return fail(systemError("opening log", path));
    std::unique_ptr<LogFile> file(new LogFile(std::move(path), descriptor));
    struct stat info {};
    // Cut off while it was made (a full disk): nothing to be read, and a reader does not write.
    if (!create && ::fstat(descriptor, &info) == 0 && info.st_size < static_cast<off_t>(kMagic.size()))
        return fail(ErrorCode::NotFound, fmt::format("no log {} yet", file->m_path));
    PENSTOCK_TRY_VOID(file->scan());
    return file;
}

LogFile::~LogFile()
{
    ::close(m_descriptor);
}

Result<void> LogFile::scan()
{
    PENSTOCK_TRY(std::string window, readAt(m_descriptor, 0, kMarkSpacing, m_path));
    if (window.size() < kMagic.size()) { // new, or cut off while it was made
        if (::ftruncate(m_descriptor, 0) != 0)
            return fail(systemError("preparing log", m_path));
        return writeAll(std::string(kMagic.data(), kMagic.size()));
    }
    if (std::memcmp(window.data(), kMagic.data(), kMagic.size()) != 0)
        return fail(ErrorCode::Corrupt, fmt::format("{} is not a Penstock log", m_path));
    m_position = kMagic.size();
    std::uint64_t windowAt = 0;
    for (;;) {
        std::uint64_t inWindow = m_position - windowAt;
        if (inWindow + kHeaderBytes > window.size()) {
            windowAt = m_position;
            inWindow = 0;
            PENSTOCK_TRY(window, readAt(m_descriptor, windowAt, kMarkSpacing, m_path));
            if (window.size() < kHeaderBytes)
                break;
        }
        const Header header = getHeader(window.data() + inWindow);
        if (header.offset != m_size || header.length > kMaxRecordBytes)
            break;
        const std::uint64_t after = m_position + kHeaderBytes + header.length;
        struct stat info {};
        if (::fstat(m_descriptor, &info) != 0)
            return fail(systemError("looking at log", m_path));
        if (after > static_cast<std::uint64_t>(info.st_size))
            break;
        remember(m_size, m_position);
        m_position = after;
        m_size += header.length;
        m_ended = header.stream == kEndMark;
        if (m_ended)
            break;
    }
    if (::ftruncate(m_descriptor, static_cast<off_t>(m_position)) != 0)
        return fail(systemError("mending log", m_path));
    return {};
}

Result<void> LogFile::writeAll(const std::string& bytes)
{
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t put = ::pwrite(m_descriptor, bytes.data() + done, bytes.size() - done,
                                     static_cast<off_t>(m_position + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail(systemError("writing log", m_path));
        done += static_cast<std::size_t>(put);
    }
    m_position += bytes.size();
    return {};
}

void LogFile::remember(std::uint64_t offset, std::uint64_t position)
{
    if (m_marks.empty() || position >= m_marks.back().position + kMarkSpacing)
        m_marks.push_back({offset, position});
}

Result<void> LogFile::append(const protocol::LogChunk& chunk)
{
    if (chunk.offset > m_size)
        return fail(ErrorCode::Conflict,
                    fmt::format("log chunk begins at {}, {} bytes are known", chunk.offset, m_size));
    if (m_ended)
        return {};
    std::string bytes;
    std::uint64_t offset = chunk.offset;
    std::uint64_t size = m_size;
    const std::uint64_t position = m_position;
    for (const protocol::LogRecord& record : chunk.records) {
        const std::uint64_t end = offset + record.data.size();
        if (end > size) {
            const std::string_view fresh = std::string_view(record.data).substr(size - offset);
            remember(size, position + bytes.size());
            putHeader(bytes,
                      {size, static_cast<std::uint64_t>(record.time.micros()),
                       static_cast<std::uint32_t>(fresh.size()), static_cast<std::uint8_t>(record.stream)});
            bytes.append(fresh);
            size = end;
        }
        offset = end;
    }
    if (auto written = writeAll(bytes); !written) {
        // The records are cut differently when they come again: marks of what was not written would lead
        // astray.
        while (!m_marks.empty() && m_marks.back().position >= position)
            m_marks.pop_back();
        return written;
    }
    m_size = size;
    return {};
}

Result<void> LogFile::end()
{
    if (m_ended)
        return {};
    std::string bytes;
    putHeader(bytes, {m_size, 0, 0, kEndMark});
    PENSTOCK_TRY_VOID(writeAll(bytes));
    m_ended = true;
    return {};
}

std::uint64_t LogFile::positionFor(std::uint64_t offset) const
{
    const auto after = std::upper_bound(m_marks.begin(), m_marks.end(), offset,
                                        [](std::uint64_t o, const Mark& mark) { return o < mark.offset; });
    return after == m_marks.begin() ? kMagic.size() : std::prev(after)->position;
}

Result<LogSlice> LogFile::read(std::uint64_t offset, std::uint64_t limit)
{
    LogSlice slice;
    slice.offset = slice.next = std::min(offset, m_size);
    slice.size = m_size;
    slice.ended = m_ended;
    std::uint64_t position = positionFor(slice.offset);
    std::uint64_t taken = 0;
    std::string window;
    std::uint64_t windowAt = position;
    while (position + kHeaderBytes <= m_position && taken < limit) {
        if (position + kHeaderBytes > windowAt + window.size()) {
            windowAt = position;
            PENSTOCK_TRY(window, readAt(m_descriptor, windowAt, kMarkSpacing, m_path));
        }
        Header header = getHeader(window.data() + (position - windowAt));
        if (header.stream == kEndMark)
            break;
        const std::uint64_t end = header.offset + header.length;
        if (end > slice.offset) {
            PENSTOCK_TRY(std::string data,
                         readAt(m_descriptor, position + kHeaderBytes, header.length, m_path));
            if (header.offset < slice.offset)
                data.erase(0, slice.offset - header.offset);
            if (data.size() > limit - taken)
                data.resize(std::max<std::uint64_t>(limit - taken, 1));
            taken += data.size();
            slice.next += data.size();
            slice.records.push_back({WallTime::fromMicros(static_cast<std::int64_t>(header.timeMicros)),
                                     static_cast<protocol::Stream>(header.stream), std::move(data)});
        }
        position += kHeaderBytes + header.length;
    }
    return slice;
}

} // namespace penstock::logs
