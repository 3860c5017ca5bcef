// SPDX-License-Identifier: GPL-3.0-or-later
// jobs, job, runs, steps, why: what there is and how it stands.
#include "client/commands/arguments.h"
#include "client/commands/table.h"
#include "client/output/json_fields.h"

#include <fmt/format.h>
#include <QJsonArray>
#include <QJsonDocument>

namespace penstock::client {

namespace {

using config::Kind;
using config::Values;

struct Listing {
    RecordKind kind;
    const char* key;  // of the array in the answer
    std::string noun; // "jobs"
};

// One page, or with --all every page; pages are asked for by the last id.
int showPages(Invocation& invocation, const Values& values, const std::function<Query()>& base,
              const Listing& listing)
{
    auto before = values.has("before") ? std::to_string(values.integer("before")) : std::string();
    const bool all = values.flag("all");
    bool any = false;
    while (true) {
        auto query = base();
        query.add("limit", std::to_string(all ? 1000 : values.integer("limit"))).add("before", before);
        const auto reply = invocation.api().get(query.text());
        if (!reply)
            return invocation.complain(reply.error());
        const auto records = arrayField(reply->object, listing.key);
        any = any || !records.isEmpty();
        const bool more = hasField(reply->object, "next");
        if (invocation.globals().json && all)
            for (const auto& record : records)
                invocation.printJson(
                    QJsonDocument(record.toObject()).toJson(QJsonDocument::Compact).toStdString());
        else if (invocation.globals().json)
            invocation.printJson(reply->body);
        else if (!records.isEmpty())
            invocation.console().out(renderList(listing.kind, records, invocation.view()));
        const auto next = textField(reply->object, "next");
        if (!all || !more || next == before || invocation.console().closed()) {
            if (!any && !invocation.globals().json)
                invocation.console().note(fmt::format("no {}", listing.noun));
            else if (more && !all && !invocation.globals().json)
                invocation.console().note(fmt::format("more {}: --before {} or --all", listing.noun, next));
            return kExitFine;
        }
        before = next;
    }
}

std::vector<config::OptionSpec> pageOptions(std::string_view noun)
{
    return {{"limit",
             Kind::Integer,
             fmt::format("at most so many {}", noun),
             "N",
             "50",
             {},
             {},
             false,
             false,
             'n',
             1,
             1000},
            {"before",
             Kind::Integer,
             fmt::format("only {} with a smaller id: the next page", noun),
             "ID",
             {},
             {},
             {},
             false,
             false,
             0,
             1},
            {"all", Kind::Flag, "every page"}};
}

int jobs(Invocation& invocation, const Values& values)
{
    auto base = [&] {
        Query query("/api/v1/jobs");
        query.add("state", values.text("state"))
            .add("open", values.flag("open") ? "true" : "")
            .add("namespace", invocation.globals().nameSpace)
            .add("user", values.text("user"))
            .add("name", values.text("name"));
        return query;
    };
    return showPages(invocation, values, base, {RecordKind::Job, "jobs", "jobs"});
}

int job(Invocation& invocation, const Values& values)
{
    const auto id = parseId("job", values.argument("ID"));
    if (!id)
        return usageError(invocation, id.error());
    const auto target = fmt::format("/api/v1/jobs/{}", *id);
    if (invocation.globals().json)
        return invocation.show(target, {});
    const int code = invocation.show(target, renderJob);
    if (code != kExitFine)
        return code;
    const auto steps = invocation.api().get(target + "/steps");
    if (!steps)
        return invocation.complain(steps.error());
    if (const auto records = arrayField(steps->object, "steps"); !records.isEmpty())
        invocation.console().out("\n" + renderList(RecordKind::Step, records, invocation.view()));
    return kExitFine;
}

int runs(Invocation& invocation, const Values& values)
{
    const auto id = parseId("job", values.argument("ID"));
    if (!id)
        return usageError(invocation, id.error());
    return invocation.show(fmt::format("/api/v1/jobs/{}/runs", *id),
                           [](const QJsonObject& answer, const View& view) {
                               const auto records = arrayField(answer, "runs");
                               const auto results = renderResults(records, view, false);
                               return renderList(RecordKind::Run, records, view) +
                                      (results.empty() ? results : "\n" + results);
                           });
}

int steps(Invocation& invocation, const Values& values)
{
    if (values.has("job")) {
        if (values.flag("running") || values.flag("queued") || values.has("state"))
            return usageError(invocation, {ErrorCode::Invalid, "--job lists all steps of the job; leave out "
                                                               "--running, --queued and --state"});
        return invocation.show(fmt::format("/api/v1/jobs/{}/steps", values.integer("job")),
                               [](const QJsonObject& answer, const View& view) {
                                   return renderList(RecordKind::Step, arrayField(answer, "steps"), view);
                               });
    }
    if (values.flag("running") && values.flag("queued"))
        return usageError(invocation, {ErrorCode::Invalid, "--running and --queued exclude each other"});
    const std::string state = values.flag("running")  ? "running"
                              : values.flag("queued") ? "queued"
                                                      : values.text("state");
    auto base = [state] {
        Query query("/api/v1/steps");
        query.add("state", state);
        return query;
    };
    return showPages(invocation, values, base, {RecordKind::Step, "steps", "steps"});
}

int why(Invocation& invocation, const Values& values)
{
    const auto id = parseId("job", values.argument("ID"));
    if (!id)
        return usageError(invocation, id.error());
    return invocation.show(fmt::format("/api/v1/jobs/{}/explain", *id), renderExplain);
}

} // namespace

Command jobsCommand()
{
    auto options = pageOptions("jobs");
    options.insert(options.begin(), {{"state",
                                      Kind::Text,
                                      "only jobs in this state",
                                      "STATE",
                                      {},
                                      {},
                                      {"queued", "running", "succeeded", "failed", "cancelled"}},
                                     {"open", Kind::Flag, "only jobs that have not finished"},
                                     {"user", Kind::Text, "only this user's jobs", "NAME"},
                                     {"name", Kind::Text, "only jobs of this name", "NAME"}});
    return {{"jobs", "list jobs, newest first", std::move(options), {}},
            "",
            {"penstock jobs --open", "penstock jobs --state failed --user ann --json"},
            jobs};
}

Command jobCommand()
{
    return {{"job", "show one job and its steps", {}, {{"ID", "the job's number"}}},
            "With --json the job alone, with its definition as submitted. What a Nix build has made is shown as its "
            "outputs say it in nix-support: products, metrics, release name, and \"failed with output\" where they say "
            "that.",
            {"penstock job 7"},
            job};
}

Command runsCommand()
{
    return {{"runs", "list the attempts of a job's steps, oldest first", {}, {{"ID", "the job's number"}}},
            "Below them what those that were Nix builds say of themselves: products, metrics, release name.",
            {"penstock runs 7"},
            runs};
}

Command stepsCommand()
{
    auto options = pageOptions("steps");
    options.insert(options.begin(),
                   {{"running", Kind::Flag, "only steps that run"},
                    {"queued", Kind::Flag, "only steps that wait for a slot or for their retry time"},
                    {"state",
                     Kind::Text,
                     "only steps in this state",
                     "STATE",
                     {},
                     {},
                     {"blocked", "queued", "ready", "delayed", "running", "finished"}},
                    {"job", Kind::Integer, "all steps of this job", "ID", {}, {}, {}, false, false, 0, 1}});
    return {{"steps", "list steps: single commands and derivations", std::move(options), {}},
            "",
            {"penstock steps --running", "penstock steps --job 7"},
            steps};
}

Command whyCommand()
{
    return {
        {"why", "explain why a job does not run, and what would start it", {}, {{"ID", "the job's number"}}},
        "",
        {"penstock why 7"},
        why};
}

} // namespace penstock::client
