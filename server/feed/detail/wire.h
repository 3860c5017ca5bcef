// SPDX-License-Identifier: GPL-3.0-or-later
// The records of the feed as messages of proto/monitor.proto, and whole frames of them. The only place besides feed
// itself that sees generated types. Pure, callable from any thread.
#pragma once

#include "proto/monitor.pb.h"
#include "server/feed/feed_source.h"
#include "shared/base/clock.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::feed::wire {

void write(monitor::FarmTotals& out, const FarmTotals& totals);
void write(monitor::QueueRecord& out, const QueueEntry& queue);
void write(monitor::MachineRecord& out, const MachineEntry& machine);
void write(monitor::JobRecord& out, const JobEntry& job);
void write(monitor::StepRecord& out, const StepEntry& step);
void write(monitor::ShareRecord& out, const ShareEntry& share);
void write(monitor::LogEntry& out, const LogPiece& piece);

// Cut to the bounds of explanation.h, last steps first; those are counted in more.
void write(monitor::Explanation& out, const JobReasons& reasons);

[[nodiscard]] monitor::JobState stateOf(work::JobState state);
// Strings of proto3 must be UTF-8, or the other side drops the whole message.
[[nodiscard]] std::string utf8(const std::string& text);
[[nodiscard]] std::uint64_t micros(std::optional<WallTime> at); // 0: none

// Stamps the time and puts the length in front.
[[nodiscard]] std::string frame(monitor::FeedMessage& message, Now now);
// The same for a delta that is serialized already, without its watch: one serialization serves every watcher.
[[nodiscard]] std::string deltaFrame(std::string_view delta, std::uint64_t watch, Now now);

} // namespace penstock::feed::wire
