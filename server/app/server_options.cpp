// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/server_options.h"

#include "server/app/nix_remote.h"
#include "server/app/scheduling_options.h"
#include "server/net/activation.h"
#include "server/net/tls_settings.h"

#include <fmt/format.h>
#include <unistd.h>

namespace penstock::app {
namespace {

using config::Kind;
using config::OptionSpec;

std::string variable(const config::Environment& environment, std::string_view name)
{
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
}

std::string defaultDataDir(const config::Environment& environment, bool isRoot)
{
    if (isRoot)
        return "/var/lib/penstock";
    if (const std::string state = variable(environment, "XDG_STATE_HOME"); !state.empty())
        return state + "/penstock";
    return variable(environment, "HOME") + "/.local/state/penstock";
}

std::string hostName()
{
    std::string name(256, '\0');
    if (::gethostname(name.data(), name.size() - 1) != 0)
        return "penstock";
    name.resize(name.find('\0'));
    return name;
}

std::chrono::milliseconds millis(Duration duration)
{
    return std::chrono::duration_cast<std::chrono::milliseconds>(duration);
}

Result<void> checkTls(const ServerOptions& options)
{
    if (options.tls.certificate.empty() != options.tls.key.empty())
        return fail(ErrorCode::Invalid, "--tls-cert and --tls-key go together; give both or neither");
    if (!options.tls.clientAuthority.empty() && options.tls.certificate.empty())
        return fail(ErrorCode::Invalid, "--tls-client-ca needs --tls-cert and --tls-key");
    // Read here only to be checked: a file that cannot be used is told before a database is made.
    if (!options.tls.certificate.empty()) {
        if (auto usable = net::loadTls(options.tls); !usable)
            return fail(std::move(usable).error());
    }
    return {};
}

Result<void> checkListens(const ServerOptions& options)
{
    for (const net::ListenAddress& address : options.listen)
        PENSTOCK_TRY_VOID(auth::checkListen({address.print(), address.isLocal(), !options.tls.certificate.empty(),
                                             options.auth, options.insecure}));
    return {};
}

// A path stands for a Unix socket, as with Hydra's runner.
Result<net::ListenAddress> readBind(const config::Values& values, std::string_view option,
                                    const net::ActivationNote& note)
{
    const bool isRest = option == "rest-bind";
    const std::string text = values.text(option);
    auto address = text == "-"             ? net::activatedSocket(note, isRest ? "rest" : "grpc", isRest ? 0 : 1)
                   : text.starts_with('/') ? net::ListenAddress::parse("unix:" + text)
                                           : net::ListenAddress::parse(text);
    return address ? address : fail(std::move(address).error().in(values.origin(option)));
}

Result<std::vector<net::ListenAddress>> readListens(const config::Values& values,
                                                    const config::Environment& environment)
{
    const net::ActivationNote note{variable(environment, "LISTEN_PID"), variable(environment, "LISTEN_FDS"),
                                   variable(environment, "LISTEN_FDNAMES")};
    std::vector<net::ListenAddress> listens;
    for (const std::string_view option : {"rest-bind", "grpc-bind"}) {
        if (!values.has(option))
            continue;
        PENSTOCK_TRY(net::ListenAddress address, readBind(values, option, note));
        listens.push_back(std::move(address));
    }
    // The default is for those who say nothing about where to listen.
    if (!listens.empty() && values.source("listen") == config::Source::Default)
        return listens;
    for (const std::string& text : values.list("listen")) {
        auto address = net::ListenAddress::parse(text);
        if (!address)
            return fail(std::move(address).error().in("--listen"));
        if (address->kind != net::ListenAddress::Kind::Systemd) {
            listens.push_back(*std::move(address));
            continue;
        }
        PENSTOCK_TRY(const auto sockets, net::activatedSockets(note));
        for (const net::ActivatedSocket& socket : sockets)
            listens.push_back(socket.address);
    }
    return listens;
}

// For --status: where a server of these options would be. What systemd passes to that one is not known here.
std::vector<net::ListenAddress> addressesToAsk(const config::Values& values)
{
    std::vector<std::string> texts = values.list("listen");
    for (const std::string_view option : {"rest-bind", "grpc-bind"})
        texts.push_back(values.text(option));
    std::vector<net::ListenAddress> addresses;
    for (const std::string& text : texts)
        if (auto address = net::ListenAddress::parse(text.starts_with('/') ? "unix:" + text : text);
            address && address->kind != net::ListenAddress::Kind::Systemd)
            addresses.push_back(*std::move(address));
    return addresses;
}

} // namespace

config::ProgramSpec serverProgram()
{
    config::ProgramSpec program{
        "penstock-server",
        "The server of a Penstock farm: queue, scheduler, durable state, HTTP and live streams.",
        {},
        {},
        {"/etc/penstock/server.toml"}};
    std::vector<OptionSpec>& o = program.options;
    o.push_back({.name = "data-dir", .help = "private database, logs and spool", .valueName = "DIR",
                 .fallbackNote = "/var/lib/penstock as root, else $XDG_STATE_HOME/penstock"});
    o.push_back({.name = "config", .help = "settings in TOML; every option is a key", .valueName = "FILE",
                 .letter = 'c', .otherFlags = {"config-path"}});
    o.push_back({.name = "listen",
                 .help = "address for builders, clients, monitors and HTTP; unix:PATH and systemd are possible",
                 .valueName = "ADDRESS", .fallback = "127.0.0.1:7780", .repeatable = true});
    o.push_back({.name = "rest-bind",
                 .help = "another --listen, as Hydra's runner names it; -: systemd's socket \"rest\"",
                 .valueName = "ADDRESS", .letter = 'r'});
    o.push_back({.name = "grpc-bind",
                 .help = "another --listen, as Hydra's runner names it; -: systemd's socket \"grpc\"",
                 .valueName = "ADDRESS", .letter = 'g'});
    o.push_back({.name = "db-url", .help = "PostgreSQL to use instead of an embedded one", .valueName = "URL",
                 .synonyms = {"dbUrl", "hydra.dbUrl", "hydra.db_url"}});
    o.push_back({.name = "auth", .help = "local: no token from this machine; tokens: always a token",
                 .fallback = "local", .choices = {"local", "tokens"}});
    o.push_back({.name = "tls-cert", .help = "certificate chain, PEM", .valueName = "FILE",
                 .otherFlags = {"server-cert-path"}});
    o.push_back({.name = "tls-key", .help = "private key of the certificate, PEM, owner only", .valueName = "FILE",
                 .otherFlags = {"server-key-path"}});
    o.push_back({.name = "tls-client-ca", .help = "authority that peers' certificates must be signed by",
                 .valueName = "FILE", .otherFlags = {"client-ca-cert-path"}});
    o.push_back({.name = "insecure", .kind = Kind::Flag,
                 .help = "listen beyond this machine without TLS or tokens all the same"});
    o.push_back({.name = "port-file", .help = "write the bound ports here, one a line, once ready",
                 .valueName = "FILE"});
    o.push_back({.name = "server-name", .help = "name shown to peers", .valueName = "NAME",
                 .fallbackNote = "the host name"});
    o.push_back({.name = "heartbeat", .kind = Kind::Duration, .help = "builders report at least this often",
                 .fallback = "2s", .least = 100'000, .most = 600'000'000});
    o.push_back({.name = "heartbeat-deadline", .kind = Kind::Duration,
                 .help = "a builder silent for longer is taken as gone", .fallback = "6s", .least = 200'000,
                 .most = 3'600'000'000});
    o.push_back({.name = "reconnect-grace", .kind = Kind::Duration,
                 .help = "how long a lost builder may take to come back before its work is given to others",
                 .fallback = "20s", .least = 0, .most = 86'400'000'000});
    o.push_back({.name = "max-log", .kind = Kind::Size, .help = "limit of one attempt's log, whatever its job says",
                 .fallback = "4GiB"});
    addOutputOptions(o);
    addSchedulingOptions(o);
    addHydraOptions(o);
    return program;
}

Result<ServerOptions> readServerOptions(const config::Values& values, const config::Environment& environment,
                                        bool isRoot)
{
    ServerOptions options;
    options.dataDir = values.has("data-dir") ? values.text("data-dir") : defaultDataDir(environment, isRoot);
    if (options.dataDir.empty() || options.dataDir.front() != '/') {
        std::string current(4096, '\0');
        if (::getcwd(current.data(), current.size()) == nullptr)
            return fail(ErrorCode::Invalid, "--data-dir: the current directory cannot be read; give an absolute path");
        current.resize(current.find('\0'));
        options.dataDir = current + "/" + options.dataDir;
    }
    if (values.flag("status"))
        options.listen = addressesToAsk(values);
    else if (!values.flag("unlock")) {
        PENSTOCK_TRY(options.listen, readListens(values, environment));
    }
    PENSTOCK_TRY(options.databaseUrl, readDatabaseUrl(values, environment));
    PENSTOCK_TRY(options.auth, auth::parseMode(values.text("auth")));
    options.insecure = values.flag("insecure");
    options.tls = {values.text("tls-cert"), values.text("tls-key"), values.text("tls-client-ca")};
    options.portFile = values.text("port-file");
    options.serverName = values.has("server-name") ? values.text("server-name") : hostName();
    options.storeDir = nixStoreDir(environment);
    options.environment = environment;
    PENSTOCK_TRY(options.outputs, readOutputOptions(values, options.dataDir, options.storeDir));
    options.heartbeat = millis(values.duration("heartbeat"));
    options.deadline = millis(values.duration("heartbeat-deadline"));
    if (options.deadline < 2 * options.heartbeat)
        return fail(ErrorCode::Invalid, fmt::format("--heartbeat-deadline {} ms is less than two heartbeats of {} ms",
                                                    options.deadline.count(), options.heartbeat.count()));
    PENSTOCK_TRY(options.core, readSchedulingOptions(values));
    PENSTOCK_TRY(options.hydra, readHydraOptions(values, {environment, options.databaseUrl, isRoot}, options.outputs,
                                                 options.core));
    options.core.reconnectGrace = values.duration("reconnect-grace");
    options.maxLogBytes = values.size("max-log");
    PENSTOCK_TRY_VOID(checkTls(options));
    PENSTOCK_TRY_VOID(checkListens(options));
    return options;
}

} // namespace penstock::app
