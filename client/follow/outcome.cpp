// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/follow/outcome.h"

#include "client/app/exit_code.h"
#include "client/output/human_text.h"
#include "client/output/style.h"

#include <fmt/format.h>

namespace penstock::client {

std::string_view stateWord(monitor::JobState state)
{
    switch (state) {
    case monitor::JOB_QUEUED: return "queued";
    case monitor::JOB_RUNNING: return "running";
    case monitor::JOB_SUCCEEDED: return "succeeded";
    case monitor::JOB_FAILED: return "failed";
    case monitor::JOB_CANCELLED: return "cancelled";
    default: return "unknown";
    }
}

int exitCodeOf(const monitor::JobRecord& job)
{
    const auto& result = job.result();
    if (job.state() == monitor::JOB_SUCCEEDED)
        return kExitFine;
    if (job.state() == monitor::JOB_CANCELLED || result == "cancelled")
        return kExitInterrupted;
    if (result == "timed_out" || result == "silent_timed_out")
        return kExitTimedOut;
    if (result == "aborted" || result == "unsupported" || result == "infrastructure" || result == "lost")
        return kExitFarm;
    if (result == "log_limit" || result == "output_limit")
        return kExitFailed;
    if (job.signal() > 0 && job.signal() < 128)
        return kExitSignalBase + job.signal();
    if (job.exit_code() > 0 && job.exit_code() < 256)
        return job.exit_code();
    return kExitFailed;
}

std::string describeEnd(const monitor::JobRecord& job)
{
    auto out = fmt::format("job {} {}", job.id(), stateWord(job.state()));
    std::string why;
    if (job.state() != monitor::JOB_SUCCEEDED) {
        if (!job.result().empty() && job.result() != stateWord(job.state()))
            why = words(job.result());
        const auto separator = why.empty() ? "" : ", ";
        if (job.signal() != 0)
            why += fmt::format("{}signal {}", separator, job.signal());
        else if (job.exit_code() != 0)
            why += fmt::format("{}exit code {}", separator, job.exit_code());
        if (!job.error().empty())
            why += (why.empty() ? "" : ", ") + job.error();
    }
    if (!why.empty())
        out += ": " + printable(why);
    return out;
}

} // namespace penstock::client
