// SPDX-License-Identifier: GPL-3.0-or-later
// Loop: a thread that runs posted tasks in order and timed tasks when due; the only way from one thread to
// another. post() and postAt() are callable from any thread, also before the loop runs; cancel() and isHere() too.
// Tasks carry values, never raw pointers to objects of another loop.
#pragma once

#include "shared/base/check.h"
#include "shared/base/clock.h"

#include <cstdint>
#include <functional>

namespace penstock {

using Task = std::function<void()>;

struct Loop {
    using TimerId = std::uint64_t;

    virtual ~Loop() = default;
    virtual void post(Task task) = 0;
    // Runs the task once, at or soon after the instant (of SystemClock).
    virtual TimerId postAt(Instant at, Task task) = 0;
    // Nothing happens when it already ran or is unknown.
    virtual void cancel(TimerId timer) = 0;
    [[nodiscard]] virtual bool isHere() const = 0;

    void checkHere() const { PENSTOCK_CHECK(isHere()); }
};

} // namespace penstock
