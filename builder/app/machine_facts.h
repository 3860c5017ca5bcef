// SPDX-License-Identifier: GPL-3.0-or-later
// What this machine tells about itself: options first, then what the probes find. gatherFacts blocks (it starts nix);
// composeFacts is pure.
#pragma once

#include "builder/app/builder_options.h"
#include "builder/probe/machine_probe.h"

#include <optional>
#include <string>
#include <vector>

namespace penstock::builder {

struct GatheredFacts {
    protocol::MachineFacts facts;
    std::optional<nixdaemon::NixFacts> nix; // when the executor nix is offered
    std::vector<std::string> notes;         // for the log: what was asked for and is not here
};

[[nodiscard]] GatheredFacts gatherFacts(const BuilderOptions& options);
[[nodiscard]] GatheredFacts composeFacts(const BuilderOptions& options, const Hardware& hardware,
                                         Result<nixdaemon::NixFacts> nix, const std::string& nativeSystem);

} // namespace penstock::builder
