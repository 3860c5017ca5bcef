// SPDX-License-Identifier: GPL-3.0-or-later
// penstock machines-file: from Nix's file of build machines to the builders that take their place.
#include "client/commands/arguments.h"
#include "client/commands/table.h"
#include "shared/base/text.h"
#include "shared/config/files.h"
#include "shared/nix/machines_file.h"

#include <fmt/format.h>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>

#include <algorithm>

namespace penstock::client {
namespace {

using config::Values;

constexpr std::string_view kUsualFile = "/etc/nix/machines";
constexpr std::string_view kSomeServer = "wss://SERVER:7780"; // to be filled in

std::string quoted(std::string_view word)
{
    constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@%";
    if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos)
        return std::string(word);
    std::string text = "'";
    for (const char c : word)
        text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return text + "'";
}

std::vector<std::string> commandOf(const nix::BuildMachine& machine, const std::string& server)
{
    std::vector<std::string> words{"penstock-builder", "--server",   server, "--name", machine.host,
                                   "--systems",        join(machine.systems, ",")};
    const auto add = [&words](std::string flag, std::string value) {
        words.push_back(std::move(flag));
        words.push_back(std::move(value));
    };
    add("--max-jobs", std::to_string(machine.maxJobs));
    add("--speed-factor", fmt::format("{}", machine.speedFactor));
    // A builder offers what it requires; Nix's file need not say so.
    std::vector<std::string> features = machine.supportedFeatures;
    for (const std::string& feature : machine.mandatoryFeatures)
        if (std::ranges::find(features, feature) == features.end())
            features.push_back(feature);
    if (!features.empty())
        add("--features", join(features, ","));
    if (!machine.mandatoryFeatures.empty())
        add("--mandatory-features", join(machine.mandatoryFeatures, ","));
    return words;
}

std::string lineOf(const std::vector<std::string>& words)
{
    std::string line;
    for (const std::string& word : words)
        line += (line.empty() ? "" : " ") + quoted(word);
    return line;
}

// What of a line is of no use here, and why.
std::vector<std::string> leftOver(const nix::BuildMachine& machine)
{
    std::vector<std::string> notes;
    if (!machine.user.empty())
        notes.push_back(fmt::format("user {}: nobody logs in; the builder runs on the machine and connects to the "
                                    "server",
                                    machine.user));
    if (!machine.sshKey.empty())
        notes.push_back(fmt::format("ssh key {}: not used; the builder has a token (penstock token create --kind "
                                    "builder)",
                                    machine.sshKey));
    if (!machine.hostKey.empty())
        notes.emplace_back("host key: not used; the builder checks the server's TLS certificate instead");
    if (machine.uri.find('?') != std::string::npos)
        notes.push_back(fmt::format("parameters {}: not used; the builder has its own store",
                                    machine.uri.substr(machine.uri.find('?'))));
    return notes;
}

struct Source {
    std::string path;
    bool mustExist = false;
};

std::vector<Source> sourcesOf(Invocation& invocation, const Values& values)
{
    if (const auto file = values.argument("FILE"); !file.empty())
        return {{file, true}};
    const auto& environment = invocation.globals().environment;
    const auto listed = environment.find("NIX_REMOTE_SYSTEMS");
    std::vector<Source> sources;
    if (listed != environment.end())
        for (const std::string_view path : split(listed->second, ':'))
            if (!path.empty())
                sources.push_back({std::string(path), false});
    if (sources.empty())
        sources.push_back({std::string(kUsualFile), false});
    return sources;
}

QJsonArray arrayOf(const std::vector<std::string>& texts)
{
    QJsonArray array;
    for (const std::string& text : texts)
        array.append(QString::fromStdString(text));
    return array;
}

QJsonObject objectOf(const std::string& file, const nix::BuildMachine& machine, const std::string& server)
{
    QJsonObject object;
    const auto text = [&object](const char* key, const std::string& value) {
        object.insert(QString::fromLatin1(key),
                      value.empty() ? QJsonValue() : QJsonValue(QString::fromStdString(value)));
    };
    text("file", file);
    object.insert(QStringLiteral("line"), static_cast<qint64>(machine.line));
    text("uri", machine.uri);
    text("user", machine.user);
    text("name", machine.host);
    object.insert(QStringLiteral("systems"), arrayOf(machine.systems));
    object.insert(QStringLiteral("max_jobs"), static_cast<qint64>(machine.maxJobs));
    object.insert(QStringLiteral("speed_factor"), machine.speedFactor);
    object.insert(QStringLiteral("supported_features"), arrayOf(machine.supportedFeatures));
    object.insert(QStringLiteral("mandatory_features"), arrayOf(machine.mandatoryFeatures));
    text("ssh_key", machine.sshKey);
    text("host_key", machine.hostKey);
    object.insert(QStringLiteral("command"), arrayOf(commandOf(machine, server)));
    object.insert(QStringLiteral("without_counterpart"), arrayOf(leftOver(machine)));
    return object;
}

struct Listing {
    std::string text;
    QJsonArray machines;
    QJsonArray bad;
    bool isComplete = true;
};

void addFile(Invocation& invocation, const std::string& path, const nix::BuildMachines& file,
             const std::string& server, Listing& listing)
{
    for (const nix::BuildMachine& machine : file.machines) {
        listing.machines.append(objectOf(path, machine, server));
        listing.text += fmt::format("# {}:{}: on {}\n", path, machine.line, machine.host);
        for (const std::string& note : leftOver(machine))
            listing.text += fmt::format("#   {}\n", note);
        listing.text += lineOf(commandOf(machine, server)) + "\n";
    }
    for (const nix::BadMachineLine& bad : file.bad) {
        listing.isComplete = false;
        invocation.console().complain(fmt::format("penstock: {}:{}: {}", path, bad.line, bad.why));
        QJsonObject object;
        object.insert(QStringLiteral("file"), QString::fromStdString(path));
        object.insert(QStringLiteral("line"), static_cast<qint64>(bad.line));
        object.insert(QStringLiteral("error"), QString::fromStdString(bad.why));
        listing.bad.append(object);
    }
}

int machinesFile(Invocation& invocation, const Values& values)
{
    const std::string server = values.source("server") == config::Source::Default ? std::string(kSomeServer)
                                                                                  : values.text("server");
    Listing listing;
    std::string looked;
    for (const Source& source : sourcesOf(invocation, values)) {
        looked += (looked.empty() ? "" : ", ") + source.path;
        const auto text = config::readTextFile(source.path, nix::kMaxMachinesBytes);
        if (!text && text.error().code == ErrorCode::NotFound && !source.mustExist)
            continue; // as Nix does
        if (!text)
            return invocation.complain(text.error());
        addFile(invocation, source.path, nix::parseMachines(*text), server, listing);
    }
    if (invocation.globals().json) {
        QJsonObject document;
        document.insert(QStringLiteral("machines"), listing.machines);
        document.insert(QStringLiteral("bad"), listing.bad);
        invocation.printJson(QJsonDocument(document).toJson(QJsonDocument::Compact).toStdString());
    } else {
        invocation.console().out(listing.text);
        if (listing.machines.isEmpty())
            invocation.console().note(fmt::format("no machines in {}; Nix then builds on this machine alone: run "
                                                  "penstock-builder here",
                                                  looked));
    }
    return listing.isComplete ? kExitFine : kExitFailed;
}

} // namespace

Command machinesFileCommand()
{
    return {{"machines-file",
             "print the builders that take the place of Nix's build machines",
             {},
             {{"FILE", "default: those of $NIX_REMOTE_SYSTEMS, else /etc/nix/machines", false}}},
            "Reads the file by which Nix, and Hydra's older queue runner, know their machines, and prints for each the "
            "command to run on it, with what of the line has no counterpart as comments. Give --server for the address "
            "that builders shall connect to. No server is asked. Lines that cannot be read are named by their number; "
            "the exit status is then 1.",
            {"penstock machines-file", "penstock --server wss://hydra.example.org:7780 machines-file ./machines"},
            machinesFile};
}

} // namespace penstock::client
