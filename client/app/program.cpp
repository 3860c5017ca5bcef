// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/app/program.h"

#include "client/api/credentials.h"
#include "client/app/command_line.h"
#include "client/app/interrupts.h"
#include "shared/base/text.h"
#include "shared/tls/trust.h"

#include <algorithm>
#include <fmt/format.h>
#include <pwd.h>
#include <QCoreApplication>
#include <QLoggingCategory>
#include <unistd.h>

namespace penstock::client {

namespace {

std::string variable(const config::Environment& environment, std::string_view name)
{
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
}

bool isUnicode(const config::Environment& environment)
{
    // The first that is set decides (locale(7)).
    for (const std::string_view name : {"LC_ALL", "LC_CTYPE", "LANG"})
        if (const auto value = toLower(variable(environment, name)); !value.empty())
            return value.find("utf-8") != std::string::npos || value.find("utf8") != std::string::npos;
    return false;
}

ConsoleSettings consoleSettings(const config::Environment& environment, bool noColour, bool quiet)
{
    const auto terminal = readTerminal();
    const bool plain =
        noColour || !variable(environment, "NO_COLOR").empty() || variable(environment, "TERM") == "dumb";
    const bool unicode = isUnicode(environment);
    ConsoleSettings settings;
    settings.outStyle = {terminal.outTerminal && !plain, unicode};
    settings.noteStyle = {terminal.errTerminal && !plain, unicode};
    settings.quiet = quiet;
    settings.live = terminal.errTerminal && !quiet && variable(environment, "TERM") != "dumb";
    settings.outWidth = terminal.outWidth;
    settings.noteWidth = terminal.errWidth != 0 ? terminal.errWidth : 80;
    settings.noteHeight = terminal.errHeight != 0 ? terminal.errHeight : 24;
    return settings;
}

std::string userName(const config::Environment& environment)
{
    if (const passwd* entry = ::getpwuid(::geteuid()); entry != nullptr)
        return entry->pw_name;
    return variable(environment, "USER");
}

int usageError(Console& console, const Error& error, const std::string& command)
{
    console.complain(fmt::format("penstock: {}", printableLines(error.message)));
    console.complain(command.empty() ? "`penstock help` lists the commands and flags."
                                     : fmt::format("`penstock {} --help` says more.", command));
    return kExitUsage;
}

Result<ApiClient> makeClient(const config::Values& values, const config::Environment& environment)
{
    PENSTOCK_TRY(auto endpoint, parseEndpoint(values.text("server")));
    std::string token;
    if (values.has("token-file")) {
        PENSTOCK_TRY(token,
                     readToken(values.text("token-file"), variable(environment, "CREDENTIALS_DIRECTORY")));
    }
    return ApiClient(std::move(endpoint), std::move(token));
}

// A QWebSocket asks for the TLS library even where it needs none, and loading OpenSSL takes longer than a short job
// on the farm. Without plug-in folders Qt finds no such library, and says so; that is what was wanted.
void leaveTlsUnloaded()
{
    QLoggingCategory::setFilterRules(QStringLiteral("qt.network.ssl.warning=false"));
    QCoreApplication::setLibraryPaths({});
}

int execute(const Parsed& parsed, const config::Environment& environment, int argc, char** argv)
{
    const auto& values = parsed.values;
    Console console(consoleSettings(environment, values.flag("no-color"), values.flag("quiet")),
                    [] { return Interrupts::waiting(); });
    auto client = makeClient(values, environment);
    if (!client)
        return usageError(console, client.error(), {});
    const QCoreApplication application(argc, argv);
    if (!client->endpoint().tls)
        leaveTlsUnloaded();
    else if (const auto trusted =
                 tls::applyTrust({values.text("tls-ca"), values.text("tls-cert"), values.text("tls-key")});
             !trusted)
        return usageError(console, trusted.error(), {});
    Globals globals;
    globals.nameSpace = values.text("namespace");
    globals.user = userName(environment);
    globals.json = values.flag("json");
    globals.quiet = values.flag("quiet");
    globals.reconnectTimeout = values.duration("reconnect-timeout");
    globals.tlsCa = values.text("tls-ca");
    globals.tlsCert = values.text("tls-cert");
    globals.tlsKey = values.text("tls-key");
    globals.environment = environment;
    Invocation invocation(std::move(globals), console, std::move(*client));
    const int code = parsed.command->execute(invocation, values);
    console.clearLive();
    console.flush();
    return console.closed() && code == kExitFine ? kExitBrokenPipe : code;
}

} // namespace

int runProgram(const CommandTable& commands, int argc, char** argv)
{
    ignoreBrokenPipes();
    const auto environment = config::processEnvironment();
    const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
    const auto line = parseLine(commands, arguments, environment);
    Console console(consoleSettings(environment, false, false), [] { return false; });
    if (!line)
        return usageError(console, line.error(), {});
    if (const auto* answered = std::get_if<Answered>(&*line)) {
        console.out(answered->text);
        return console.closed() ? kExitBrokenPipe : kExitFine;
    }
    return execute(std::get<Parsed>(*line), environment, argc, argv);
}

} // namespace penstock::client
