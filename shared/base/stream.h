// SPDX-License-Identifier: GPL-3.0-or-later
// How bytes stream between parts that do not know each other: a sink is handed pieces, a source is asked for them.
// Called on the thread of whoever moves the bytes; both may block there. An error ends the transfer and is its error.
#pragma once

#include "shared/base/result.h"

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>

namespace penstock {

// The view is valid during the call only.
using ByteSink = std::function<Result<void>(std::string_view)>;
// Fills a part of the buffer and says how much; 0 is the end. Never more than asked for.
using ByteSource = std::function<Result<std::size_t>(std::span<char>)>;

} // namespace penstock
