// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/curl/pause.h"

#include "shared/base/mutex.h"

#include <algorithm>
#include <chrono>

namespace penstock::curl {

bool pause(Duration time, const std::function<bool()>& isCancelled)
{
    constexpr Duration kBetweenAsking = std::chrono::milliseconds(100);
    const SystemClock clock;
    const Instant end = clock.now().mono + time;
    Mutex mutex;
    Condition never; // a wait that only time ends
    for (Instant now = clock.now().mono; now < end; now = clock.now().mono) {
        if (isCancelled && isCancelled())
            return false;
        const MutexLock lock(mutex);
        const Duration until = std::min(end, now + kBetweenAsking).sinceStart;
        never.waitUntil(mutex, std::chrono::steady_clock::time_point(until));
    }
    return !isCancelled || !isCancelled();
}

} // namespace penstock::curl
