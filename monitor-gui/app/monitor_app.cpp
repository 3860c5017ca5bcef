// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/app/monitor_app.h"

#include "monitor-gui/stream/web_socket_transport.h"

#include <cstdio>
#include <fmt/format.h>
#include <QApplication>
#include <QImage>
#include <QMessageBox>
#include <QSettings>
#include <QTimer>
#include <random>

namespace penstock::gui {

namespace {

ThemeChoice themeOf(const Options& options)
{
    if (options.theme)
        return *options.theme;
    if (!options.screenshot.isEmpty())
        return ThemeChoice::Light; // pictures do not depend on the desktop
    const QString stored = QSettings().value(QStringLiteral("theme")).toString();
    return stored == QStringLiteral("light")  ? ThemeChoice::Light
           : stored == QStringLiteral("dark") ? ThemeChoice::Dark
                                              : ThemeChoice::System;
}

QString placeName(const Options& options)
{
    return options.demo ? QStringLiteral("simulated in this program")
                        : QStringLiteral("%1:%2").arg(options.server->host()).arg(options.server->port(443));
}

} // namespace

Result<std::unique_ptr<MonitorApp>> MonitorApp::create(Options options)
{
    PENSTOCK_TRY_VOID(tls::applyTrust(options.trust));
    QByteArray token;
    if (!options.tokenFile.isEmpty() && !options.demo) {
        PENSTOCK_TRY(token, readTokenFile(options.tokenFile));
        PENSTOCK_TRY_VOID(checkTokenRoad(*options.server, token));
    }
    return std::unique_ptr<MonitorApp>(new MonitorApp(std::move(options), std::move(token)));
}

MonitorApp::MonitorApp(Options options, QByteArray token)
    : m_options(std::move(options)),
      m_token(std::move(token)),
      m_theme(themeOf(m_options)),
      m_farm(*this, m_clock),
      m_window(m_farm, m_theme, placeName(m_options))
{
    m_window.resize(m_options.size);
    if (m_options.screenshot.isEmpty())
        restore();
    if (m_options.page)
        m_window.openPage(*m_options.page);
    if (m_options.job)
        m_window.openJob(*m_options.job);
    else if (m_options.link && !m_options.link->machine.isEmpty())
        m_window.openMachine(m_options.link->machine);
    if (!m_options.tab.isEmpty())
        m_window.openTab(m_options.tab);
}

MonitorApp::~MonitorApp()
{
    if (m_options.screenshot.isEmpty())
        remember();
}

void MonitorApp::show()
{
    m_window.show();
    if (!m_options.demo && !m_options.serverNamed && m_options.link && !mayGoThere(*m_options.server)) {
        QTimer::singleShot(0, qApp, &QApplication::quit);
        return;
    }
    connectFarm();
    if (!m_options.screenshot.isEmpty())
        QTimer::singleShot(static_cast<int>(m_options.after * 1000), this, &MonitorApp::takeScreenshot);
}

// A link can come from anywhere, so a host that was never visited is asked about first.
bool MonitorApp::mayGoThere(const QUrl& server)
{
    QSettings settings;
    QStringList known = settings.value(QStringLiteral("knownHosts")).toStringList();
    const QString host = QStringLiteral("%1:%2").arg(server.host()).arg(server.port(443));
    if (isLoopback(server) || known.contains(host))
        return true;
    if (!m_options.screenshot.isEmpty())
        return false;
    const auto answer = QMessageBox::question(
        &m_window, QStringLiteral("Unknown server"),
        QStringLiteral("The link leads to %1, where this monitor has never been. Connect?").arg(host));
    if (answer != QMessageBox::Yes)
        return false;
    constexpr qsizetype kMostHosts = 50;
    known.prepend(host);
    settings.setValue(QStringLiteral("knownHosts"), known.mid(0, kMostHosts));
    return true;
}

void MonitorApp::connectFarm()
{
    StreamSettings settings;
    settings.program = "penstock-monitor/" PENSTOCK_VERSION;
    settings.randomSeed = std::random_device{}();
    StreamThread::MakeTransport make;
    if (m_options.demo) {
        make = [demo = m_options.demoSettings, wall = m_clock.now().wall] {
            return std::make_unique<DemoTransport>(demo, wall);
        };
    } else {
        make = [server = *m_options.server, token = m_token] {
            return std::make_unique<WebSocketTransport>(server, token);
        };
    }
    m_stream =
        std::make_unique<StreamThread>(std::move(settings), make, m_loop, [this](const FeedBatch& batch) {
            m_farm.take(batch.events, batch.status);
        });
    m_stream->watchJob(m_farm.job().watched());
    m_stream->start();
}

void MonitorApp::reconnect()
{
    if (m_stream)
        m_stream->reconnect();
}

void MonitorApp::resynchronise()
{
    if (m_stream)
        m_stream->resynchronise();
}

void MonitorApp::watchJob(std::optional<JobId> job)
{
    if (m_stream)
        m_stream->watchJob(job);
}

void MonitorApp::watchLog(std::optional<AttemptId> attempt)
{
    if (m_stream)
        m_stream->watchLog(attempt);
}

void MonitorApp::explain(const WhyTarget& target)
{
    if (m_stream)
        m_stream->explain(target);
}

void MonitorApp::takeScreenshot()
{
    constexpr int kSmallestFile = 0; // Qt's "quality" of a PNG: 0 compresses most
    const QImage picture = m_window.grab().toImage().convertToFormat(QImage::Format_RGB888);
    if (picture.isNull() || !picture.save(m_options.screenshot, "PNG", kSmallestFile)) {
        fmt::print(stderr,
                   "penstock-monitor: cannot write {}; check that the folder exists and may be written\n",
                   m_options.screenshot.toStdString());
        QApplication::exit(1);
        return;
    }
    QApplication::exit(0);
}

void MonitorApp::restore()
{
    const QSettings settings;
    m_window.restoreGeometry(settings.value(QStringLiteral("window")).toByteArray());
    if (const auto page = pageNamed(settings.value(QStringLiteral("page")).toString()))
        m_window.openPage(*page);
}

void MonitorApp::remember()
{
    static constexpr std::array kNames = {"overview", "queue", "machines", "job"};
    QSettings settings;
    settings.setValue(QStringLiteral("window"), m_window.saveGeometry());
    settings.setValue(QStringLiteral("page"),
                      QLatin1String(kNames[static_cast<std::size_t>(m_window.page())]));
    static constexpr std::array kThemes = {"system", "light", "dark"};
    settings.setValue(QStringLiteral("theme"),
                      QLatin1String(kThemes[static_cast<std::size_t>(m_theme.choice())]));
}

} // namespace penstock::gui
