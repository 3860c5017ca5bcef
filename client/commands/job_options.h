// SPDX-License-Identifier: GPL-3.0-or-later
// The flags that describe a job, and the job object (interface.md section 4) they come to. Pure.
#pragma once

#include "client/app/invocation.h"
#include "shared/config/option_spec.h"
#include "shared/config/values.h"

#include <QJsonObject>
#include <string>
#include <vector>

namespace penstock::client {

// --name, --priority, --timeout, …: for any job.
[[nodiscard]] std::vector<config::OptionSpec> commonJobOptions();
// --env, --shell, --cpus, …: for commands only, with the common ones.
[[nodiscard]] std::vector<config::OptionSpec> commandJobOptions();

[[nodiscard]] Result<QJsonObject> commonJob(const Globals& globals, const config::Values& values);
// words: the command; one word with --shell is a script for that shell.
[[nodiscard]] Result<QJsonObject> commandJob(const Globals& globals, const config::Values& values,
                                             const std::vector<std::string>& words);

} // namespace penstock::client
