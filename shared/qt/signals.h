// SPDX-License-Identifier: GPL-3.0-or-later
// Signals: SIGTERM, SIGINT and SIGHUP as calls on the loop of the thread that owns the object, by signalfd. Build it in
// main before any other thread exists: it blocks these signals for the whole process. Children must unblock them.
#pragma once

#include <QObject>
#include <functional>

class QSocketNotifier;

namespace penstock::qt {

class Signals final : public QObject {
    Q_OBJECT
public:
    // Each is called with the signal's number, SIGTERM, SIGINT or SIGHUP, on this thread.
    explicit Signals(std::function<void(int)> received, QObject* parent = nullptr);
    ~Signals() override;

private:
    void read();

    const std::function<void(int)> m_received;
    int m_descriptor = -1;
    QSocketNotifier* m_notifier = nullptr; // child
};

} // namespace penstock::qt
