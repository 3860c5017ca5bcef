// SPDX-License-Identifier: GPL-3.0-or-later
// build: Nix derivations instantiated here and built on the farm.
#include "client/build/build_view.h"
#include "client/build/closure.h"
#include "client/build/local_nix.h"
#include "client/build/local_store.h"
#include "client/build/travel.h"
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

struct Plan {
    Instantiated instantiated;
    LocalStore store;
};

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

// With its sources at the server.
Result<BuildUpload::Job> prepare(Invocation& invocation, const Values& values, const Instantiated& plan,
                                 const LocalStore& store)
{
    BuildUpload::Job job;
    job.read = store.derivationReader();
    PENSTOCK_TRY(job.closure, readClosure(store.dir(), plan.roots, job.read));
    PENSTOCK_TRY_VOID(Travel(invocation, store).sendSources(job.closure.sources));
    PENSTOCK_TRY(job.parts, planParts(job.closure, kMaxPartBytes));
    for (const auto& root : plan.roots)
        if (std::find(job.roots.begin(), job.roots.end(), root.drv) == job.roots.end())
            job.roots.push_back(root.drv);
    PENSTOCK_TRY(job.json, buildJson(invocation.globals(), values, plan));
    return job;
}

// What is missing of an output that the farm did not tell is asked of the derivation here; a path that only the build
// can tell has none there.
Result<void> addLocalOutputs(std::vector<RootOutput>& outputs, const std::string& drv)
{
    PENSTOCK_TRY(const auto paths, localOutputs(drv));
    for (const auto& path : paths)
        outputs.push_back({"", path});
    return {};
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
            PENSTOCK_TRY_VOID(addLocalOutputs(outputs, root.drv));
            continue;
        }
        for (const auto& output : step->second.outputs())
            if (root.outputs.empty() ||
                std::find(root.outputs.begin(), root.outputs.end(), output.name()) != root.outputs.end())
                outputs.push_back({output.name(), output.path()});
    }
    return outputs;
}

