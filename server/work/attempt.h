// SPDX-License-Identifier: GPL-3.0-or-later
// The life of one try of a step on one machine: one transition function. Pure, callable from any thread. A cell that
// is not named is refused with Conflict and changes nothing.
//
//   event \ state     Assigned   Running          Ended
//   AttemptAccepted   Running    - (a repeat)     -
//   AttemptRejected   Ended      -                -
//   AttemptOver       Ended      Ended            -
#pragma once

#include "server/work/changes.h"
#include "shared/base/result.h"

#include <string>
#include <variant>

namespace penstock::work {

struct AttemptAccepted {};
struct AttemptRejected {
    std::string error;
};
struct AttemptOver {
    AttemptProgress report; // what is known of it; end is set
};
using AttemptEvent = std::variant<AttemptAccepted, AttemptRejected, AttemptOver>;

[[nodiscard]] Result<AttemptProgress> next(const AttemptProgress& progress, AttemptEvent event, Now now);

} // namespace penstock::work
