// SPDX-License-Identifier: GPL-3.0-or-later
// LogSpool: one attempt's log on disk until the server has it. Append-only file of records (time, stream, data),
// addressed by log offset, which counts data bytes only. What the server has is given back to the disk by a hole at
// the front. An object belongs to the exec loop; reads and writes are at most 256 KiB and go to the page cache.
// Unavailable: the disk refuses (full). Corrupt: the file is not what was written.
#pragma once

#include "builder/spool/file_handle.h"
#include "shared/base/ids.h"
#include "shared/base/result.h"
#include "shared/protocol/link_values.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::builder {

struct LogPosition {
    std::uint64_t logOffset = 0; // data bytes before it
    std::uint64_t fileOffset = 0;
    friend bool operator==(const LogPosition&, const LogPosition&) = default;
};

class LogSpool {
public:
    [[nodiscard]] static Result<LogSpool> create(const std::string& path);
    // After a restart; a record torn by the crash is cut off. Holes at the front are skipped.
    [[nodiscard]] static Result<LogSpool> reopen(const std::string& path);

    // data: 1 to kMaxLogRecordBytes.
    [[nodiscard]] Result<void> append(WallTime time, protocol::Stream stream, std::string_view data);
    // Whole records from the position on, at most maxBytes of data but at least one; moves the position behind them.
    [[nodiscard]] Result<std::vector<protocol::LogRecord>> read(LogPosition& position, std::size_t maxBytes) const;
    // The position of the record that holds this log offset, searched from a known one.
    [[nodiscard]] Result<LogPosition> seek(LogPosition from, std::uint64_t logOffset) const;
    // The server has everything before it.
    void release(LogPosition upTo);

    [[nodiscard]] LogPosition begin() const { return m_begin; } // the first that is still there
    [[nodiscard]] LogPosition end() const { return m_end; }

private:
    LogSpool(std::string path, FileHandle file) : m_path(std::move(path)), m_file(std::move(file)) {}
    [[nodiscard]] Result<void> scan();
    [[nodiscard]] Result<std::string> readAt(std::uint64_t offset, std::size_t count) const;

    std::string m_path;
    FileHandle m_file;
    LogPosition m_begin;
    LogPosition m_end;
};

} // namespace penstock::builder
