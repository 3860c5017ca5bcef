// SPDX-License-Identifier: GPL-3.0-or-later
// The part of penstock-server's options that tunes the scheduler: order of steps and machines, shares, retries,
// quarantine. The names and words of Hydra's queue runner are accepted in the file. Pure.
#pragma once

#include "server/core/options.h"
#include "shared/base/result.h"
#include "shared/config/option_spec.h"
#include "shared/config/values.h"

#include <vector>

namespace penstock::app {

void addSchedulingOptions(std::vector<config::OptionSpec>& options);
// Invalid: names the options that contradict each other, and their values.
[[nodiscard]] Result<core::CoreOptions> readSchedulingOptions(const config::Values& values);

} // namespace penstock::app
