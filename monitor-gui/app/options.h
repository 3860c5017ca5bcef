// SPDX-License-Identifier: GPL-3.0-or-later
// The command line of penstock-monitor as values. Pure but for QString; the environment is passed in.
#pragma once

#include "monitor-gui/demo/demo_transport.h"
#include "monitor-gui/settings/connection_settings.h"
#include "monitor-gui/views/page.h"
#include "monitor-gui/views/theme_source.h"
#include "shared/tls/trust.h"

#include <QSize>
#include <QStringList>

namespace penstock::gui {

struct Options {
    std::optional<QUrl> server; // from --server or the environment
    bool serverNamed = false;   // by --server: no need to ask before going there
    QString tokenFile;
    tls::TrustFiles trust;
    bool demo = false;
    DemoSettings demoSettings;
    std::optional<PageId> page;
    std::optional<JobId> job;
    QString tab; // part of the page to open: queues, shares, log, why; empty: as it is
    std::optional<DeepLink> link;
    QString screenshot; // empty: an ordinary window
    QSize size{1400, 900};
    double after = 3; // seconds until the screenshot is taken
    std::optional<ThemeChoice> theme;
    // --help or --version: print and end.
    QString print;
};

// arguments without the program's name; environmentServer: $PENSTOCK_SERVER or empty.
[[nodiscard]] Result<Options> parseOptions(const QStringList& arguments, const QString& environmentServer);

[[nodiscard]] std::optional<PageId> pageNamed(const QString& name);

} // namespace penstock::gui
