// SPDX-License-Identifier: GPL-3.0-or-later
// LogTap: somebody beside the log store who keeps texts of attempts in a form of his own and is told as they grow.
// Called on the log thread only; what it does there holds up the logs, so a file at a time and nothing else. It knows
// the attempts that were opened and have not ended; what is said of others it ignores.
#pragma once

#include "server/logs/log_file.h"
#include "shared/base/ids.h"
#include "shared/protocol/link_values.h"

#include <cstdint>
#include <string>

namespace penstock::logs {

enum class Ending : std::uint8_t {
    NotRun, // it found ready what it was to build
    Silent, // it has a log of no bytes
    Told,
};

struct LogTap {
    virtual ~LogTap() = default;
    // The attempt was handed out, or goes on over a restart; may be repeated. subject: what it builds.
    virtual void opened(AttemptId attempt, const std::string& subject) = 0;
    // It runs, whether or not it has written anything.
    virtual void running(AttemptId attempt, LogFile* log) = 0;
    // The chunk is stored in log; parts of it may have been before.
    virtual void appended(const protocol::LogChunk& chunk, LogFile& log) = 0;
    // Whether it was opened and not closed.
    [[nodiscard]] virtual bool isOpen(AttemptId attempt) const = 0;
    // Its end is going to be told: nothing may be written of it afterwards.
    virtual void closed(AttemptId attempt, LogFile* log, Ending ending) = 0;
    // It is over; closed or not. hasRun: and has not found ready what it was to build.
    virtual void ended(AttemptId attempt, LogFile* log, bool hasRun) = 0;
};

} // namespace penstock::logs
