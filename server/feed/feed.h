// SPDX-License-Identifier: GPL-3.0-or-later
// Feed: everything that follows the farm live. Owns the connected monitors and clients, numbers what changes, sends
// snapshots, deltas, steps of watched jobs and logs. It is told only ids; it asks its FeedSource for the records when
// it is time to send them, and asks nothing while nobody watches. Lives on one loop; every method is called there.
// Bounds: connections, watches per connection, ids remembered between two periods, deltas kept for resuming, bytes
// waiting in a connection (then it is told too_slow and closed). A slow log reader just reads later, from the store.
#pragma once

#include "server/feed/feed_source.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/loop.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace penstock::feed {

struct FeedOptions {
    std::string serverName;
    std::string version;
    std::string stream;   // id of this run's numbering: random, made by the caller
    std::string storeDir; // derivations of builds must lie there
    std::chrono::milliseconds period{250};
    std::chrono::milliseconds machinePeriod{1'000};
    std::chrono::milliseconds idleLimit{60'000}; // a connection that says nothing and watches nothing
    std::uint32_t maxConnections = 200;
    std::uint32_t maxWatches = 64;               // per connection
    std::size_t maxBufferedBytes = 8U << 20U;    // per connection
    std::size_t maxKeptDeltas = 512;
    std::size_t maxUploadBytes = 512U << 20U;    // derivation text of one build
};

// One connected peer, as the feed sees it. Implemented over a WebSocket by server/net.
struct FeedPeer {
    virtual ~FeedPeer() = default;
    virtual void send(std::string_view frame) = 0; // one binary message
    [[nodiscard]] virtual std::size_t bufferedBytes() const = 0;
    // Sends what is buffered, then closes; the feed calls nothing after it.
    virtual void close(std::string_view reason) = 0;
};

struct FeedCounters {
    std::uint64_t connections = 0; // now
    std::uint64_t watches = 0;     // now
    std::uint64_t accepted = 0;
    std::uint64_t refused = 0;
    std::uint64_t tooSlow = 0;
    std::uint64_t protocolErrors = 0;
    std::uint64_t deltas = 0;
    std::uint64_t snapshots = 0;
    std::uint64_t resumed = 0;
    std::uint64_t logBytes = 0;
};

class Feed {
public:
    Feed(Loop& loop, const Clock& clock, Logger& logger, FeedSource& source, FeedOptions options);
    ~Feed();
    Feed(const Feed&) = delete;
    Feed& operator=(const Feed&) = delete;

    // From the transport. The number names the peer from then on.
    [[nodiscard]] std::uint64_t connected(std::unique_ptr<FeedPeer> peer, std::string user);
    void received(std::uint64_t peer, std::string_view message); // one whole binary message
    void drained(std::uint64_t peer);                            // bufferedBytes became smaller
    void disconnected(std::uint64_t peer);

    // From the farm: these may have changed. Cheap; records are asked for later.
    void changed(std::span<const JobId> jobs, std::span<const StepId> steps, std::span<const MachineId> machines);
    // The log has size bytes now; ended: nothing more comes.
    void logGrew(AttemptId attempt, std::uint64_t size, bool ended);

    // Says goodbye (stopping) to everybody.
    void stop(std::string_view text);

    [[nodiscard]] FeedCounters counters() const;

private:
    class Impl;
    std::shared_ptr<Impl> m_impl;
};

} // namespace penstock::feed
