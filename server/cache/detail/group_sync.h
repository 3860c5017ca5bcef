// SPDX-License-Identifier: GPL-3.0-or-later
// GroupSync: makes directories durable for several threads at once: who arrives while a sync of the same
// directory runs shares the next one. Any thread.
#pragma once

#include "shared/base/mutex.h"
#include "shared/base/result.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace penstock::cache::detail {

class GroupSync {
public:
    explicit GroupSync(std::function<Result<void>(const std::string& directory)> syncNow)
        : m_syncNow(std::move(syncNow))
    {}
    // What was changed in the directory before the call is durable when it returns.
    [[nodiscard]] Result<void> sync(const std::string& directory);

private:
    struct Round {
        std::uint64_t asked = 0;   // callers so far
        std::uint64_t covered = 0; // callers whose changes a finished sync holds
        std::uint64_t waiting = 0;
        bool running = false;
        std::uint64_t failedUpTo = 0; // the newest failed sync held these
        Error error{ErrorCode::Internal, {}};
    };

    const std::function<Result<void>(const std::string&)> m_syncNow;
    Mutex m_mutex;
    Condition m_changed;
    std::map<std::string, Round> m_rounds PENSTOCK_GUARDED_BY(m_mutex); // of directories somebody waits for
};

} // namespace penstock::cache::detail
