// SPDX-License-Identifier: GPL-3.0-or-later
// build: Nix derivations instantiated here and built on the farm.
#include "client/build/build_view.h"
#include "client/build/closure.h"
#include "client/build/local_nix.h"
#include "client/build/upload.h"
#include "client/commands/arguments.h"
#include "client/commands/job_options.h"
#include "client/commands/table.h"
#include "client/follow/outcome.h"
#include "shared/base/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <QJsonArray>
#include <QJsonDocument>
#include <QSysInfo>
#include <unistd.h>

namespace penstock::client {

namespace {

using config::Kind;
using config::Values;

struct RootOutput {
    std::string name;
    std::string path;
};

BuildRequest buildRequest(const Values& values)
{
    BuildRequest request{values.arguments("TARGET"), values.list("attr"), {}};
    for (const char* option : {"arg", "argstr"})
        for (const auto& setting : values.list(option)) {
            const auto equals = setting.find('=');
            request.nixOptions.push_back(std::string("--") + option);
            request.nixOptions.push_back(setting.substr(0, equals));
            request.nixOptions.push_back(equals == std::string::npos ? "" : setting.substr(equals + 1));
        }
    for (const auto& path : values.list("include")) {
        request.nixOptions.emplace_back("-I");
        request.nixOptions.push_back(path);
    }
    return request;
}

std::string nameOf(const Root& root)
{
    // /nix/store/<32 characters>-name.drv
    const auto base = root.drv.substr(root.drv.find_last_of('/') + 1);
    const auto dash = base.find('-');
    const auto name = dash == std::string::npos ? base : base.substr(dash + 1);
    return name.ends_with(".drv") ? name.substr(0, name.size() - 4) : name;
}

Result<std::string> buildJson(const Globals& globals, const Values& values, const Instantiated& plan)
{
    PENSTOCK_TRY(auto job, commonJob(globals, values));
    if (!values.has("name"))
        job.insert(QStringLiteral("name"), QString::fromStdString(nameOf(plan.roots.front())));
    // So that an upload that is repeated after a break makes one job: unique to this run of the program.
    const auto key = fmt::format("build-{}-{}-{}", QSysInfo::machineHostName().toStdString(), ::getpid(),
                                 SystemClock().now().wall.micros());
    job.insert(QStringLiteral("key"), QString::fromStdString(key));
    return QJsonDocument(job).toJson(QJsonDocument::Compact).toStdString();
}

// Where the derivations lie: nix's own environment decides, and they say so.
Result<nix::StoreDir> storeDirOf(const std::vector<Root>& roots)
{
    const auto& drv = roots.front().drv;
    return nix::StoreDir::parse(drv.substr(0, drv.find_last_of('/')));
}

Result<BuildUpload::Job> prepare(Invocation& invocation, const Values& values, const Instantiated& plan)
{
    BuildUpload::Job job;
    PENSTOCK_TRY(const auto dir, storeDirOf(plan.roots));
    job.read = readDerivationFile;
    PENSTOCK_TRY(job.closure, readClosure(dir, plan.roots, job.read));
    PENSTOCK_TRY(job.parts, planParts(job.closure, kMaxPartBytes));
    for (const auto& root : plan.roots)
        if (std::find(job.roots.begin(), job.roots.end(), root.drv) == job.roots.end())
            job.roots.push_back(root.drv);
    PENSTOCK_TRY(job.json, buildJson(invocation.globals(), values, plan));
    return job;
}

// The paths asked for, in the order of the roots.
Result<std::vector<RootOutput>> rootOutputs(const BuildView& view, const std::vector<Root>& roots)
{
    std::vector<RootOutput> outputs;
    for (const auto& root : roots) {
        const auto step = std::find_if(view.steps().begin(), view.steps().end(), [&](const auto& entry) {
            return entry.second.drv_path() == root.drv;
        });
        const bool told = step != view.steps().end() && step->second.outputs_size() > 0;
        if (!told) {
            PENSTOCK_TRY(const auto paths, localOutputs(root.drv));
            for (const auto& path : paths)
                outputs.push_back({"", path});
            continue;
        }
        for (const auto& output : step->second.outputs())
            if (root.outputs.empty() ||
                std::find(root.outputs.begin(), root.outputs.end(), output.name()) != root.outputs.end())
                outputs.push_back({output.name(), output.path()});
    }
    return outputs;
}

// As nix-build names them: LINK, LINK-2, LINK-dev.
Result<void> makeLinks(const std::string& link, const std::vector<RootOutput>& outputs)
{
    std::size_t number = 0;
    for (const auto& output : outputs) {
        auto name = link;
        const bool isMain = output.name.empty() || output.name == "out";
        if (isMain)
            ++number;
        if (number > 1)
            name += fmt::format("-{}", number);
        if (!isMain)
            name += "-" + output.name;
        PENSTOCK_TRY_VOID(linkResult(name, output.path));
    }
    return {};
}

int printOutputs(Invocation& invocation, const Values& values, const BuildView& view,
                 const std::vector<Root>& roots)
{
    const auto outputs = rootOutputs(view, roots);
    if (!outputs)
        return invocation.complain(outputs.error());
    QJsonArray list;
    for (const auto& output : *outputs) {
        if (!invocation.globals().json)
            invocation.console().out(output.path + "\n");
        list.append(QJsonObject{{QStringLiteral("name"), QString::fromStdString(output.name)},
                                {QStringLiteral("path"), QString::fromStdString(output.path)}});
    }
    if (invocation.globals().json) {
        const QJsonObject object{{QStringLiteral("event"), QStringLiteral("finished")},
                                 {QStringLiteral("id"), static_cast<qint64>(view.ended()->id())},
                                 {QStringLiteral("state"), QStringLiteral("succeeded")},
                                 {QStringLiteral("outputs"), list}};
        invocation.printJson(QJsonDocument(object).toJson(QJsonDocument::Compact).toStdString());
    }
    if (values.flag("copy-back") || values.has("out-link"))
        for (const auto& output : *outputs)
            if (!existsLocally(output.path))
                return invocation.complain(
                    {ErrorCode::Unavailable,
                     fmt::format("{} is not in this machine's store. The farm's machines must share one "
                                 "store in this "
                                 "version; copying an output back from another is not possible",
                                 output.path)});
    if (values.has("out-link"))
        if (const auto linked = makeLinks(values.text("out-link"), *outputs); !linked)
            return invocation.complain(linked.error());
    return kExitFine;
}

int reportEnd(Invocation& invocation, const Values& values, BuildView& view, const std::vector<Root>& roots)
{
    const auto& job = *view.ended();
    if (job.state() == monitor::JOB_SUCCEEDED) {
        invocation.console().note(fmt::format("job {}: {}", job.id(), view.summary()));
        return printOutputs(invocation, values, view, roots);
    }
    if (invocation.globals().json) {
        const QJsonObject object{
            {QStringLiteral("event"), QStringLiteral("finished")},
            {QStringLiteral("id"), static_cast<qint64>(job.id())},
            {QStringLiteral("state"), QString::fromStdString(std::string(stateWord(job.state())))},
            {QStringLiteral("error"), QString::fromStdString(job.error())}};
        invocation.printJson(QJsonDocument(object).toJson(QJsonDocument::Compact).toStdString());
    }
    view.reportFailures();
    invocation.console().complain(fmt::format("penstock: {} ({})", describeEnd(job), view.summary()));
    return job.state() == monitor::JOB_CANCELLED ? kExitInterrupted : kExitFailed;
}

int build(Invocation& invocation, const Values& values)
{
    auto& console = invocation.console();
    const auto plan = instantiate(buildRequest(values));
    if (!plan)
        return invocation.complain(plan.error());
    for (const auto line : split(plan->notes, '\n'))
        if (!trim(line).empty())
            console.note(printable(line));
    auto job = prepare(invocation, values, *plan);
    if (!job)
        return invocation.complain(job.error());
    console.live({fmt::format("sending {} derivations", job->closure.derivations.size())});
    const bool withLogs = values.flag("print-build-logs");
    BuildView view(invocation, withLogs);
    FollowLoop loop(invocation, view, withLogs);
    BuildUpload upload(
        loop.follower().session(), std::move(*job), [&](Result<monitor::BuildAccepted> accepted) {
            if (!accepted) {
                loop.end({FollowEnd::Kind::Refused, 0, false, std::move(accepted).error()});
                return;
            }
            if (!console.settings().live)
                console.note(fmt::format("job {}: {} steps", accepted->job_id(), accepted->steps()));
            loop.follow(accepted->job_id());
        });
    loop.setConnected([&] { upload.onConnected(); });
    loop.setOther([&](const monitor::FeedMessage& message) { upload.onMessage(message); });
    loop.open();
    const auto end = loop.run();
    if (end.error)
        invocation.complain(*end.error);
    if (end.kind == FollowEnd::Kind::Detached)
        console.complain("penstock: the build goes on; `penstock jobs --open` lists it");
    if (const auto code = exitCodeOf(end, kExitFailed))
        return *code;
    return view.ended() ? reportEnd(invocation, values, view, plan->roots) : kExitFailed;
}

} // namespace

Command buildCommand()
{
    auto options = commonJobOptions();
    options.insert(
        options.begin(),
        {{"attr", Kind::Text, "the attribute to build", "ATTR", {}, {}, {}, true, false, 'A'},
         {"arg", Kind::Text, "an argument of the expression, as Nix code", "NAME=EXPR", {}, {}, {}, true},
         {"argstr", Kind::Text, "an argument of the expression, as text", "NAME=TEXT", {}, {}, {}, true},
         {"include", Kind::Text, "where <NAME> is found", "NAME=PATH", {}, {}, {}, true, false, 'I'},
         {"out-link",
          Kind::Text,
          "make this symbolic link to the result; without it none is made",
          "LINK",
          {},
          {},
          {},
          false,
          false,
          'o'},
         {"copy-back", Kind::Flag, "make sure that the outputs are in the local store"},
         {"print-build-logs", Kind::Flag, "show the logs of all steps", {}, {}, {}, {}, false, false, 'L'}});
    return {{"build",
             "build Nix derivations on the farm",
             std::move(options),
             {{"TARGET", "FILE.nix, a .drv path, or FLAKE#ATTR", true, true}}},
            "Instantiates here with the local nix, sends the derivations and all they need, and follows "
            "every step. Prints\n"
            "the output paths; exits with 1 when a step failed, after the last lines of its log and what was "
            "not built\n"
            "because of it. No result link is made unless -o is given. The farm's machines and this one must "
            "share one Nix\n"
            "store in this version, so --copy-back only checks.",
            {"penstock build default.nix -A hello -o result", "penstock build /nix/store/…-hello-2.10.drv"},
            build};
}

} // namespace penstock::client
