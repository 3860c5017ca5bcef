// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/app/builder_app.h"
#include "builder/app/builder_options.h"
#include "shared/base/service_notify.h"
#include "shared/config/options.h"
#include "shared/log/logger.h"
#include "shared/qt/signals.h"

#include <QCoreApplication>
#include <QTimer>
#include <csignal>
#include <cstdio>
#include <fmt/format.h>
#include <unistd.h>

namespace {

using namespace penstock;

int complain(const Error& error, int code)
{
    fmt::print(stderr, "penstock-builder: {}\n", error.message);
    return code;
}

int exitCodeOf(const Error& error)
{
    return error.code == ErrorCode::Invalid ? config::kExitUsage : config::kExitFailed;
}

} // namespace

int main(int argc, char** argv)
{
    QCoreApplication application(argc, argv);
    const auto parsed = config::parseOrExplain(builder::builderProgram(), argc, argv);
    if (const int* code = std::get_if<int>(&parsed))
        return *code;
    const auto& values = std::get<config::Values>(parsed);
    const config::Environment environment = config::processEnvironment();
    auto options = builder::readBuilderOptions(values, environment, ::geteuid() == 0);
    if (!options)
        return complain(options.error(), config::kExitUsage);
    if (const auto trusted = tls::applyTrust(options->trust); !trusted)
        return complain(trusted.error(), config::kExitUsage);

    ::signal(SIGPIPE, SIG_IGN);
    const std::unique_ptr<Logger> logger =
        log::makeLogger(log::optionsFor(values.text("log-level"), values.text("log-format")));
    const auto notifySocket = environment.find("NOTIFY_SOCKET");
    const ServiceNotify notify(notifySocket == environment.end() ? std::string() : notifySocket->second);

    std::unique_ptr<builder::BuilderApp> app;
    int stopsAsked = 0;
    const qt::Signals signals([&](int number) {
        if (number == SIGHUP) {
            notify.tell("RELOADING=1");
            if (app)
                app->reload();
            return notify.tell("READY=1");
        }
        notify.tell("STOPPING=1");
        if (!app || ++stopsAsked > 2)
            ::_exit(1);
        if (stopsAsked == 1)
            app->drain();
        else
            app->abort();
    });

    auto started = builder::BuilderApp::start(*std::move(options), *logger, [&] { application.exit(0); });
    if (!started)
        return complain(started.error(), exitCodeOf(started.error()));
    app = *std::move(started);
    notify.tell("READY=1\nSTATUS=running");

    QTimer status;
    QObject::connect(&status, &QTimer::timeout, &status, [&] {
        notify.tell("WATCHDOG=1\nSTATUS=" + app->describe());
    });
    status.start(10'000);
    const int code = QCoreApplication::exec();
    status.stop();
    app.reset();
    return code;
}
