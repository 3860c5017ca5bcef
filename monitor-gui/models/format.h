// SPDX-License-Identifier: GPL-3.0-or-later
// How numbers, sizes, times and states are written in the window. Pure but for QString; any thread.
#pragma once

#include "monitor-gui/models/roles.h"
#include "monitor-gui/replica/reason_words.h"
#include "monitor-gui/replica/records.h"

#include <QString>
#include <QStringList>

namespace penstock::gui {

[[nodiscard]] QString text(const std::string& utf8);
[[nodiscard]] QString formatCount(std::uint64_t value);            // 12,431
[[nodiscard]] QString formatBytes(std::uint64_t bytes);            // 15.2 GiB
[[nodiscard]] QString formatDecimal(double value, int digits = 1); // 3.4
[[nodiscard]] QString formatAgeText(std::optional<Duration> age);  // an em dash when unknown
[[nodiscard]] QString formatClock(WallTime at);                    // local 14:03:11
[[nodiscard]] QString joined(const std::vector<std::string>& parts);
[[nodiscard]] QString dash(); // nothing known

[[nodiscard]] Tone toneOf(MachineState state);
[[nodiscard]] Tone toneOf(JobState state);
[[nodiscard]] Tone toneOf(StepState state);
[[nodiscard]] QString wordOf(MachineState state);
[[nodiscard]] QString wordOf(JobState state);
[[nodiscard]] QString wordOf(const StepRecord& step);

[[nodiscard]] Tone toneOf(ReasonKind kind);

// How a machine stands for new work, in one word or two.
struct MachineLook {
    Tone tone = Tone::Plain;
    QString word;
    int rank = 0; // what needs a person first
};
[[nodiscard]] MachineLook lookOf(const MachineRecord& machine, WallTime serverNow);

// By what its name ends with: bytes, seconds, percent; else as a count or with one decimal.
[[nodiscard]] QString formatNumber(const std::string& name, double value);

} // namespace penstock::gui
