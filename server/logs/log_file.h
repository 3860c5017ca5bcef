// SPDX-License-Identifier: GPL-3.0-or-later
// One attempt's log on disk: append-only, addressed by the offset of its data bytes. A file belongs to one thread.
//
// Format (little-endian): 8 bytes "PSLOG1\n\0", then records: u64 offset of the first data byte, u64 wall time in
// microseconds, u32 length, u8 stream (0 out, 1 err, 2 system, 255 the log is whole), 3 zero bytes, data. A torn
// last record, left by a crash, is cut off at the next open.
// Errors: Internal with the path and the system's text (a full disk among them), Corrupt for a foreign file.
#pragma once

#include "shared/base/result.h"
#include "shared/protocol/link_values.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace penstock::logs {

struct LogSlice {
    std::uint64_t offset = 0; // of the first record's first byte
    std::vector<protocol::LogRecord> records;
    std::uint64_t next = 0;   // ask for this next
    std::uint64_t size = 0;   // known data bytes now
    bool ended = false;       // nothing will be added
};

class LogFile {
public:
    // create: make the file (and its folder) when it is missing; else NotFound.
    [[nodiscard]] static Result<std::unique_ptr<LogFile>> open(std::string path, bool create);
    ~LogFile();
    LogFile(const LogFile&) = delete;
    LogFile& operator=(const LogFile&) = delete;

    // Adds what is new of the chunk: bytes before size() are known already and left out. Conflict when the chunk
    // begins beyond size(); nothing is written then.
    [[nodiscard]] Result<void> append(const protocol::LogChunk& chunk);
    // Marks the log as whole. Harmless when it is already.
    [[nodiscard]] Result<void> end();
    // At least one record when there is one at or after offset, else up to limit data bytes.
    [[nodiscard]] Result<LogSlice> read(std::uint64_t offset, std::uint64_t limit);

    [[nodiscard]] std::uint64_t size() const { return m_size; }
    [[nodiscard]] bool ended() const { return m_ended; }

private:
    struct Mark {
        std::uint64_t offset;
        std::uint64_t position;
    };
    LogFile(std::string path, int descriptor) : m_path(std::move(path)), m_descriptor(descriptor) {}
    [[nodiscard]] Result<void> scan();
    [[nodiscard]] Result<void> writeAll(const std::string& bytes);
    [[nodiscard]] std::uint64_t positionFor(std::uint64_t offset) const;
    void remember(std::uint64_t offset, std::uint64_t position);

    std::string m_path;
    int m_descriptor;
    std::uint64_t m_size = 0;     // data bytes
    std::uint64_t m_position = 0; // where the next record goes
    bool m_ended = false;
    std::vector<Mark> m_marks;    // sparse: one each 256 KiB of file
};

} // namespace penstock::logs
