// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/changed_settings.h"
#include "server/app/hydra_errands.h"
#include "server/app/hydra_stores.h"
#include "server/app/server_app.h"
#include "shared/base/service_notify.h"
#include "shared/config/options.h"
#include "shared/log/logger.h"
#include "shared/qt/signals.h"

#include <QCoreApplication>
#include <QTimer>
#include <csignal>
#include <cstdio>
#include <fmt/format.h>
#include <malloc.h>
#include <string>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

namespace {

using namespace penstock;

// Thousands of builders are thousands of sockets.
void raiseFileLimit()
{
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &limit); // keeps the old one when refused
}

// Batches are made on one thread and freed on another: with an arena for each thread, what they leave is nobody's to
// use again. A big queue of Hydra's took 540 MB to load so, and 310 MB this way.
void boundArenas()
{
#if defined(__GLIBC__)
    constexpr int kTrimThreshold = 8 << 20; // bytes
    (void)::mallopt(M_ARENA_MAX, 1);
    (void)::mallopt(M_TRIM_THRESHOLD, kTrimThreshold);
#endif
}

int complain(const Error& error, int code)
{
    fmt::print(stderr, "penstock-server: {}\n", error.message);
    return code;
}

// After SIGHUP: a change that is not taken up is not to be taken for one that is.
void tellChanges(const std::vector<std::string>& arguments, const config::Environment& environment,
                 const config::Values& running, Logger& logger)
{
    const auto changed = app::changedSettings(arguments, environment, running);
    if (!changed)
        return logger.error("config.unusable", {{"error", changed.error().message}});
    for (const app::ChangedSetting& setting : *changed)
        logger.warning("config.needs_restart", {{"option", setting.name}, {"new", setting.origin}});
}

// What was asked for in place of serving.
int say(const Result<std::string>& answer)
{
    if (!answer)
        return complain(answer.error(),
                        answer.error().code == ErrorCode::Invalid ? config::kExitUsage : config::kExitFailed);
    fmt::print("{}\n", *answer);
    return config::kExitFine;
}

} // namespace

int main(int argc, char** argv)
{
    boundArenas(); // before the first thread
    QCoreApplication application(argc, argv);
    const auto parsed = config::parseOrExplain(app::serverProgram(), argc, argv);
    if (const int* code = std::get_if<int>(&parsed))
        return *code;
    const auto& values = std::get<config::Values>(parsed);
    const config::Environment environment = config::processEnvironment();
    auto options = app::readServerOptions(values, environment, ::geteuid() == 0);
    if (!options)
        return complain(options.error(), config::kExitUsage);

    ::signal(SIGPIPE, SIG_IGN);
    if (values.flag("status"))
        return say(app::readRunningStatus(*options));
    if (values.flag("unlock"))
        return say(app::unlockHydra(*options));
    raiseFileLimit();
    const std::unique_ptr<Logger> logger =
        log::makeLogger(log::optionsFor(values.text("log-level"), values.text("log-format")));
    for (const auto& use : values.synonymsUsed())
        if (!app::hasNoMeaning(use.name))
            logger->info("config.synonym", {{"key", use.key}, {"name", use.name}});
    for (const app::KeyNote& note : app::keysWithoutMeaning(values))
        logger->info("config.no_meaning", {{"key", note.key}, {"why", note.why}});
    if (const auto stores = app::readHydraStores(values))
        for (const std::string& note : stores->notes)
            logger->warning("config.store", {{"key", "remoteStoreAddr"}, {"why", note}});
    const auto notifySocket = environment.find("NOTIFY_SOCKET");
    const ServiceNotify notify(notifySocket == environment.end() ? std::string() : notifySocket->second);

    std::unique_ptr<app::ServerApp> server;
    bool stopping = false;
    const qt::Signals signals([&](int number) {
        if (number == SIGHUP) {
            notify.tell("RELOADING=1");
            if (server != nullptr)
                server->reload();
            tellChanges({argv + 1, argv + argc}, environment, values, *logger);
            return notify.tell("READY=1");
        }
        if (std::exchange(stopping, true))
            ::_exit(1); // asked twice: now
        logger->info("server.stopping", {{"signal", number}});
        notify.tell("STOPPING=1");
        if (server == nullptr)
            return application.exit(0);
        server->farewell([&] { application.exit(0); });
    });

    auto started = app::ServerApp::start(*std::move(options), *logger, [&](const Error& error) {
        logger->error("server.fatal", {{"error", error.message}});
        application.exit(1);
    });
    if (!started)
        return complain(started.error(), started.error().code == ErrorCode::Invalid ? config::kExitUsage
                                                                                    : config::kExitFailed);
    server = *std::move(started);
    notify.tell("READY=1\nSTATUS=serving");

    QTimer status;
    QObject::connect(&status, &QTimer::timeout, &status, [&] {
        notify.tell("WATCHDOG=1");
        server->describe([&](const std::string& text) { notify.tell("STATUS=" + text); });
    });
    status.start(10'000);
    const int code = QCoreApplication::exec();
    status.stop();
    server.reset();
    return code;
}
