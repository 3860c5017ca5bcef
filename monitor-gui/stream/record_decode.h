// SPDX-License-Identifier: GPL-3.0-or-later
// Records of proto/monitor.proto as the monitor's own values. Callable from any thread. Errors: Invalid (an id of 0
// where one is required). Numbers that cannot be drawn (NaN, infinite, negative) become 0.
#pragma once

#include "monitor-gui/replica/explanation.h"
#include "monitor-gui/replica/records.h"
#include "proto/monitor.pb.h"
#include "shared/base/result.h"

#include <fmt/format.h>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::gui::decode {

[[nodiscard]] std::optional<WallTime> timeOf(std::uint64_t micros); // none: 0, or nonsense
[[nodiscard]] double drawable(double value);

template <class Field> std::vector<std::string> stringsOf(const Field& field)
{
    return {field.begin(), field.end()};
}

template <class IdType> Result<IdType> idOf(std::uint64_t value, std::string_view field)
{
    if (value == 0)
        return fail(ErrorCode::Invalid,
                    fmt::format("{} is 0, which is no id; the server is at fault", field));
    return IdType(value);
}

template <class IdType> std::optional<IdType> optionalIdOf(std::uint64_t value)
{
    return value == 0 ? std::nullopt : std::optional<IdType>(value);
}

[[nodiscard]] JobState stateOf(monitor::JobState from);
[[nodiscard]] StepState stateOf(monitor::StepState from);
[[nodiscard]] FarmTotals totalsOf(const monitor::FarmTotals& from);
[[nodiscard]] QueuePtr queueOf(const monitor::QueueRecord& from);
[[nodiscard]] SharePtr shareOf(const monitor::ShareRecord& from);
[[nodiscard]] Result<MachinePtr> machineOf(const monitor::MachineRecord& from); // machine_decode.cpp
[[nodiscard]] Result<JobPtr> jobOf(const monitor::JobRecord& from);
[[nodiscard]] Result<StepPtr> stepOf(const monitor::StepRecord& from);
[[nodiscard]] Result<Explanation> explanationOf(const monitor::Explanation& from); // explanation_decode.cpp

} // namespace penstock::gui::decode
