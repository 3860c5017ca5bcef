// SPDX-License-Identifier: GPL-3.0-or-later
// Turns the bytes of one frame into a FeedEvent, and questions into the bytes of one frame. With record_decode.h the
// only place of the monitor that knows generated protocol types. Callable from any thread. Errors: Corrupt (not a
// FeedMessage), Invalid (an id of 0 where one is required, a negative time, …). Numbers that cannot be drawn
// (NaN, infinite, negative percentages) become 0.
#pragma once

#include "monitor-gui/replica/feed_event.h"
#include "shared/base/bytes.h"
#include "shared/base/result.h"

#include <string>

namespace penstock::gui {

inline constexpr std::uint32_t kProtocolMin = 1;
inline constexpr std::uint32_t kProtocolMax = 1;

[[nodiscard]] Result<FeedEvent> decodeFeed(ByteView payload);

// Each returns one whole frame.
[[nodiscard]] std::string encodeHello(const std::string& program);
[[nodiscard]] std::string encodeWatchFarm(std::uint64_t watch, const std::string& resumeStream,
                                          std::uint64_t resumeAfter);
[[nodiscard]] std::string encodeWatchJob(std::uint64_t watch, JobId job);
[[nodiscard]] std::string encodeWatchLog(std::uint64_t watch, AttemptId attempt, std::uint64_t offset);
[[nodiscard]] std::string encodeExplain(std::uint64_t request, const WhyTarget& target);
[[nodiscard]] std::string encodeUnwatch(std::uint64_t watch);
[[nodiscard]] std::string encodePing(std::uint64_t sequence);

} // namespace penstock::gui
