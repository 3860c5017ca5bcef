// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/settings/connection_settings.h"

#include "shared/base/text.h"

#include <fmt/format.h>
#include <QFile>
#include <QHostAddress>
#include <QRegularExpression>
#include <QStringList>

namespace penstock::gui {

namespace {

constexpr qint64 kMaxTokenBytes = 4096;

std::string quoted(const QString& text)
{
    return text.left(200).toStdString();
}

Result<QUrl> streamUrl(QUrl url, const QString& original)
{
    const bool known = url.scheme() == QStringLiteral("ws") || url.scheme() == QStringLiteral("wss");
    if (!url.isValid() || !known || url.host().isEmpty())
        return fail(ErrorCode::Invalid,
                    fmt::format("--server {}: not a server address; write ws://HOST:{} or wss://HOST",
                                quoted(original), kDefaultPort));
    if (!url.userInfo().isEmpty())
        return fail(ErrorCode::Invalid, "--server: an address carries no user or password; use --token-file");
    if (url.port() == -1 && url.scheme() == QStringLiteral("ws"))
        url.setPort(kDefaultPort);
    if (url.path().isEmpty() || url.path() == QStringLiteral("/"))
        url.setPath(QStringLiteral("/monitor"));
    return url;
}

} // namespace

Result<QUrl> parseServer(const QString& text)
{
    const QString trimmed = text.trimmed();
    const QString full =
        trimmed.contains(QStringLiteral("://")) ? trimmed : QStringLiteral("ws://") + trimmed;
    return streamUrl(QUrl(full, QUrl::StrictMode), trimmed);
}

bool isLoopback(const QUrl& server)
{
    return server.host() == QStringLiteral("localhost") || QHostAddress(server.host()).isLoopback();
}

Result<void> checkTokenRoad(const QUrl& server, const QByteArray& token)
{
    if (token.isEmpty() || isLoopback(server) || server.scheme() == QStringLiteral("wss"))
        return {};
    return fail(ErrorCode::Denied,
                fmt::format("the token would travel in the clear to {}; use a wss:// address",
                            quoted(server.host())));
}

Result<QByteArray> readTokenFile(const QString& path)
{
    QFile file(path);
    if (!file.open(QIODevice::ReadOnly))
        return fail(ErrorCode::NotFound,
                    fmt::format("--token-file {}: {}", quoted(path), file.errorString().toStdString()));
    const QFileDevice::Permissions others =
        QFileDevice::ReadGroup | QFileDevice::WriteGroup | QFileDevice::ReadOther | QFileDevice::WriteOther;
    if ((file.permissions() & others) != QFileDevice::Permissions{})
        return fail(ErrorCode::Denied,
                    fmt::format("--token-file {}: others can read it; run chmod 600 on it", quoted(path)));
    const QByteArray bytes = file.read(kMaxTokenBytes + 1);
    if (bytes.size() > kMaxTokenBytes)
        return fail(ErrorCode::Exhausted,
                    fmt::format("--token-file {}: longer than {} bytes; it must hold one token", quoted(path),
                                kMaxTokenBytes));
    const QByteArray token = bytes.left(bytes.contains('\n') ? bytes.indexOf('\n') : bytes.size()).trimmed();
    for (const char byte : token) {
        if (byte <= ' ' || byte > '~')
            return fail(ErrorCode::Invalid,
                        fmt::format("--token-file {}: the token has a space or a byte that is "
                                    "not printable ASCII; copy it again",
                                    quoted(path)));
    }
    if (token.isEmpty())
        return fail(ErrorCode::Invalid,
                    fmt::format("--token-file {}: its first line is empty", quoted(path)));
    return token;
}

Result<DeepLink> parseDeepLink(const QString& text)
{
    const QUrl url(text, QUrl::StrictMode);
    if (!url.isValid() || url.scheme() != QStringLiteral("penstock") || url.host().isEmpty())
        return fail(ErrorCode::Invalid,
                    fmt::format("{}: not a link; write penstock://HOST/queue", quoted(text)));
    QUrl server;
    // Beyond this machine only TLS is spoken, so a link cannot talk us into plain text.
    server.setHost(url.host());
    server.setScheme(isLoopback(server) ? QStringLiteral("ws") : QStringLiteral("wss"));
    server.setPort(url.port(isLoopback(server) ? kDefaultPort : -1));
    DeepLink link;
    PENSTOCK_TRY(link.server, streamUrl(server, text));
    const QStringList parts = url.path().split(QLatin1Char('/'), Qt::SkipEmptyParts);
    const QString first = parts.value(0, QStringLiteral("overview"));
    if (parts.size() == 1 || parts.isEmpty()) {
        if (first == QStringLiteral("overview") || first == QStringLiteral("queue") ||
            first == QStringLiteral("machines"))
            link.page = first;
        else if (first == QStringLiteral("jobs"))
            link.page = QStringLiteral("job");
    } else if (parts.size() == 2 && first == QStringLiteral("machine")) {
        link.page = QStringLiteral("machines");
        link.machine = parts.at(1);
    } else if (parts.size() == 2 && first == QStringLiteral("job")) {
        PENSTOCK_TRY(const std::uint64_t id, parseUnsigned(parts.at(1).toStdString()));
        if (id == 0)
            return fail(ErrorCode::Invalid, "job 0: job numbers begin at 1");
        link.page = QStringLiteral("job");
        link.job = JobId(id);
    }
    if (link.page.isEmpty())
        return fail(ErrorCode::Invalid, fmt::format("{}: unknown page; one of /overview, /queue, /machines, "
                                                    "/machine/NAME, /jobs, /job/ID",
                                                    quoted(text)));
    return link;
}

} // namespace penstock::gui
