// SPDX-License-Identifier: GPL-3.0-or-later
// MonitorLinks: joins the WebSockets of /monitor to the feed. Lives on the Qt loop of the listener and the feed.
#pragma once

#include "server/feed/feed.h"
#include "server/net/listener.h"

#include <QObject>

namespace penstock::net {

class MonitorLinks final : public QObject {
    Q_OBJECT
public:
    explicit MonitorLinks(feed::Feed& feed, QObject* parent = nullptr);
    void add(QWebSocket* socket, const PeerInfo& peer);

private:
    feed::Feed& m_feed;
};

} // namespace penstock::net
