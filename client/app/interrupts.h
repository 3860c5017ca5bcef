// SPDX-License-Identifier: GPL-3.0-or-later
// SIGINT, SIGTERM and SIGHUP as events of the program's loop, and SIGPIPE ignored so that a closed pipe is an
// ordinary write error. One object at a time, on the program's only thread; the old dispositions come back
// with its destruction.
#pragma once

#include <array>
#include <csignal>
#include <functional>
#include <memory>

class QSocketNotifier;

namespace penstock::client {

class Interrupts {
public:
    // onSignal is called from the event loop with the signal's number.
    explicit Interrupts(std::function<void(int)> onSignal);
    ~Interrupts();
    Interrupts(const Interrupts&) = delete;
    Interrupts& operator=(const Interrupts&) = delete;

    // A signal came in and has not been handed to onSignal yet. Callable at any time, also without an object.
    [[nodiscard]] static bool waiting();

private:
    std::function<void(int)> m_onSignal;
    std::array<int, 2> m_pipe{-1, -1};
    std::array<struct sigaction, 3> m_old{};
    std::unique_ptr<QSocketNotifier> m_notifier;
};

void ignoreBrokenPipes();

} // namespace penstock::client
