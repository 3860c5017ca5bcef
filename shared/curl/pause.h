// SPDX-License-Identifier: GPL-3.0-or-later
// Waiting on a pool thread between two tries. Never on a loop.
#pragma once

#include "shared/base/clock.h"

#include <functional>

namespace penstock::curl {

// False when isCancelled (none: never) said so before the time was over; it is asked about ten times a
// second.
[[nodiscard]] bool pause(Duration time, const std::function<bool()>& isCancelled);

} // namespace penstock::curl
