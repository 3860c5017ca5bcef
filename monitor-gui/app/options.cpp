// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/app/options.h"

#include "shared/base/text.h"

#include <fmt/format.h>
#include <functional>
#include <map>
#include <QRegularExpression>

namespace penstock::gui {

namespace {

constexpr const char* kHelp = R"(Usage: penstock-monitor [OPTIONS] [penstock://HOST/PAGE]

Shows a Penstock farm live: queues, machines, load and pressure, jobs, steps and logs.

  --server URL           ws://HOST:PORT or wss://HOST; default $PENSTOCK_SERVER, else ws://127.0.0.1:7780
  --token-file FILE      file with the access token, readable by its owner only (chmod 600)
  --tls-ca FILE          trust a wss:// server of this authority only, PEM
  --tls-cert FILE        our own certificate, PEM, where the server asks for one
  --tls-key FILE         private key of that certificate, PEM
  --demo                 a simulated farm in this process; no server is needed
  --demo-machines N      its size, 1 to 5000 (default 12)
  --demo-fault KIND      frozen (the server falls silent) or killed, two seconds after start; or paused (an operator
                         has paused the farm)
  --page NAME            overview, queue, machines or job
  --job ID               open this job
  --tab NAME             a part of the page: queues or shares (queue page), log or why (job page; why also on queue)
  --theme NAME           light, dark or system
  --screenshot FILE.png  draw the window into a file and end; works with QT_QPA_PLATFORM=offscreen
  --size WxH             of the window, default 1400x900
  --after SECONDS        how long to wait before the screenshot, default 3
  --help, --version

Links: penstock://HOST[:PORT]/overview, /queue, /machines, /machine/NAME, /jobs, /job/ID
)";

constexpr std::uint64_t kMostDemoMachines = 5000;
constexpr int kSmallestSide = 200;
constexpr int kLargestSide = 8000;
constexpr double kLongestWait = 3600;

Result<void> setSize(Options& options, const QString& value)
{
    static const QRegularExpression form(QStringLiteral("^(\\d{1,5})x(\\d{1,5})$"));
    const QRegularExpressionMatch match = form.match(value);
    const QSize size(match.captured(1).toInt(), match.captured(2).toInt());
    if (!match.hasMatch() || std::min(size.width(), size.height()) < kSmallestSide ||
        std::max(size.width(), size.height()) > kLargestSide)
        return fail(ErrorCode::Invalid, fmt::format("--size {}: write WIDTHxHEIGHT, each from {} to {}",
                                                    value.toStdString(), kSmallestSide, kLargestSide));
    options.size = size;
    return {};
}

Result<void> setAfter(Options& options, const QString& value)
{
    const Result<double> seconds = parseDouble(value.toStdString());
    if (!seconds || !(*seconds >= 0) || *seconds > kLongestWait)
        return fail(ErrorCode::Invalid,
                    fmt::format("--after {}: write seconds from 0 to {}", value.toStdString(), kLongestWait));
    options.after = *seconds;
    return {};
}

Result<void> setPage(Options& options, const QString& value)
{
    options.page = pageNamed(value);
    if (!options.page)
        return fail(ErrorCode::Invalid,
                    fmt::format("--page {}: one of overview, queue, machines, job", value.toStdString()));
    return {};
}

Result<void> setTab(Options& options, const QString& value)
{
    static const QStringList tabs = {QStringLiteral("queues"), QStringLiteral("shares"), QStringLiteral("log"),
                                     QStringLiteral("why")};
    if (!tabs.contains(value))
        return fail(ErrorCode::Invalid,
                    fmt::format("--tab {}: one of {}", value.toStdString(),
                                tabs.join(QStringLiteral(", ")).toStdString()));
    options.tab = value;
    return {};
}

Result<void> setJob(Options& options, const QString& value)
{
    const Result<std::uint64_t> id = parseUnsigned(value.toStdString());
    if (!id || *id == 0)
        return fail(ErrorCode::Invalid,
                    fmt::format("--job {}: write a job's number, from 1", value.toStdString()));
    options.job = JobId(*id);
    options.page = PageId::Job;
    return {};
}

Result<void> setTheme(Options& options, const QString& value)
{
    if (value == QStringLiteral("light"))
        options.theme = ThemeChoice::Light;
    else if (value == QStringLiteral("dark"))
        options.theme = ThemeChoice::Dark;
    else if (value == QStringLiteral("system"))
        options.theme = ThemeChoice::System;
    else
        return fail(ErrorCode::Invalid,
                    fmt::format("--theme {}: one of light, dark, system", value.toStdString()));
    return {};
}

Result<void> setDemoMachines(Options& options, const QString& value)
{
    const Result<std::uint64_t> count = parseUnsigned(value.toStdString());
    if (!count || *count == 0 || *count > kMostDemoMachines)
        return fail(ErrorCode::Invalid, fmt::format("--demo-machines {}: write a number from 1 to {}",
                                                    value.toStdString(), kMostDemoMachines));
    options.demo = true;
    options.demoSettings.machines = static_cast<std::uint32_t>(*count);
    return {};
}

Result<void> setDemoFault(Options& options, const QString& value)
{
    if (value == QStringLiteral("frozen"))
        options.demoSettings.fault = DemoFault::Frozen;
    else if (value == QStringLiteral("killed"))
        options.demoSettings.fault = DemoFault::Killed;
    else if (value == QStringLiteral("paused"))
        options.demoSettings.fault = DemoFault::Paused;
    else
        return fail(ErrorCode::Invalid,
                    fmt::format("--demo-fault {}: one of frozen, killed, paused", value.toStdString()));
    options.demo = true;
    return {};
}

Result<void> setServer(Options& options, const QString& value)
{
    PENSTOCK_TRY(options.server, parseServer(value));
    options.serverNamed = true;
    return {};
}

Result<void> setTokenFile(Options& options, const QString& value)
{
    options.tokenFile = value;
    return {};
}

Result<void> setTlsCa(Options& options, const QString& value)
{
    options.trust.authority = value.toStdString();
    return {};
}

Result<void> setTlsCert(Options& options, const QString& value)
{
    options.trust.certificate = value.toStdString();
    return {};
}

Result<void> setTlsKey(Options& options, const QString& value)
{
    options.trust.key = value.toStdString();
    return {};
}

Result<void> setScreenshot(Options& options, const QString& value)
{
    options.screenshot = value;
    return {};
}

using Setter = Result<void> (*)(Options&, const QString&);

const std::map<QString, Setter>& setters()
{
    static const std::map<QString, Setter> table = {
        {QStringLiteral("--server"), setServer},
        {QStringLiteral("--token-file"), setTokenFile},
        {QStringLiteral("--tls-ca"), setTlsCa},
        {QStringLiteral("--tls-cert"), setTlsCert},
        {QStringLiteral("--tls-key"), setTlsKey},
        {QStringLiteral("--page"), setPage},
        {QStringLiteral("--job"), setJob},
        {QStringLiteral("--tab"), setTab},
        {QStringLiteral("--theme"), setTheme},
        {QStringLiteral("--size"), setSize},
        {QStringLiteral("--after"), setAfter},
        {QStringLiteral("--screenshot"), setScreenshot},
        {QStringLiteral("--demo-machines"), setDemoMachines},
        {QStringLiteral("--demo-fault"), setDemoFault},
    };
    return table;
}

Result<void> setLink(Options& options, const QString& text)
{
    PENSTOCK_TRY(options.link, parseDeepLink(text));
    options.page = pageNamed(options.link->page);
    options.job = options.link->job;
    return {};
}

// Takes one option at the place and moves on; true in the value when the program shall only print.
Result<void> takeArgument(Options& options, const QStringList& arguments, int& place)
{
    const QString argument = arguments.at(place);
    const qsizetype equals = argument.indexOf(QLatin1Char('='));
    const QString name = equals > 0 ? argument.left(equals) : argument;
    if (name == QStringLiteral("--help") || name == QStringLiteral("-h")) {
        options.print = QString::fromLatin1(kHelp);
    } else if (name == QStringLiteral("--version")) {
        options.print = QStringLiteral("penstock-monitor " PENSTOCK_VERSION "\n");
    } else if (name == QStringLiteral("--demo")) {
        options.demo = true;
    } else if (!name.startsWith(QLatin1Char('-'))) {
        return setLink(options, argument);
    } else {
        const auto setter = setters().find(name);
        if (setter == setters().end())
            return fail(ErrorCode::Invalid,
                        fmt::format("unknown option {}; see --help", name.left(200).toStdString()));
        if (equals > 0)
            return setter->second(options, argument.mid(equals + 1));
        if (place + 1 >= arguments.size())
            return fail(ErrorCode::Invalid, fmt::format("{} needs a value; see --help", name.toStdString()));
        return setter->second(options, arguments.at(++place));
    }
    return {};
}

} // namespace

