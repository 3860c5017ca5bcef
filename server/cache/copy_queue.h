// SPDX-License-Identifier: GPL-3.0-or-later
// CopyQueue: what has still to be copied to one further store: a durable queue, one small file an entry
// (DIR/SHARD/NUMBER), written to a temporary file, synced and renamed. Oldest first, so references that were
// added first are copied first. What cannot be copied now comes again after a growing pause: the store as a
// whole when it does not answer, else the entry alone. In memory: a few bytes for each of at most maxLoaded
// entries; the rest waits on disk. Any thread; add() waits for the disk only. Errors: those of the file
// system.
#pragma once

#include "server/cache/detail/file_io.h"
#include "shared/base/clock.h"
#include "shared/base/mutex.h"
#include "shared/base/result.h"
#include "shared/nix/store_path.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace penstock::cache {

inline constexpr std::size_t kMaxEntryPaths = 256;

struct CopyEntry {
    std::uint64_t number = 0;
    std::vector<nix::StorePath> paths; // references first
    std::string log;                   // base name of a .drv whose log is copied, too; empty: none
};

struct CopyQueueOptions {
    std::size_t maxLoaded = 100'000;
    Duration firstPause = std::chrono::seconds(5); // doubles with every failure
    Duration longestPause = std::chrono::minutes(15);
};

struct CopyQueueStatus {
    std::uint64_t waiting = 0; // those that are being copied included
    std::uint64_t copying = 0;
    std::uint64_t finished = 0;   // since the start
    std::uint64_t failures = 0;   // since the start
    std::uint64_t unreadable = 0; // files that are no entries, left alone
    std::string lastError;
};

struct CopyListing {
    CopyEntry entry;
    unsigned attempts = 0; // that failed, since the start
    bool isCopying = false;
    std::string lastError;
};

class CopyQueue {
public:
    // directory: made when missing; of this queue alone.
    [[nodiscard]] static Result<std::unique_ptr<CopyQueue>> open(std::string directory,
                                                                 CopyQueueOptions options);

    // Durable when it returns. Split into entries of at most kMaxEntryPaths.
    [[nodiscard]] Result<void> add(const std::vector<nix::StorePath>& paths, const std::string& log);
    // The oldest that is due; it is the caller's until he says finished or failed. None: nothing is due.
    [[nodiscard]] Result<std::optional<CopyEntry>> take(Instant now);
    [[nodiscard]] Result<void> finished(std::uint64_t number); // also to give an entry up
    void failed(std::uint64_t number, const Error& error, Instant now);
    // When take() may give something next; none: nothing waits.
    [[nodiscard]] std::optional<Instant> nextDue();

    [[nodiscard]] CopyQueueStatus status();
    // Entries with a higher number than after, oldest first, at most limit.
    [[nodiscard]] Result<std::vector<CopyListing>> list(std::uint64_t after, std::size_t limit);

private:
    struct State {
        unsigned attempts = 0;
        Instant due;
        bool isTaken = false;
        std::string lastError;
    };

    CopyQueue(std::string directory, CopyQueueOptions options);
    [[nodiscard]] Result<void> count();
    [[nodiscard]] Result<std::vector<std::uint64_t>> numbersFrom(std::uint64_t first,
                                                                 std::size_t limit) const;
    [[nodiscard]] Result<void> load() PENSTOCK_REQUIRES(m_mutex);
    [[nodiscard]] Result<std::uint64_t> write(const CopyEntry& entry) PENSTOCK_REQUIRES(m_adding);
    [[nodiscard]] Result<CopyEntry> read(std::uint64_t number) const;
    void include(std::uint64_t number) PENSTOCK_REQUIRES(m_mutex);
    void dropUnreadable(std::uint64_t number) PENSTOCK_REQUIRES(m_mutex);
    [[nodiscard]] Duration pauseAfter(unsigned failures) const;

    const std::string m_directory;
    const CopyQueueOptions m_options;
    Mutex m_adding; // held while files are written, so that numbers appear in order; taken before m_mutex
    std::uint64_t m_lastNumber PENSTOCK_GUARDED_BY(m_adding) = 0;

    Mutex m_mutex;
    std::map<std::uint64_t, State> m_loaded PENSTOCK_GUARDED_BY(m_mutex);
    std::set<std::pair<Instant, std::uint64_t>>
        m_due PENSTOCK_GUARDED_BY(m_mutex);                        // of loaded ones that nobody took
    std::uint64_t m_nextUnloaded PENSTOCK_GUARDED_BY(m_mutex) = 1; // all below are loaded
    std::uint64_t m_highest PENSTOCK_GUARDED_BY(m_mutex) = 0;      // number that is on disk
    Instant m_heldUntil PENSTOCK_GUARDED_BY(m_mutex);
    unsigned m_storeFailures PENSTOCK_GUARDED_BY(m_mutex) = 0; // in a row
    CopyQueueStatus m_status PENSTOCK_GUARDED_BY(m_mutex);
};

} // namespace penstock::cache
