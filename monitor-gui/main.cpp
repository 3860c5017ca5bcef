// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/app/monitor_app.h"

#include <fmt/format.h>
#include <QApplication>
#include <QSettings>
#include <QStyleFactory>

namespace {

// The command line is read before QApplication, so that --help needs no display.
QStringList argumentsOf(int argc, char** argv)
{
    QStringList arguments;
    for (int place = 1; place < argc; ++place)
        arguments << QString::fromLocal8Bit(argv[place]);
    return arguments;
}

} // namespace

int main(int argc, char** argv)
{
    using namespace penstock::gui;
    auto options = parseOptions(argumentsOf(argc, argv), qEnvironmentVariable("PENSTOCK_SERVER"));
    if (!options) {
        fmt::print(stderr, "penstock-monitor: {}\n", options.error().message);
        return 2;
    }
    if (!options->print.isEmpty()) {
        fmt::print("{}", options->print.toStdString());
        return 0;
    }
    // Its own options are not ours to hand on: Qt would take --style and the like out of them.
    int programOnly = 1;
    QApplication application(programOnly, argv);
    QApplication::setOrganizationName(QStringLiteral("penstock"));
    QApplication::setApplicationName(QStringLiteral("penstock-monitor"));
    QApplication::setStyle(QStyleFactory::create(QStringLiteral("Fusion")));
    QSettings::setDefaultFormat(QSettings::IniFormat);
    auto app = MonitorApp::create(*std::move(options));
    if (!app) {
        fmt::print(stderr, "penstock-monitor: {}\n", app.error().message);
        return 2;
    }
    (*app)->show();
    return QApplication::exec();
}