std::optional<PageId> pageNamed(const QString& name)
{
    if (name == QStringLiteral("overview"))
        return PageId::Overview;
    if (name == QStringLiteral("queue"))
        return PageId::Queue;
    if (name == QStringLiteral("machines"))
        return PageId::Machines;
    if (name == QStringLiteral("job") || name == QStringLiteral("jobs"))
        return PageId::Job;
    return std::nullopt;
}

Result<Options> parseOptions(const QStringList& arguments, const QString& environmentServer)
{
    Options options;
    for (int place = 0; place < arguments.size(); ++place) {
        PENSTOCK_TRY_VOID(takeArgument(options, arguments, place));
        if (!options.print.isEmpty())
            return options;
    }
    if (!options.tab.isEmpty() && !options.page)
        options.page = options.tab == QStringLiteral("log") ? PageId::Job : PageId::Queue;
    if (options.demo && (options.serverNamed || options.link))
        return fail(ErrorCode::Invalid, "--demo and a server exclude each other; leave one out");
    if (options.link && !options.serverNamed)
        options.server = options.link->server;
    if (!options.server && !options.demo) {
        const QString fallback =
            environmentServer.isEmpty() ? QStringLiteral("ws://127.0.0.1:7780") : environmentServer;
        auto server = parseServer(fallback);
        if (!server)
            return fail(std::move(server).error().in("PENSTOCK_SERVER"));
        options.server = *std::move(server);
    }
    return options;
}

} // namespace penstock::gui
