// SPDX-License-Identifier: GPL-3.0-or-later
// Journal: what became of each attempt, in one append-only file, so that a killed builder knows at its next
// start what it held. One small write per change; records carry a check sum and a torn one at the end is cut
// off. The file is rewritten when it is mostly history. A record survives the death of the process at once,
// and that of the machine after the next sync() (which the owner calls on a thread that may block). An object
// belongs to one loop. Unavailable: the disk refuses; Corrupt never: what is unreadable is dropped and
// counted.
#pragma once

#include "builder/spool/file_handle.h"
#include "shared/base/ids.h"
#include "shared/base/result.h"
#include "shared/protocol/link_values.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace penstock::builder {

struct JournalEntry {
    StepId step{0};
    WallTime startedAt;
    pid_t session = 0;
    Duration sinceBoot{0}; // when it was started
    std::optional<protocol::AttemptResult> result;
    bool resultStored = false; // by the server; only the log is left to deliver
};
using JournalEntries = std::map<AttemptId, JournalEntry>;

struct JournalContents {
    JournalEntries entries;
    std::string bootId;           // of the boot in which the file was last opened
    std::size_t goodBytes = 0;    // up to the first unreadable record
    std::size_t droppedBytes = 0; // after it
};
// Pure.
[[nodiscard]] JournalContents readJournal(std::string_view bytes);

class Journal {
public:
    // bootId: of this boot; entries of an earlier one have no processes any more.
    [[nodiscard]] static Result<Journal> open(const std::string& path, const std::string& bootId);
    // Reads without opening for writing: for the one who cleans up after a crash.
    [[nodiscard]] static Result<JournalContents> read(const std::string& path);

    [[nodiscard]] const JournalEntries& entries() const { return m_entries; }
    [[nodiscard]] const std::string& formerBootId() const { return m_formerBootId; }
    [[nodiscard]] std::size_t droppedBytes() const { return m_droppedBytes; }

    [[nodiscard]] Result<void> started(AttemptId attempt, JournalEntry entry);
    [[nodiscard]] Result<void> finished(const protocol::AttemptResult& result);
    [[nodiscard]] Result<void> resultStored(AttemptId attempt);
    [[nodiscard]] Result<void> forgotten(AttemptId attempt);

    // A descriptor of its own for fdatasync on another thread; closed by its owner.
    [[nodiscard]] FileHandle handleForSync() const;

private:
    Journal(std::string path, std::string bootId, FileHandle file, JournalContents contents);
    [[nodiscard]] Result<void> append(const std::string& record);
    [[nodiscard]] Result<void> rewriteWhenWorthwhile();

    std::string m_path;
    std::string m_bootId;
    std::string m_formerBootId;
    FileHandle m_file;
    JournalEntries m_entries;
    std::size_t m_bytes;
    std::size_t m_droppedBytes;
};

} // namespace penstock::builder
