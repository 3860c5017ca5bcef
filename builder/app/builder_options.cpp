// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/app/builder_options.h"

#include "shared/base/text.h"
#include "shared/config/files.h"
#include "shared/nixdaemon/daemon_connection.h"
#include "shared/protocol/limits.h"
#include "shared/transfer/fetcher.h"

#include <algorithm>
#include <fmt/format.h>
#include <unistd.h>

namespace penstock::builder {
namespace {

using config::Kind;
using config::OptionSpec;

std::string variable(const config::Environment& environment, std::string_view name)
{
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
}

std::string hostName()
{
    std::string name(256, '\0');
    if (::gethostname(name.data(), name.size() - 1) != 0)
        return "builder";
    name.resize(name.find('\0'));
    return name;
}

std::string defaultWorkDirectory(const config::Environment& environment, bool isRoot)
{
    if (isRoot)
        return "/var/lib/penstock-builder";
    if (const std::string state = variable(environment, "XDG_STATE_HOME"); !state.empty())
        return state + "/penstock-builder";
    return variable(environment, "HOME") + "/.local/state/penstock-builder";
}

OptionSpec words(std::string name, std::string help, std::string note = {})
{
    return {.name = std::move(name), .help = std::move(help), .valueName = "A,B", .fallbackNote = std::move(note),
            .commaSeparated = true};
}

OptionSpec threshold(std::string name, std::string help)
{
    return {.name = std::move(name), .kind = Kind::Number, .help = std::move(help), .valueName = "N"};
}

std::optional<std::vector<std::string>> listOrNothing(const config::Values& values, std::string_view name)
{
    return values.has(name) ? std::optional(values.list(name)) : std::nullopt;
}

Result<double> positive(const config::Values& values, std::string_view name)
{
    const double value = values.number(name);
    if (!(value >= 0))
        return fail(ErrorCode::Invalid, fmt::format("{} is {}, must not be negative", values.origin(name), value));
    return value;
}

// As the server will check it, but here the flag can be named.
Result<void> checkName(const std::string& origin, std::string_view name)
{
    if (name.empty() || name.size() > protocol::kMaxNameBytes)
        return fail(ErrorCode::Invalid, fmt::format("{} has a name of {} bytes, must be 1 to {}", origin, name.size(),
                                                    protocol::kMaxNameBytes));
    const auto isControl = [](char c) { return static_cast<unsigned char>(c) < 0x20U || c == '\x7F'; };
    if (std::ranges::any_of(name, isControl) || toValidUtf8(name) != name)
        return fail(ErrorCode::Invalid,
                    fmt::format("{} has a name with a control character or bytes that are not UTF-8", origin));
    return {};
}

Result<void> checkNames(const config::Values& values)
{
    for (const std::string_view option : {"systems", "features", "mandatory-features", "tags", "users", "executors"}) {
        const auto& list = values.list(option);
        if (list.size() > protocol::kMaxNames)
            return fail(ErrorCode::Invalid, fmt::format("{} has {} entries, the limit is {}", values.origin(option),
                                                        list.size(), protocol::kMaxNames));
        for (const std::string& entry : list)
            PENSTOCK_TRY_VOID(checkName(values.origin(option), entry));
    }
    return {};
}

Result<std::map<std::string, std::uint64_t>> readResources(const config::Values& values)
{
    std::map<std::string, std::uint64_t> resources;
    for (const std::string& entry : values.list("resource")) {
        const std::size_t equals = entry.find('=');
        const std::string name = entry.substr(0, equals);
        const auto amount = equals == std::string::npos ? parseUnsigned("") : parseUnsigned(entry.substr(equals + 1));
        if (name.empty() || !amount || *amount > protocol::kMaxAmount)
            return fail(ErrorCode::Invalid,
                        fmt::format("{} is \"{}\", must be NAME=AMOUNT with a whole number up to {}",
                                    values.origin("resource"), entry, protocol::kMaxAmount));
        PENSTOCK_TRY_VOID(checkName(values.origin("resource"), name));
        if (!resources.emplace(name, *amount).second)
            return fail(ErrorCode::Invalid, fmt::format("{} names \"{}\" twice; give one amount",
                                                        values.origin("resource"), name));
    }
    if (resources.size() > protocol::kMaxNames)
        return fail(ErrorCode::Invalid, fmt::format("{} is given {} times, the limit is {}", values.origin("resource"),
                                                    resources.size(), protocol::kMaxNames));
    return resources;
}

Result<LinkSettings> readLink(const config::Values& values, const config::Environment& environment)
{
    LinkSettings link;
    for (const std::string& text : values.list("server")) {
        PENSTOCK_TRY(std::string url, linkUrl(text));
        link.urls.push_back(std::move(url));
    }
    if (const std::string file = values.text("token-file"); !file.empty()) {
        PENSTOCK_TRY(link.token, config::readSecretFile(file, variable(environment, "CREDENTIALS_DIRECTORY")));
        if (link.token.find_first_of("\r\n") != std::string::npos)
            return fail(ErrorCode::Invalid, fmt::format("the token file {} has more than one line", file));
    }
    return link;
}

} // namespace

config::ProgramSpec builderProgram()
{
    config::ProgramSpec program{"penstock-builder",
                                "Runs the steps of a Penstock farm on this machine: dials out to the server.",
                                {},
                                {},
                                {"/etc/penstock/builder.toml"}};
    std::vector<OptionSpec>& o = program.options;
    o.push_back({.name = "server", .help = "server to dial; several are tried in turn", .valueName = "URL",
                 .fallback = "ws://127.0.0.1:7780", .repeatable = true});
    o.push_back({.name = "token-file", .help = "the builder's token; readable by its owner only", .valueName = "FILE"});
    o.push_back({.name = "tls-ca", .help = "trust wss:// servers of this authority only, PEM", .valueName = "FILE",
                 .fallbackNote = "the system's"});
    o.push_back({.name = "tls-cert", .help = "our own certificate, PEM, where the server asks for one",
                 .valueName = "FILE"});
    o.push_back({.name = "tls-key", .help = "private key of that certificate, PEM", .valueName = "FILE"});
    o.push_back({.name = "name", .help = "name of this machine in the farm", .valueName = "NAME",
                 .fallbackNote = "the host name"});
    o.push_back({.name = "work-dir", .help = "folders of attempts, and what is not delivered yet", .valueName = "DIR",
                 .fallbackNote = "/var/lib/penstock-builder as root, else $XDG_STATE_HOME/penstock-builder"});
    o.push_back(words("systems", "what can be built here", "what nix reports, else this machine's"));
    o.push_back(words("features", "what steps may require", "what nix reports"));
    o.push_back(words("mandatory-features", "only steps that require one of these come here"));
    o.push_back(words("tags", "words that jobs may ask for"));
    o.push_back(words("users", "only these users' jobs come here", "everybody's"));
    o.push_back({.name = "max-jobs", .kind = Kind::Integer, .help = "slots", .valueName = "N",
                 .fallbackNote = "the number of cores", .least = 1, .most = protocol::kMaxSlots});
    o.push_back({.name = "speed-factor", .kind = Kind::Number, .help = "speed beside other machines", .valueName = "F",
                 .fallback = "1"});
    o.push_back(words("executors", "kinds of work taken: nix, command, container", "those that work here"));
    o.push_back(threshold("cpu-psi", "no new work above this CPU stall percentage"));
    o.push_back(threshold("mem-psi", "no new work above this memory stall percentage"));
    o.push_back(threshold("io-psi", "no new work above this I/O stall percentage"));
    o.push_back(threshold("load1", "no new work above this load average"));
    o.push_back({.name = "min-free-disk", .kind = Kind::Size, .help = "no new work with less free space",
                 .valueName = "SIZE"});
    o.push_back({.name = "min-free-memory", .kind = Kind::Size, .help = "no new work with less memory available",
                 .valueName = "SIZE"});
    o.push_back({.name = "min-free-inodes", .kind = Kind::Integer, .help = "no new work with fewer free inodes",
                 .valueName = "N", .least = 0});
    o.push_back({.name = "resource", .help = "a named amount that jobs may claim", .valueName = "NAME=AMOUNT",
                 .repeatable = true});
    o.push_back({.name = "nix-daemon-socket", .help = "socket of the nix-daemon", .valueName = "PATH",
                 .fallbackNote = "nix's own"});
    o.push_back({.name = "store-dir", .help = "directory of the Nix store", .valueName = "DIR",
                 .fallbackNote = "$NIX_STORE_DIR, else /nix/store"});
    o.push_back({.name = "substitute", .kind = Kind::Flag,
                 .help = "let the nix-daemon fetch inputs and outputs from its own substituters first"});
    o.push_back({.name = "transfers", .kind = Kind::Integer, .help = "store paths fetched, and sent, at a time",
                 .valueName = "N", .fallback = "4", .least = 1, .most = transfer::kMaxStreams});
    o.push_back({.name = "drain-timeout", .kind = Kind::Duration, .help = "how long SIGTERM waits for running work",
                 .valueName = "TIME", .fallback = "1h"});
    return program;
}

Result<BuilderOptions> readBuilderOptions(const config::Values& values, const config::Environment& environment,
                                          bool isRoot)
{
    PENSTOCK_TRY_VOID(checkNames(values));
    BuilderOptions options;
    PENSTOCK_TRY(options.link, readLink(values, environment));
    options.trust = {values.text("tls-ca"), values.text("tls-cert"), values.text("tls-key")};
    options.name = values.has("name") ? values.text("name") : hostName();
    if (options.name.empty() || options.name.size() > protocol::kMaxNameBytes)
        return fail(ErrorCode::Invalid, fmt::format("--name has {} bytes, must have 1 to {}", options.name.size(),
                                                    protocol::kMaxNameBytes));
    options.workDirectory =
        values.has("work-dir") ? values.text("work-dir") : defaultWorkDirectory(environment, isRoot);
    options.systems = listOrNothing(values, "systems");
    options.features = listOrNothing(values, "features");
    options.executors = listOrNothing(values, "executors");
    for (const std::string& executor : options.executors.value_or(std::vector<std::string>())) {
        if (executor != "nix" && executor != "command" && executor != "container")
            return fail(ErrorCode::Invalid, fmt::format("{} names \"{}\", must be nix, command or container",
                                                        values.origin("executors"), executor));
    }
    options.mandatoryFeatures = values.list("mandatory-features");
    options.tags = values.list("tags");
    options.users = values.list("users");
    options.maxJobs = static_cast<std::uint32_t>(values.integer("max-jobs"));
    PENSTOCK_TRY(options.speedFactor, positive(values, "speed-factor"));
    PENSTOCK_TRY(options.thresholds.cpuPsi, positive(values, "cpu-psi"));
    PENSTOCK_TRY(options.thresholds.memoryPsi, positive(values, "mem-psi"));
    PENSTOCK_TRY(options.thresholds.ioPsi, positive(values, "io-psi"));
    PENSTOCK_TRY(options.thresholds.load1, positive(values, "load1"));
    options.thresholds.minFreeDiskBytes = values.size("min-free-disk");
    options.thresholds.minFreeMemoryBytes = values.size("min-free-memory");
    options.thresholds.minFreeInodes = static_cast<std::uint64_t>(values.integer("min-free-inodes"));
    PENSTOCK_TRY(options.resources, readResources(values));
    options.nix.socketPath = values.has("nix-daemon-socket")
                                 ? values.text("nix-daemon-socket")
                                 : nixdaemon::defaultSocketPath(variable(environment, "NIX_DAEMON_SOCKET_PATH"),
                                                                variable(environment, "NIX_STATE_DIR"));
    options.nix.storeDir = values.has("store-dir") ? values.text("store-dir") : variable(environment, "NIX_STORE_DIR");
    options.substitute = values.flag("substitute");
    options.transfers = static_cast<std::uint32_t>(values.integer("transfers"));
    options.drainTimeout = values.duration("drain-timeout");
    return options;
}

} // namespace penstock::builder
