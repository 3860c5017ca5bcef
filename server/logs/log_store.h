// SPDX-License-Identifier: GPL-3.0-or-later
// LogStore: the logs of all attempts, a file each under one folder. Work happens on a thread of its own, so a
// slow disk never holds a loop; answers come on that thread and the receiver posts them to its own loop.
// Followers pull: they are told that a log grew and read on when they are ready, so a slow one costs nothing.
// Open files are bounded. All functions are callable from any thread.
#pragma once

#include "server/logs/log_file.h"
#include "server/logs/log_tap.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"
#include "shared/base/std_loop.h"

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>

namespace penstock::logs {

template <class T> using Answer = std::function<void(Result<T>)>;

struct LogLimits {
    std::uint64_t maxBytesPerAttempt = 4ULL << 30U;
    std::size_t maxOpenFiles = 256;
    std::uint64_t maxReadBytes = 1U << 20U; // a slice's data
};

// How far a log is stored. stop: nothing more of it is taken.
struct Stored {
    std::uint64_t offset = 0;
    bool stop = false;
};

class LogStore {
public:
    // grown is called on the log thread whenever a log grew or ended.
    using Grown = std::function<void(AttemptId, std::uint64_t size, bool ended)>;
    // tap: outlives the store; null where nobody listens.
    LogStore(std::string folder, LogLimits limits, Logger& logger, Grown grown, LogTap* tap = nullptr);

    // Answers how far the log is on disk; an error (a full disk) means: nothing was taken, send again later.
    void append(protocol::LogChunk chunk, Answer<Stored> answer);
    // The attempt has ended and its log is whole at this length. An empty log that was never written makes no
    // file of ours. hasRun: for the tap, as in settle().
    void end(AttemptId attempt, std::uint64_t bytes, bool hasRun);
    // The attempt has ended and nobody will send the rest: the log ends where it is.
    void endHere(AttemptId attempt);
    // NotFound when nothing was ever written.
    void read(AttemptId attempt, std::uint64_t offset, std::uint64_t limit, Answer<LogSlice> answer);

    // ---- for the tap; without one, or of an attempt that it does not know, all of it is answered at once
    [[nodiscard]] bool hasTap() const { return m_tap != nullptr; }
    void opened(AttemptId attempt, std::string subject);
    void running(AttemptId attempt, Task then);
    // Answers once this many bytes are stored and the tap has closed the attempt: true. False: by settleNow. A repeat
    // takes the place of its former, which is not answered any more. hasRun: it has not found ready what it was to
    // build.
    void settle(AttemptId attempt, std::uint64_t bytes, bool hasRun, std::function<void(bool)> answer);
    // Whoever waits for this attempt does not wait any longer.
    void settleNow(AttemptId attempt);
    // Nobody waits for it any more, and it goes on.
    void unsettle(AttemptId attempt);

private:
    struct Awaited {
        std::uint64_t bytes;
        bool hasRun;
        std::function<void(bool)> answer;
    };
    struct Open {
        std::unique_ptr<LogFile> file;
        std::list<AttemptId>::iterator used;
    };
    [[nodiscard]] std::string pathOf(AttemptId attempt) const;
    [[nodiscard]] Result<LogFile*> fileOf(AttemptId attempt, bool create);
    [[nodiscard]] Result<Stored> store(const protocol::LogChunk& chunk);
    void expect(AttemptId attempt, std::uint64_t bytes);
    void endIfWhole(AttemptId attempt, LogFile& file);
    [[nodiscard]] LogFile* existing(AttemptId attempt);
    void settleIfWhole(AttemptId attempt, const LogFile& file);
    void settled(AttemptId attempt, bool isWhole);
    void tellEnded(AttemptId attempt, bool hasRun);

    const std::string m_folder;
    const LogLimits m_limits;
    Logger& m_logger;
    const Grown m_grown;
    LogTap* const m_tap;
    std::map<AttemptId, Open> m_open;
    std::list<AttemptId> m_recent;                 // newest first
    std::map<AttemptId, std::uint64_t> m_expected; // ended, but bytes are still to come
    std::map<AttemptId, Awaited> m_awaited;
    StdLoop m_loop{"logs"};                        // last: its tasks use all of the above
};

} // namespace penstock::logs
