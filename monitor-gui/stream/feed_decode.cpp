// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/stream/feed_decode.h"

#include "monitor-gui/stream/record_decode.h"
#include "proto/monitor.pb.h"

#include <fmt/format.h>
#include <google/protobuf/arena.h>
#include <limits>

namespace penstock::gui {

namespace {

using namespace decode;

template <class From, class To> Result<void> recordsOf(const From& from, To& to)
{
    to.totals = totalsOf(from.totals());
    for (const monitor::QueueRecord& queue : from.queues())
        to.queues.push_back(queueOf(queue));
    for (const monitor::MachineRecord& record : from.machines()) {
        PENSTOCK_TRY(MachinePtr machine, machineOf(record));
        to.machines.push_back(std::move(machine));
    }
    for (const monitor::JobRecord& record : from.jobs()) {
        PENSTOCK_TRY(JobPtr job, jobOf(record));
        to.jobs.push_back(std::move(job));
    }
    for (const monitor::ShareRecord& share : from.shares())
        to.shares.push_back(shareOf(share));
    return {};
}

Result<SnapshotEvent> snapshotOf(const monitor::FarmSnapshot& from)
{
    SnapshotEvent event{.watch = from.watch(),
                        .stream = from.stream(),
                        .number = from.number(),
                        .totals = {},
                        .queues = {},
                        .machines = {},
                        .jobs = {},
                        .shares = {},
                        .resumed = from.resumed()};
    PENSTOCK_TRY_VOID(recordsOf(from, event));
    return event;
}

Result<DeltaEvent> deltaOf(const monitor::FarmDelta& from)
{
    DeltaEvent event;
    event.watch = from.watch();
    event.number = from.number();
    PENSTOCK_TRY_VOID(recordsOf(from, event));
    event.removedQueues = stringsOf(from.removed_queues());
    event.removedShares = stringsOf(from.removed_shares());
    for (const std::uint64_t value : from.removed_machines()) {
        PENSTOCK_TRY(const MachineId id, idOf<MachineId>(value, "removed_machines"));
        event.removedMachines.push_back(id);
    }
    for (const std::uint64_t value : from.removed_jobs()) {
        PENSTOCK_TRY(const JobId id, idOf<JobId>(value, "removed_jobs"));
        event.removedJobs.push_back(id);
    }
    return event;
}

Result<JobEvent> jobUpdateOf(const monitor::JobUpdate& from)
{
    JobEvent event;
    event.watch = from.watch();
    event.complete = from.complete();
    if (from.has_job()) {
        PENSTOCK_TRY(event.job, jobOf(from.job()));
    }
    for (const monitor::StepRecord& record : from.steps()) {
        PENSTOCK_TRY(StepPtr step, stepOf(record));
        event.steps.push_back(std::move(step));
    }
    return event;
}

LogStream streamOf(monitor::LogStream from)
{
    switch (from) {
    case monitor::LOG_OUT: return LogStream::Out;
    case monitor::LOG_ERR: return LogStream::Err;
    default: return LogStream::System;
    }
}

Result<LogEvent> logOf(monitor::LogData& from)
{
    constexpr std::uint64_t kHighestOffset = std::uint64_t{1} << 62U;
    if (from.offset() > kHighestOffset || from.size() > kHighestOffset)
        return fail(ErrorCode::Invalid,
                    fmt::format("log offset {} or size {} is above 2^62; the server is at fault",
                                from.offset(), from.size()));
    LogEvent event;
    event.watch = from.watch();
    event.attempt = optionalIdOf<AttemptId>(from.attempt_id());
    event.offset = from.offset();
    event.gap = from.gap();
    event.size = from.size();
    event.ended = from.ended();
    for (monitor::LogEntry& entry : *from.mutable_records()) {
        event.pieces.push_back({timeOf(entry.time_us()).value_or(WallTime{}), streamOf(entry.stream()),
                                std::move(*entry.mutable_data())});
    }
    return event;
}

Result<ExplanationEvent> explanationEventOf(const monitor::Explanation& from)
{
    PENSTOCK_TRY(Explanation explanation, explanationOf(from));
    ExplanationEvent event;
    event.request = from.request();
    event.explanation = std::make_shared<const Explanation>(std::move(explanation));
    return event;
}

HelloEvent helloOf(const monitor::ServerHello& from)
{
    const auto period = [](std::uint32_t milliseconds, std::uint32_t fallback) {
        return Duration{std::chrono::milliseconds(milliseconds == 0 ? fallback : milliseconds)};
    };
    return {from.protocol(), from.version(), from.server_name(), period(from.period_ms(), 1000),
            period(from.machine_period_ms(), 5000)};
}

template <class T> Result<FeedEvent> eventOf(WallTime time, Result<T> body)
{
    if (!body)
        return fail(std::move(body).error());
    return FeedEvent{time, *std::move(body)};
}

} // namespace

Result<FeedEvent> decodeFeed(ByteView payload)
{
    google::protobuf::Arena arena;
    auto& message = *google::protobuf::Arena::CreateMessage<monitor::FeedMessage>(&arena);
    if (payload.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
        !message.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
        return fail(ErrorCode::Corrupt,
                    fmt::format("a frame of {} bytes is no feed message", payload.size()));
    const WallTime time = timeOf(message.server_time_us()).value_or(WallTime{});
    switch (message.kind_case()) {
    case monitor::FeedMessage::kHello: return FeedEvent{time, helloOf(message.hello())};
    case monitor::FeedMessage::kSnapshot: return eventOf(time, snapshotOf(message.snapshot()));
    case monitor::FeedMessage::kDelta: return eventOf(time, deltaOf(message.delta()));
    case monitor::FeedMessage::kJob: return eventOf(time, jobUpdateOf(message.job()));
    case monitor::FeedMessage::kLog: return eventOf(time, logOf(*message.mutable_log()));
    case monitor::FeedMessage::kEnd:
        return FeedEvent{time, WatchEndEvent{message.end().watch(), message.end().error()}};
    case monitor::FeedMessage::kProblem:
        return FeedEvent{time, ProblemEvent{message.problem().watch(), message.problem().code(),
                                            message.problem().message()}};
    case monitor::FeedMessage::kPong: return FeedEvent{time, PongEvent{message.pong().sequence()}};
    case monitor::FeedMessage::kGoodbye:
        return FeedEvent{time, GoodbyeEvent{message.goodbye().code(), message.goodbye().text()}};
    case monitor::FeedMessage::kExplanation: return eventOf(time, explanationEventOf(message.explanation()));
    case monitor::FeedMessage::kBuildAccepted: // asked for by the command-line client only
    case monitor::FeedMessage::KIND_NOT_SET: break;
    }
    return FeedEvent{time, UnknownEvent{}};
}

} // namespace penstock::gui
