// SPDX-License-Identifier: GPL-3.0-or-later
// run: a command on the farm as if it ran here.
#include "client/commands/arguments.h"
#include "client/commands/job_options.h"
#include "client/commands/job_view.h"
#include "client/commands/table.h"
#include "client/follow/outcome.h"
#include "client/output/json_fields.h"

#include <csignal>
#include <fmt/format.h>
#include <QJsonDocument>

namespace penstock::client {

namespace {

using config::Kind;
using config::Values;

// The server refused the job itself: that is the user's to mend. All else is the farm's failure.
int refusalCode(const Error& error)
{
    return error.code == ErrorCode::Invalid ? kExitUsage : kExitFarm;
}

int detached(Invocation& invocation, std::string json)
{
    const auto reply = invocation.api().post("/api/v1/jobs", std::move(json));
    if (!reply) {
        invocation.complain(reply.error());
        return refusalCode(reply.error());
    }
    if (invocation.globals().json)
        invocation.printJson(reply->body);
    else
        invocation.console().out(textField(reply->object, "id") + "\n");
    return kExitFine;
}

// What a user would not see from the exit code or the command's own output.
void explainEnd(Invocation& invocation, const monitor::JobRecord& job)
{
    const bool plainExit = job.signal() == 0 && job.exit_code() != 0 && job.error().empty() &&
                           (job.result().empty() || job.result() == "failed");
    if (job.state() != monitor::JOB_SUCCEEDED && !plainExit)
        invocation.console().note("penstock: " + describeEnd(job));
}

int followed(Invocation& invocation, std::string json)
{
    JobView view(invocation);
    FollowLoop loop(invocation, view, true);
    std::uint64_t job = 0;
    loop.submit(std::move(json), [&](std::uint64_t id) {
        job = id;
        if (invocation.globals().json)
            view.printEvent("submitted", QJsonObject{{QStringLiteral("id"), static_cast<qint64>(id)}});
    });
    loop.open();
    const auto end = loop.run();
    if (end.error) {
        invocation.complain(*end.error);
        if (job != 0)
            invocation.console().complain(
                fmt::format("penstock: job {} may go on; `penstock job {}` tells", job, job));
    }
    if (end.kind == FollowEnd::Kind::Refused && end.error)
        return refusalCode(*end.error);
    if (end.kind == FollowEnd::Kind::Detached && job != 0)
        invocation.console().complain(
            fmt::format("penstock: job {} goes on; `penstock logs -f {}` follows it", job, job));
    if (const auto code = exitCodeOf(end, kExitFarm))
        return *code;
    const auto record = view.ended().find(job);
    if (record == view.ended().end())
        return kExitFarm;
    if (record->second.state() == monitor::JOB_CANCELLED && end.signal == SIGTERM)
        return kExitSignalBase + SIGTERM;
    explainEnd(invocation, record->second);
    return exitCodeOf(record->second);
}

int run(Invocation& invocation, const Values& values)
{
    const auto& words = values.arguments("CMD");
    if (words.empty() || words.front().empty())
        return usageError(invocation,
                          {ErrorCode::Invalid, "run needs a command: penstock run -- CMD [ARG…]"});
    const auto job = commandJob(invocation.globals(), values, words);
    if (!job)
        return usageError(invocation, job.error());
    auto json = QJsonDocument(*job).toJson(QJsonDocument::Compact).toStdString();
    return values.flag("detach") ? detached(invocation, std::move(json))
                                 : followed(invocation, std::move(json));
}

} // namespace

Command runCommand()
{
    auto options = commandJobOptions();
    options.push_back({"detach",
                       Kind::Flag,
                       "print the job's number and leave it running",
                       {},
                       {},
                       {},
                       {},
                       false,
                       false,
                       'd'});
    return {
        {"run", "run a command on the farm as if it ran here", std::move(options), {}},
        "The command's standard output and error come out here unchanged, and penstock exits with its exit "
        "code. Otherwise:\n"
        "124 the job's time limit ended it; 125 the farm failed, not the job; 128+N signal N ended the "
        "command;\n"
        "130 the job was cancelled. The command is run as it stands, without a shell, unless --shell is "
        "given.\n"
        "Ctrl-C asks whether to detach or to cancel; without a terminal it cancels, as SIGTERM always does.",
        {"penstock run -- make -C /srv/project check",
         "penstock run --shell bash -- 'set -o pipefail; seq 9 | sort -R'",
         "penstock run --detach --timeout 1h --memory 4GiB -- ./simulate --seed 7"},
        run};
}

} // namespace penstock::client
