// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/app/interrupts.h"

#include <cerrno>
#include <fcntl.h>
#include <QSocketNotifier>
#include <unistd.h>

namespace penstock::client {

namespace {

constexpr std::array<int, 3> kSignals{SIGINT, SIGTERM, SIGHUP};

// Written by the signal handler, which may touch nothing else (signal-safety(7)).
volatile std::sig_atomic_t g_waiting = 0;
volatile std::sig_atomic_t g_pipeEnd = -1;

void onAnySignal(int number)
{
    const int saved = errno;
    g_waiting = 1;
    const auto byte = static_cast<char>(number);
    // A full pipe means that enough is waiting already.
    if (::write(g_pipeEnd, &byte, 1) < 0)
        g_waiting = 1;
    errno = saved;
}

} // namespace

Interrupts::Interrupts(std::function<void(int)> onSignal) : m_onSignal(std::move(onSignal))
{
    if (::pipe2(m_pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0)
        return; // the signals keep their default action
    g_pipeEnd = m_pipe[1];
    m_notifier = std::make_unique<QSocketNotifier>(m_pipe[0], QSocketNotifier::Read);
    QObject::connect(m_notifier.get(), &QSocketNotifier::activated, m_notifier.get(), [this] {
        std::array<char, 16> bytes{};
        const auto count = ::read(m_pipe[0], bytes.data(), bytes.size());
        g_waiting = 0;
        for (std::size_t at = 0; count > 0 && at < static_cast<std::size_t>(count); ++at)
            m_onSignal(bytes[at]);
    });
    struct sigaction action {};
    action.sa_handler = onAnySignal; // without SA_RESTART: a blocked write must end
    for (std::size_t at = 0; at < kSignals.size(); ++at)
        ::sigaction(kSignals[at], &action, &m_old[at]);
}

Interrupts::~Interrupts()
{
    if (m_pipe[0] < 0)
        return;
    for (std::size_t at = 0; at < kSignals.size(); ++at)
        ::sigaction(kSignals[at], &m_old[at], nullptr);
    g_pipeEnd = -1;
    ::close(m_pipe[0]);
    ::close(m_pipe[1]);
}

bool Interrupts::waiting()
{
    return g_waiting != 0;
}

void ignoreBrokenPipes()
{
    struct sigaction action {};
    action.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &action, nullptr);
}

} // namespace penstock::client
