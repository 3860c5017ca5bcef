// SPDX-License-Identifier: GPL-3.0-or-later
// cancel, retry: jobs changed by their number.
#include "client/commands/arguments.h"
#include "client/commands/table.h"

#include <fmt/format.h>

namespace penstock::client {

namespace {

using config::Values;

struct Change {
    std::string_view verb; // of the route
    std::string_view done; // "cancelled"
};

// Goes on after a refusal: the others are changed all the same, and the exit code tells.
int changeAll(Invocation& invocation, const Values& values, const Change& change)
{
    const auto ids = parseIds("job", values.arguments("ID"));
    if (!ids)
        return usageError(invocation, ids.error());
    int code = kExitFine;
    for (const auto id : *ids) {
        const auto reply = invocation.api().post(fmt::format("/api/v1/jobs/{}/{}", id, change.verb), {});
        if (!reply) {
            code = invocation.complain(reply.error());
            if (reply.error().code == ErrorCode::Unavailable)
                return code;
        } else if (invocation.globals().json) {
            invocation.printJson(reply->body);
        } else if (!invocation.globals().quiet) {
            invocation.console().out(fmt::format("job {} {}\n", id, change.done));
        }
    }
    return code;
}

int cancel(Invocation& invocation, const Values& values)
{
    return changeAll(invocation, values, {"cancel", "cancelled"});
}

int retry(Invocation& invocation, const Values& values)
{
    return changeAll(invocation, values, {"retry", "queued again"});
}

} // namespace

Command cancelCommand()
{
    return {{"cancel",
             "stop jobs: what waits is dropped, what runs is ended",
             {},
             {{"ID", "numbers of the jobs", true, true}}},
            "A running command gets SIGTERM, and SIGKILL if it does not end in time. Steps that another job "
            "needs go on.",
            {"penstock cancel 7 8"},
            cancel};
}

Command retryCommand()
{
    return {{"retry",
             "run finished jobs again: what failed or was cancelled",
             {},
             {{"ID", "numbers of the jobs", true, true}}},
            "Steps that succeeded stay as they are.",
            {"penstock retry 7"},
            retry};
}

} // namespace penstock::client
