// SPDX-License-Identifier: GPL-3.0-or-later
// Which errors may pass by themselves, so that waiting and asking again can help. Pure, callable from any thread.
#pragma once

#include "shared/base/result.h"

namespace penstock {

// True for Unavailable, Exhausted, Timeout and Cancelled.
[[nodiscard]] bool isPassing(const Error& error);

} // namespace penstock
