// SPDX-License-Identifier: GPL-3.0-or-later
// Where to connect and with what right: server addresses, deep links, token files. Free functions over their
// arguments; only readTokenFile() touches a disk. Tokens are never written by the monitor and never logged.
// Errors: Invalid (text that is no address), Denied (a token file others can read, a token over plain text).
#pragma once

#include "shared/base/ids.h"
#include "shared/base/result.h"

#include <optional>
#include <QByteArray>
#include <QString>
#include <QUrl>

namespace penstock::gui {

inline constexpr int kDefaultPort = 7780;

// "ws://host:7780", "wss://host", "host:7780" → the URL of the monitor stream (path /monitor, port filled
// in).
[[nodiscard]] Result<QUrl> parseServer(const QString& text);

[[nodiscard]] bool isLoopback(const QUrl& server);

// A token goes only to ourselves or over TLS.
[[nodiscard]] Result<void> checkTokenRoad(const QUrl& server, const QByteArray& token);

// The first line of a file that only its owner may read (mode 0600 or 0400), at most 4 KiB.
[[nodiscard]] Result<QByteArray> readTokenFile(const QString& path);

// penstock://HOST[:PORT]/overview, /queue, /machines, /machine/NAME, /jobs, /job/ID. It names things to look
// at and can never ask for an action.
struct DeepLink {
    QUrl server;
    QString page; // overview, queue, machines or job
    std::optional<JobId> job;
    QString machine;
};
[[nodiscard]] Result<DeepLink> parseDeepLink(const QString& text);

} // namespace penstock::gui
