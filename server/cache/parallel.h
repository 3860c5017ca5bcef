// SPDX-License-Identifier: GPL-3.0-or-later
// parallelFor: the same work on many items by a few threads, for stores where an item is one wait. The
// caller's thread takes part and returns when all have ended. After the first error no new item begins; the
// error of the lowest item is the answer.
#pragma once

#include "shared/base/result.h"

#include <cstddef>
#include <functional>

namespace penstock::cache {

[[nodiscard]] Result<void> parallelFor(std::size_t count, std::size_t threads,
                                       const std::function<Result<void>(std::size_t)>& work);

} // namespace penstock::cache
