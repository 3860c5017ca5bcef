// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/stream/feed_decode.h"

#include "proto/monitor.pb.h"
#include "shared/protocol/frame.h"

namespace penstock::gui {

namespace {

std::string frameOf(const monitor::ClientMessage& message)
{
    std::string frame;
    protocol::appendFrame(frame, message.SerializeAsString());
    return frame;
}

} // namespace

std::string encodeHello(const std::string& program)
{
    monitor::ClientMessage message;
    monitor::ClientHello& hello = *message.mutable_hello();
    hello.set_protocol_min(kProtocolMin);
    hello.set_protocol_max(kProtocolMax);
    hello.set_program(program);
    return frameOf(message);
}

std::string encodeWatchFarm(std::uint64_t watch, const std::string& resumeStream, std::uint64_t resumeAfter)
{
    monitor::ClientMessage message;
    monitor::WatchFarm& farm = *message.mutable_watch_farm();
    farm.set_watch(watch);
    farm.set_resume_stream(resumeStream);
    farm.set_resume_after(resumeAfter);
    return frameOf(message);
}

std::string encodeWatchJob(std::uint64_t watch, JobId job)
{
    monitor::ClientMessage message;
    monitor::WatchJob& wanted = *message.mutable_watch_job();
    wanted.set_watch(watch);
    wanted.set_job_id(job.value());
    return frameOf(message);
}

std::string encodeWatchLog(std::uint64_t watch, AttemptId attempt, std::uint64_t offset)
{
    monitor::ClientMessage message;
    monitor::WatchLog& log = *message.mutable_watch_log();
    log.set_watch(watch);
    log.set_attempt_id(attempt.value());
    log.set_offset(offset);
    log.set_follow(true);
    return frameOf(message);
}

std::string encodeExplain(std::uint64_t request, const WhyTarget& target)
{
    monitor::ClientMessage message;
    monitor::ExplainRequest& question = *message.mutable_explain();
    question.set_request(request);
    question.set_job_id(target.job.value());
    question.set_step_id(target.step ? target.step->value() : 0);
    return frameOf(message);
}

std::string encodeUnwatch(std::uint64_t watch)
{
    monitor::ClientMessage message;
    message.mutable_unwatch()->set_watch(watch);
    return frameOf(message);
}

std::string encodePing(std::uint64_t sequence)
{
    monitor::ClientMessage message;
    message.mutable_ping()->set_sequence(sequence);
    return frameOf(message);
}

} // namespace penstock::gui
