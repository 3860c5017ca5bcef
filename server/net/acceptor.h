// SPDX-License-Identifier: GPL-3.0-or-later
// Acceptors: give out the descriptors of new connections, for TCP and for Unix sockets. Qt loop.
#pragma once

#include "shared/base/result.h"

#include <QObject>
#include <QSocketNotifier>
#include <QTcpServer>
#include <functional>
#include <memory>
#include <string>

namespace penstock::net {

using OnDescriptor = std::function<void(qintptr)>; // ownership of the descriptor passes

class TcpAcceptor final : public QTcpServer {
    Q_OBJECT
public:
    explicit TcpAcceptor(OnDescriptor onDescriptor, QObject* parent);

protected:
    void incomingConnection(qintptr descriptor) override;

private:
    OnDescriptor m_onDescriptor;
};

class UnixAcceptor final : public QObject {
    Q_OBJECT
public:
    UnixAcceptor(OnDescriptor onDescriptor, QObject* parent);
    ~UnixAcceptor() override;

    // Takes the place of a socket file that nobody listens on any more. Unavailable: somebody does.
    [[nodiscard]] Result<void> listen(const std::string& path);
    // Accepts on a socket that listens already; its file is not ours and stays.
    void adopt(int descriptor);
    void close();

private:
    void onReadable();
    void watch();

    OnDescriptor m_onDescriptor;
    std::string m_path; // removed at the end
    int m_descriptor = -1;
    std::unique_ptr<QSocketNotifier> m_notifier;
};

} // namespace penstock::net
