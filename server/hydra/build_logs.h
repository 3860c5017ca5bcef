// SPDX-License-Identifier: GPL-3.0-or-later
// BuildLogs: Hydra's log of a derivation, <data>/build-logs/<two characters of the .drv's base name>/<the rest>, as its
// web interface tails it: plain text of the builder's output and nothing else, that of the last attempt. Truncated when
// an attempt begins to run or to write, and then what hydra-notify made of a former one (.bz2, .zst) is removed; never
// touched once the attempt is closed. Every attempt that ran has its file, empty if it was silent; one that found ready
// what it was to build, or that the machine refused, has none, and leaves the former one alone. Our own log has all of
// the text and is addressed by offset, so that whatever is in doubt (a restart, a full disk, a file that somebody
// removed) is read from there again. A file that cannot be written holds up nothing: it is told once, tried again, and
// says that it is cut. Lives on the log thread.
// The process must not change its umask: it narrows the modes 0666 and 0777.
#pragma once

#include "server/logs/log_tap.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/result.h"

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

namespace penstock::hydra {

// Where the log of this derivation is; Invalid when the last part of drvPath is no base name of a .drv.
[[nodiscard]] Result<std::string> buildLogPath(std::string_view dataDir, std::string_view drvPath);

struct BuildLogLimits {
    std::size_t maxOpenFiles = 128;
    std::size_t maxAttempts = 500'000; // known at once; beyond it the oldest get no text any more
};

class BuildLogs final : public logs::LogTap {
public:
    // Both references outlive it.
    BuildLogs(std::string dataDir, const Clock& clock, Logger& logger, BuildLogLimits limits = {});
    ~BuildLogs() override;
    BuildLogs(const BuildLogs&) = delete;
    BuildLogs& operator=(const BuildLogs&) = delete;

    void opened(AttemptId attempt, const std::string& subject) override; // subject: the derivation's path
    void running(AttemptId attempt, logs::LogFile* log) override;
    void appended(const protocol::LogChunk& chunk, logs::LogFile& log) override;
    [[nodiscard]] bool isOpen(AttemptId attempt) const override { return m_texts.contains(attempt); }
    void closed(AttemptId attempt, logs::LogFile* log, logs::Ending ending) override;
    void ended(AttemptId attempt, logs::LogFile* log, bool hasRun) override;

private:
    struct Text {
        std::string path;
        std::uint64_t taken = 0;    // bytes of our log that are in the file, or were left out of it
        std::uint64_t position = 0; // length of the file
        int descriptor = -1;
        std::list<AttemptId>::iterator used = {}; // of an open descriptor
        bool isBegun = false;     // the file is this attempt's
        bool isTroubled = false;  // it could not be written
        Instant retryAt = {};     // then
    };
    using Texts = std::map<AttemptId, Text>;

    void write(AttemptId attempt, Text& text, const protocol::LogChunk* chunk, logs::LogFile* log);
    [[nodiscard]] Result<void> catchUp(AttemptId attempt, Text& text, const protocol::LogChunk* chunk,
                                       logs::LogFile* log);
    [[nodiscard]] Result<void> add(AttemptId attempt, Text& text, std::uint64_t offset,
                                   const std::vector<protocol::LogRecord>& records);
    [[nodiscard]] Result<void> begin(AttemptId attempt, Text& text);
    [[nodiscard]] Result<void> make(AttemptId attempt, Text& text);
    [[nodiscard]] Result<void> open(AttemptId attempt, Text& text, int flags);
    void close(Text& text);
    void finish(Texts::iterator found, logs::LogFile* log, bool needsFile);
    void remove(const std::string& file);
    void sayCut(AttemptId attempt, Text& text);
    void forget(Texts::iterator text);
    void remember(AttemptId attempt);

    const std::string m_dataDir;
    const Clock& m_clock;
    Logger& m_logger;
    const BuildLogLimits m_limits;
    Texts m_texts;
    std::unordered_map<std::string, AttemptId> m_newest; // whose file it is
    std::list<AttemptId> m_recent;                       // with a descriptor, newest first
    std::set<AttemptId> m_closed;                        // closed, and not over yet
};

} // namespace penstock::hydra
