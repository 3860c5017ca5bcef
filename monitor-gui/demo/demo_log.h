// SPDX-License-Identifier: GPL-3.0-or-later
// What a simulated step prints in one second of its life. Pure: the same step and second give the same text.
#pragma once

#include "proto/monitor.pb.h"

#include <cstdint>
#include <vector>

namespace penstock::gui {

[[nodiscard]] std::vector<monitor::LogEntry> demoLog(const monitor::StepRecord& step, std::uint64_t second);

} // namespace penstock::gui
