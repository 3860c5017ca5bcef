// SPDX-License-Identifier: GPL-3.0-or-later
// Outlet: the one way for the parts of a connection to say something to its peer, and to know whether to wait.
#pragma once

#include "proto/monitor.pb.h"
#include "shared/base/clock.h"

#include <cstdint>
#include <string_view>

namespace penstock::feed {

struct Outlet {
    virtual ~Outlet() = default;
    virtual void send(monitor::FeedMessage& message) = 0;
    // The peer has taken most of what it was sent. When not, say nothing and wait for the next pump.
    [[nodiscard]] virtual bool hasRoom() const = 0;
    [[nodiscard]] virtual Now now() const = 0;
    virtual void endWatch(std::uint64_t watch, std::string_view error) = 0;
};

} // namespace penstock::feed
