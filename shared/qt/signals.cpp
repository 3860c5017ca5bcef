// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/qt/signals.h"

#include "shared/base/check.h"

#include <QSocketNotifier>
#include <csignal>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace penstock::qt {

Signals::Signals(std::function<void(int)> received, QObject* parent)
    : QObject(parent), m_received(std::move(received))
{
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGHUP})
        sigaddset(&set, number);
    PENSTOCK_CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
    m_descriptor = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    PENSTOCK_CHECK(m_descriptor >= 0);
    m_notifier = new QSocketNotifier(m_descriptor, QSocketNotifier::Read, this);
    connect(m_notifier, &QSocketNotifier::activated, this, &Signals::read);
}

Signals::~Signals()
{
    m_notifier->setEnabled(false);
    ::close(m_descriptor);
}

void Signals::read()
{
    signalfd_siginfo info{};
    while (::read(m_descriptor, &info, sizeof info) == static_cast<ssize_t>(sizeof info))
        m_received(static_cast<int>(info.ssi_signo));
}

} // namespace penstock::qt
