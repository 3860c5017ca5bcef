// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/clock.h"

namespace penstock {

Now SystemClock::now() const
{
    using std::chrono::duration_cast;
    return {{duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())},
            {duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch())}};
}

} // namespace penstock
