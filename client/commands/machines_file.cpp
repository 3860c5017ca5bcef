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
#include <map>
#include <set>

namespace penstock::client {
namespace {

using config::Values;

constexpr std::string_view kUsualFile = "/etc/nix/machines";
constexpr std::string_view kSomeServer = "wss://SERVER:7780"; // to be filled in
constexpr std::string_view kWorkDirectory = "/var/lib/penstock-builder"; // of the first builder of a host

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

// A line of a file, and its builder among all that are printed.
struct Place {
    nix::BuildMachine machine;
    std::string name;         // one of a kind
    std::uint64_t ofHost = 1; // one host may have several lines: for other features, with other limits
};

std::vector<std::string> commandOf(const Place& place, const std::string& server)
{
    const nix::BuildMachine& machine = place.machine;
    std::vector<std::string> words{"penstock-builder", "--server", server, "--name", place.name};
    const auto add = [&words](std::string flag, std::string value) {
        words.push_back(std::move(flag));
        words.push_back(std::move(value));
    };
    if (place.ofHost > 1) // a work directory has one builder
        add("--work-dir", fmt::format("{}-{}", kWorkDirectory, place.ofHost));
    if (!machine.systems.empty())
        add("--systems", join(machine.systems, ","));
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

QJsonObject objectOf(const std::string& file, const Place& place, const std::string& server)
{
    const nix::BuildMachine& machine = place.machine;
    QJsonObject object;
    const auto text = [&object](const char* key, const std::string& value) {
        object.insert(QString::fromLatin1(key),
                      value.empty() ? QJsonValue() : QJsonValue(QString::fromStdString(value)));
    };
    text("file", file);
    object.insert(QStringLiteral("line"), static_cast<qint64>(machine.line));
    text("uri", machine.uri);
    text("user", machine.user);
    text("host", machine.host);
    text("name", place.name);
    object.insert(QStringLiteral("systems"), arrayOf(machine.systems));
    object.insert(QStringLiteral("max_jobs"), static_cast<qint64>(machine.maxJobs));
    object.insert(QStringLiteral("speed_factor"), machine.speedFactor);
    object.insert(QStringLiteral("supported_features"), arrayOf(machine.supportedFeatures));
    object.insert(QStringLiteral("mandatory_features"), arrayOf(machine.mandatoryFeatures));
    text("ssh_key", machine.sshKey);
    text("host_key", machine.hostKey);
    object.insert(QStringLiteral("command"), arrayOf(commandOf(place, server)));
    object.insert(QStringLiteral("without_counterpart"), arrayOf(leftOver(machine)));
    return object;
}

struct File {
    std::string path;
    std::vector<Place> places;
    std::vector<nix::BadMachineLine> bad;
};

Result<std::vector<File>> readAll(const std::vector<Source>& sources)
{
    std::vector<File> files;
    for (const Source& source : sources) {
        const auto text = config::readTextFile(source.path, nix::kMaxMachinesBytes);
        if (!text && text.error().code == ErrorCode::NotFound && !source.mustExist)
            continue; // as Nix does
        if (!text)
            return fail(text.error());
        nix::BuildMachines parsed = nix::parseMachines(*text);
        File file{source.path, {}, std::move(parsed.bad)};
        for (nix::BuildMachine& machine : parsed.machines)
            file.places.push_back({std::move(machine), {}, 1});
        files.push_back(std::move(file));
    }
    return files;
}

// A host's first builder is called like it, the others HOST-2 and so on, past the names of other hosts.
void nameAll(std::vector<File>& files)
{
    std::set<std::string> taken;
    for (const File& file : files)
        for (const Place& place : file.places)
            taken.insert(place.machine.host);
    std::map<std::string, std::uint64_t> last;
    for (File& file : files)
        for (Place& place : file.places) {
            const std::string& host = place.machine.host;
            std::uint64_t& number = last[host];
            place.name = host;
            if (++number > 1)
                while (!taken.insert(place.name = fmt::format("{}-{}", host, number)).second)
                    ++number;
            place.ofHost = number;
        }
}

struct Listing {
    std::string text;
    QJsonArray machines;
    QJsonArray bad;
};

void addFile(Invocation& invocation, const File& file, const std::string& server, Listing& listing)
{
    for (const Place& place : file.places) {
        listing.machines.append(objectOf(file.path, place, server));
        listing.text += fmt::format("# {}:{}: on {}\n", file.path, place.machine.line, place.machine.host);
        for (const std::string& note : leftOver(place.machine))
            listing.text += fmt::format("#   {}\n", note);
        listing.text += lineOf(commandOf(place, server)) + "\n";
    }
    for (const nix::BadMachineLine& bad : file.bad) {
        invocation.console().complain(fmt::format("penstock: {}:{}: {}", file.path, bad.line, bad.why));
        QJsonObject object;
        object.insert(QStringLiteral("file"), QString::fromStdString(file.path));
        object.insert(QStringLiteral("line"), static_cast<qint64>(bad.line));
        object.insert(QStringLiteral("error"), QString::fromStdString(bad.why));
        listing.bad.append(object);
    }
}

// As builders take it: they know ws and wss only, and add their path where there is none.
std::string serverOf(Invocation& invocation, const Values& values)
{
    if (values.source("server") == config::Source::Default)
        return std::string(kSomeServer);
    const Endpoint& endpoint = invocation.api().endpoint();
    return endpoint.text() + (endpoint.base.empty() ? "" : "/link");
}

int machinesFile(Invocation& invocation, const Values& values)
{
    const std::string server = serverOf(invocation, values);
    const std::vector<Source> sources = sourcesOf(invocation, values);
    auto files = readAll(sources);
    if (!files)
        return invocation.complain(files.error());
    nameAll(*files);
    Listing listing;
    for (const File& file : *files)
        addFile(invocation, file, server, listing);
    if (invocation.globals().json) {
        QJsonObject document;
        document.insert(QStringLiteral("machines"), listing.machines);
        document.insert(QStringLiteral("bad"), listing.bad);
        invocation.printJson(QJsonDocument(document).toJson(QJsonDocument::Compact).toStdString());
    } else {
        invocation.console().out(listing.text);
        if (listing.machines.isEmpty()) {
            std::vector<std::string> looked;
            for (const Source& source : sources)
                looked.push_back(source.path);
            invocation.console().note(fmt::format("no machines in {}; Nix then builds on this machine alone: run "
                                                  "penstock-builder here",
                                                  join(looked, ", ")));
        }
    }
    return listing.bad.isEmpty() ? kExitFine : kExitFailed;
}

} // namespace

Command machinesFileCommand()
{
    return {{"machines-file",
             "print the builders that take the place of Nix's build machines",
             {},
             {{"FILE", "default: those of $NIX_REMOTE_SYSTEMS, else /etc/nix/machines", false}}},
            "Reads the file by which Nix, and Hydra's older queue runner, know their machines, and prints for each the "
            "command to run on it, with what of the line has no counterpart as comments. A host with several lines "
            "gets as many builders: the later ones are HOST-2 and so on, each with a work directory of its own. Give "
            "--server for the address that builders shall connect to. No server is asked. Lines that cannot be read "
            "are named by their number; the exit status is then 1.",
            {"penstock machines-file", "penstock --server wss://hydra.example.org:7780 machines-file ./machines"},
            machinesFile};
}

} // namespace penstock::client
