// SPDX-License-Identifier: GPL-3.0-or-later
// LogReader: brings the logs that one connection follows. It reads from the log store whatever the peer has room for,
// so a slow peer lags behind and misses nothing, and holds nothing here. At most kMaxReads questions are out at once,
// taken in turn from the logs that have more. Lives on the feed's loop.
#pragma once

#include "server/feed/detail/outlet.h"
#include "server/feed/feed_source.h"
#include "shared/base/clock.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <utility>

namespace penstock::feed {

inline constexpr std::size_t kMaxReads = 4;
inline constexpr std::uint32_t kReadBytes = 256U << 10U;

struct LogTarget {
    std::uint64_t watch = 0;
    AttemptId attempt{0};
    StepId step{0};
    std::uint64_t offset = 0;
    bool follow = true; // until it has ended; else to its size now
};

class LogReader {
public:
    // watch, and the error when it did not end well
    using OnEnd = std::function<void(const LogTarget&, const Error*)>;
    using OnWatching = std::function<void(const LogTarget&, bool)>; // began, ended: for the index of attempts

    LogReader(FeedSource& source, Outlet& outlet, OnEnd onEnd, OnWatching onWatching);

    void add(LogTarget target);
    void removeWatch(std::uint64_t watch);
    void grew(std::uint64_t watch, AttemptId attempt);
    void pump();    // there may be room again
    void pollAll(); // look again at every log, in case a notice was missed

    [[nodiscard]] std::size_t countOf(std::uint64_t watch) const;
    [[nodiscard]] Instant lastProgress() const { return m_lastProgress; }
    [[nodiscard]] bool isWaiting() const { return m_reads == 0 && m_runnable.empty(); }
    [[nodiscard]] std::uint64_t bytes() const { return m_bytes; }

private:
    using Key = std::pair<std::uint64_t, AttemptId>;
    struct Follow {
        LogTarget target;
        bool queued = false;  // in m_runnable
        bool reading = false;
        bool more = false;    // grew while it was read
        bool began = false;   // something was sent
    };

    void queue(const Key& key, Follow& follow);
    void read(const Key& key);
    void answered(const Key& key, Result<LogSlice> slice);
    void sendSlice(Follow& follow, const LogSlice& slice, bool ended);
    void finish(const Key& key, const Error* error);

    FeedSource& m_source;
    Outlet& m_outlet;
    OnEnd m_onEnd;
    OnWatching m_onWatching;
    std::map<Key, Follow> m_follows;
    std::deque<Key> m_runnable; // each follow at most once
    std::size_t m_reads = 0;
    bool m_pumping = false;
    Instant m_lastProgress;
    std::uint64_t m_bytes = 0;
    std::shared_ptr<bool> m_alive = std::make_shared<bool>(true);
};

} // namespace penstock::feed
