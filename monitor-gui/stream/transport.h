// SPDX-License-Identifier: GPL-3.0-or-later
// The road to a server: whole messages of bytes both ways. Implemented by a WebSocket and, for the demo and
// tests, by a simulated farm in the process. Lives on one thread with a Qt event loop; calls its sink from
// there, never from inside open(), send() or abort().
#pragma once

#include "shared/base/bytes.h"

#include <cstdint>
#include <string>

namespace penstock::gui {

enum class CloseKind : std::uint8_t {
    Lost,   // refused port, broken connection, closed by the peer
    Denied, // the server answered, and said no to us
};

struct TransportSink {
    virtual ~TransportSink() = default;
    virtual void onOpened() = 0;
    virtual void onMessage(ByteView bytes) = 0; // the view is valid during the call only
    virtual void onAlive() = 0;                 // bytes came that are no whole message yet
    virtual void onClosed(CloseKind kind, const std::string& reason) = 0; // once for each open()
};

struct Transport {
    virtual ~Transport() = default;
    // Starts over when it was open. The sink outlives the transport.
    virtual void open(TransportSink& sink) = 0;
    // Dropped when not open.
    virtual void send(const std::string& message) = 0;
    // Ends at once and without onClosed().
    virtual void abort() = 0;
};

} // namespace penstock::gui