Result<std::vector<nix::PublicKey>> trustedKeys(const Values& values)
{
    std::vector<nix::PublicKey> keys;
    for (const auto& text : values.list("trusted-public-keys")) {
        auto key = nix::PublicKey::parse(text);
        if (!key)
            return fail(std::move(key).error().in(fmt::format("--trusted-public-keys {}", text)));
        keys.push_back(*std::move(key));
    }
    return keys;
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

void sayOutputs(Invocation& invocation, const BuildView& view, const std::vector<RootOutput>& outputs)
{
    QJsonArray list;
    for (const auto& output : outputs) {
        if (!invocation.globals().json)
            invocation.console().out(output.path + "\n");
        list.append(QJsonObject{{QStringLiteral("name"), QString::fromStdString(output.name)},
                                {QStringLiteral("path"), QString::fromStdString(output.path)}});
    }
    if (!invocation.globals().json)
        return;
    const QJsonObject object{{QStringLiteral("event"), QStringLiteral("finished")},
                             {QStringLiteral("id"), static_cast<qint64>(view.ended()->id())},
                             {QStringLiteral("state"), QStringLiteral("succeeded")},
                             {QStringLiteral("outputs"), list}};
    invocation.printJson(QJsonDocument(object).toJson(QJsonDocument::Compact).toStdString());
}

// What was asked for beside the build itself: the outputs in this machine's store, a link to them.
Result<void> bringHome(Invocation& invocation, const Values& values, const LocalStore& store,
                       const std::vector<RootOutput>& outputs)
{
    std::vector<std::string> paths;
    for (const auto& output : outputs)
        paths.push_back(output.path);
    if (values.flag("copy-back")) {
        PENSTOCK_TRY(const auto keys, trustedKeys(values));
        PENSTOCK_TRY_VOID(Travel(invocation, store).fetch(paths, keys));
    }
    if (!values.has("out-link"))
        return {};
    for (const auto& path : paths) {
        PENSTOCK_TRY(const bool isHere, store.has(path));
        if (!isHere)
            return fail(ErrorCode::Unavailable,
                        fmt::format("{} is not in this machine's store, so no link is made to it; give --copy-back to "
                                    "have it copied here, or fetch it with nix copy --from the server's address",
                                    path));
    }
    return makeLinks(values.text("out-link"), outputs);
}

int printOutputs(Invocation& invocation, const Values& values, const BuildView& view, const Plan& plan)
{
    const auto outputs = rootOutputs(view, plan.instantiated.roots);
    if (!outputs)
        return invocation.complain(outputs.error());
    // Said first: they are built, whatever becomes of the rest.
    sayOutputs(invocation, view, *outputs);
    if (const auto home = bringHome(invocation, values, plan.store, *outputs); !home)
        return invocation.complain(home.error());
    return kExitFine;
}

int reportEnd(Invocation& invocation, const Values& values, BuildView& view, const Plan& plan)
{
    const auto& job = *view.ended();
    if (job.state() == monitor::JOB_SUCCEEDED) {
        invocation.console().note(fmt::format("job {}: {}", job.id(), view.summary()));
        return printOutputs(invocation, values, view, plan);
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

Result<Plan> makePlan(Invocation& invocation, const Values& values)
{
    if (const auto keys = trustedKeys(values); !keys)
        return fail(keys.error());
    PENSTOCK_TRY(auto instantiated, instantiate(buildRequest(values)));
    for (const auto line : split(instantiated.notes, '\n'))
        if (!trim(line).empty())
            invocation.console().note(printable(line));
    PENSTOCK_TRY(auto dir, storeDirOf(instantiated.roots));
    PENSTOCK_TRY(auto store, LocalStore::open(std::move(dir), invocation.globals().environment));
    return Plan{std::move(instantiated), std::move(store)};
}

void sayAccepted(Invocation& invocation, const monitor::BuildAccepted& accepted, std::size_t derivations)
{
    auto& console = invocation.console();
    if (accepted.needless() > 0)
        console.note(fmt::format("job {}: {} of {} derivations need no build: their outputs, or those of what needs "
                                 "them, are there already",
                                 accepted.job_id(), accepted.needless(), derivations));
    if (!accepted.note().empty())
        console.note(printable(accepted.note()));
    if (!console.settings().live)
        console.note(fmt::format("job {}: {} steps", accepted.job_id(), accepted.steps()));
}

int build(Invocation& invocation, const Values& values)
{
    auto& console = invocation.console();
    const auto plan = makePlan(invocation, values);
    if (!plan)
        return invocation.complain(plan.error());
    auto job = prepare(invocation, values, plan->instantiated, plan->store);
    if (!job)
        return invocation.complain(job.error());
    const auto derivations = job->closure.derivations.size();
    console.live({fmt::format("sending {} derivations", derivations)});
    const bool withLogs = values.flag("print-build-logs");
    BuildView view(invocation, withLogs);
    FollowLoop loop(invocation, view, withLogs);
    BuildUpload upload(
        loop.follower().session(), std::move(*job), [&](Result<monitor::BuildAccepted> accepted) {
            if (!accepted) {
                loop.end({FollowEnd::Kind::Refused, 0, false, std::move(accepted).error()});
                return;
            }
            sayAccepted(invocation, *accepted, derivations);
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
    return view.ended() ? reportEnd(invocation, values, view, *plan) : kExitFailed;
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
         {"copy-back", Kind::Flag, "copy the outputs, with all they need, into the local store"},
         {"trusted-public-keys",
          Kind::Text,
          "copy back only what is signed by one of these keys, NAME:BASE64",
          "KEY",
          {},
          {},
          {},
          true},
         {"print-build-logs", Kind::Flag, "show the logs of all steps", {}, {}, {}, {}, false, false, 'L'}});
    return {{"build",
             "build Nix derivations on the farm",
             std::move(options),
             {{"TARGET", "FILE.nix, a .drv path, or FLAKE#ATTR", true, true}}},
            "Instantiates here with the local nix, sends the sources that the server lacks, then the derivations and "
            "all they\n"
            "need, and follows every step. What the server's store has already is not built. Prints the output paths; "
            "exits\n"
            "with 1 when a step failed, after the last lines of its log and what was not built because of it. No "
            "result link\n"
            "is made unless -o is given; it needs the outputs in this machine's store: --copy-back brings them there. "
            "Without\n"
            "--trusted-public-keys what is copied back is trusted as the server is; each path's hash is checked "
            "either way.",
            {"penstock build default.nix -A hello -o result", "penstock build default.nix --copy-back -o result",
             "penstock build /nix/store/…-hello-2.10.drv"},
            build};
}

} // namespace penstock::client
