// SPDX-License-Identifier: GPL-3.0-or-later
// What a former run of the builder left: processes, folders, unfinished attempts. Blocking, at start-up and in the
// guardian. An attempt that ran when its builder was killed is over: its processes are killed, and it is reported
// as Infrastructure, which uses up none of the step's tries.
#pragma once

#include "builder/core/builder_core.h"
#include "builder/spool/journal.h"
#include "builder/spool/work_directory.h"
#include "shared/base/log.h"

#include <string>
#include <vector>

namespace penstock::builder {

// This boot's id; empty where the kernel does not tell.
[[nodiscard]] std::string bootId();

// Kills what the unfinished attempts left running; gives how many processes.
std::size_t killLeftovers(const std::string& attemptsPath, const JournalEntries& entries, bool sameBoot);

// Ends every unfinished attempt in the journal; gives all whose result the server does not have.
[[nodiscard]] Result<std::vector<RecoveredAttempt>> recoverAttempts(Journal& journal, const WorkDirectory& directory,
                                                                    WallTime now, Logger& logger);

} // namespace penstock::builder
