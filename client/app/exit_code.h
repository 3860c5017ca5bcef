// SPDX-License-Identifier: GPL-3.0-or-later
// What the program's exit status means. Scripts depend on these numbers; they are in the manual page.
#pragma once

namespace penstock::client {

inline constexpr int kExitFine = 0;
inline constexpr int kExitFailed = 1;        // the thing asked for failed, or does not exist
inline constexpr int kExitUsage = 2;         // wrong flags or configuration
inline constexpr int kExitTimedOut = 124;    // run: the job's time limit ended it, as with timeout(1)
inline constexpr int kExitFarm = 125;        // run: the farm failed, not the job
inline constexpr int kExitSignalBase = 128;  // run: plus the number of the signal that ended the job
inline constexpr int kExitInterrupted = 130; // cancelled, by Ctrl-C here or by somebody elsewhere
inline constexpr int kExitBrokenPipe = 141;  // whoever read our output went away

} // namespace penstock::client
