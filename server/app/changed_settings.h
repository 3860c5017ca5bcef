// SPDX-License-Identifier: GPL-3.0-or-later
// What SIGHUP finds in the configuration file that differs from what the server runs with. Reads that file; nothing is
// applied.
#pragma once

#include "shared/base/result.h"
#include "shared/config/options.h"

#include <span>
#include <string>
#include <vector>

namespace penstock::app {

struct ChangedSetting {
    std::string name;   // of the option
    std::string origin; // where its new value is from; "--NAME": there is none any more
};

// arguments and environment are those of the start. Errors are those of a start with the file as it is now.
[[nodiscard]] Result<std::vector<ChangedSetting>> changedSettings(std::span<const std::string> arguments,
                                                                  const config::Environment& environment,
                                                                  const config::Values& running);

} // namespace penstock::app
