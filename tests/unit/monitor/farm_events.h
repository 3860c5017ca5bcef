// SPDX-License-Identifier: GPL-3.0-or-later
// Short ways to write the events of a farm stream in tests.
#pragma once

#include "monitor-gui/replica/feed_event.h"

namespace penstock::gui::test {

inline Now at(std::int64_t seconds)
{
    const Duration time = std::chrono::seconds(seconds);
    return {Instant{time}, WallTime{time + std::chrono::hours(1)}};
}
inline WallTime server(std::int64_t seconds)
{
    return WallTime{std::chrono::hours(480'000) + std::chrono::seconds(seconds)};
}

inline MachinePtr machine(std::uint64_t id, const std::string& name = "m", std::uint32_t used = 0)
{
    MachineRecord record{.id = MachineId(id)};
    record.name = name;
    record.state = MachineState::Ready;
    record.slots = 8;
    record.used = used;
    record.cores = 4;
    return std::make_shared<const MachineRecord>(std::move(record));
}
inline QueuePtr queue(const std::string& key, std::uint64_t queued = 0)
{
    QueueRecord record;
    record.key = key;
    record.system = key;
    record.queued = queued;
    return std::make_shared<const QueueRecord>(std::move(record));
}
inline SharePtr share(const std::string& group, double used = 0, double target = 0)
{
    ShareRecord record;
    record.group = group;
    record.shares = 100;
    record.usedPercent = used;
    record.targetPercent = target;
    record.queued = 1;
    return std::make_shared<const ShareRecord>(std::move(record));
}
inline JobPtr job(std::uint64_t id, const std::string& name = "j")
{
    JobRecord record{.id = JobId(id)};
    record.name = name;
    return std::make_shared<const JobRecord>(std::move(record));
}
inline StepPtr step(std::uint64_t id, StepState state = StepState::Ready)
{
    StepRecord record{.id = StepId(id)};
    record.name = "s" + std::to_string(id);
    record.state = state;
    return std::make_shared<const StepRecord>(std::move(record));
}

inline SnapshotEvent snapshot(std::uint64_t number, const std::string& stream = "a")
{
    SnapshotEvent event;
    event.stream = stream;
    event.number = number;
    return event;
}
inline DeltaEvent delta(std::uint64_t number)
{
    DeltaEvent event;
    event.number = number;
    return event;
}

} // namespace penstock::gui::test
