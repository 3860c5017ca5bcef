// SPDX-License-Identifier: GPL-3.0-or-later
// The builder's options: the table of flags, and the values checked across each other. Errors are Invalid (usage) or
// those of reading the token file.
#pragma once

#include "builder/link/server_link.h"
#include "builder/probe/features.h"
#include "shared/base/result.h"
#include "shared/config/options.h"
#include "shared/tls/trust.h"

#include <optional>
#include <string>
#include <vector>

namespace penstock::builder {

struct BuilderOptions {
    LinkSettings link;
    tls::TrustFiles trust;
    std::string name;
    std::string workDirectory;
    std::optional<std::vector<std::string>> systems;   // nothing: what the probe finds
    std::optional<std::vector<std::string>> features;
    std::optional<std::vector<std::string>> executors;
    std::vector<std::string> mandatoryFeatures;
    std::vector<std::string> tags;
    std::vector<std::string> users;
    std::uint32_t maxJobs = 0; // 0: cores
    double speedFactor = 1;
    protocol::Thresholds thresholds;
    std::map<std::string, std::uint64_t> resources;
    NixPlace nix;
    bool substitute = false;    // the daemon may ask its own substituters first
    std::uint32_t transfers = 4; // store paths at a time, each way
    Duration drainTimeout{0};
};

[[nodiscard]] config::ProgramSpec builderProgram();
[[nodiscard]] Result<BuilderOptions> readBuilderOptions(const config::Values& values,
                                                        const config::Environment& environment, bool isRoot);

} // namespace penstock::builder
