// SPDX-License-Identifier: GPL-3.0-or-later
// From a job's end to the exit code of `penstock run`, and to a line for people. Pure.
#pragma once

#include "proto/monitor.pb.h"

#include <string>

namespace penstock::client {

[[nodiscard]] int exitCodeOf(const monitor::JobRecord& job);
// "job 7 failed: exit code 3"; for a succeeded job "job 7 succeeded".
[[nodiscard]] std::string describeEnd(const monitor::JobRecord& job);
// queued, running, succeeded, failed, cancelled.
[[nodiscard]] std::string_view stateWord(monitor::JobState state);

} // namespace penstock::client
