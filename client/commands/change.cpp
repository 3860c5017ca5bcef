// SPDX-License-Identifier: GPL-3.0-or-later
// cancel, retry, bump, hold, release: what is done to jobs by number.
#include "client/commands/arguments.h"
#include "client/commands/table.h"

#include <fmt/format.h>

namespace penstock::client {

namespace {

using config::Kind;
using config::Values;

struct Change {
    std::string_view verb;  // of the route
    std::string_view done;  // "cancelled"
    std::string body = {};  // JSON
};

// Goes on after a refusal: the others are changed all the same, and the exit code tells.
int changeAll(Invocation& invocation, const Values& values, const Change& change)
{
    const auto ids = parseIds("job", values.arguments("ID"));
    if (!ids)
        return usageError(invocation, ids.error());
    int code = kExitFine;
    for (const auto id : *ids) {
        const auto reply = invocation.api().post(fmt::format("/api/v1/jobs/{}/{}", id, change.verb), change.body);
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

int bump(Invocation& invocation, const Values& values)
{
    return changeAll(invocation, values,
                     values.flag("undo") ? Change{"unbump", "back in its place"} : Change{"bump", "bumped"});
}

int hold(Invocation& invocation, const Values& values)
{
    return changeAll(invocation, values, {"hold", "held", noteBody(values)});
}

int release(Invocation& invocation, const Values& values)
{
    return changeAll(invocation, values, {"release", "released"});
}

} // namespace

Command bumpCommand()
{
    return {{"bump",
             "put jobs before everything else on the farm, the last one bumped first",
             {{"undo", Kind::Flag, "put them back in their places"}},
             {{"ID", "numbers of the jobs", true, true}}},
            "Unlike --priority, which orders the jobs of one share group, a bump goes before every group, "
            "whatever its share.",
            {"penstock bump 7", "penstock bump --undo 7"},
            bump};
}

Command holdCommand()
{
    return {{"hold",
             "start nothing new for these jobs; what runs goes on",
             {{"note", Kind::Text, "why, for others to see", "TEXT"}},
             {{"ID", "numbers of the jobs", true, true}}},
            "Steps that another job needs too are started for that one.",
            {"penstock hold 7 8 --note 'until the licence server is back'"},
            hold};
}

Command releaseCommand()
{
    return {{"release", "let held jobs go on", {}, {{"ID", "numbers of the jobs", true, true}}},
            "",
            {"penstock release 7 8"},
            release};
}

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
