// SPDX-License-Identifier: GPL-3.0-or-later
// sd_notify(3) without libsystemd: tells the service manager READY=1, STATUS=…, RELOADING=1, STOPPING=1,
// WATCHDOG=1. Does nothing when the socket name ($NOTIFY_SOCKET, passed in by main) is empty. Never blocks;
// callable from any thread.
#pragma once

#include <string>
#include <string_view>

namespace penstock {

class ServiceNotify {
public:
    explicit ServiceNotify(std::string socketName) : m_socketName(std::move(socketName)) {}
    // One assignment a line, e.g. "READY=1\nSTATUS=serving". A manager that is gone is no error of ours.
    void tell(std::string_view assignments) const;

private:
    std::string m_socketName;
};

} // namespace penstock
