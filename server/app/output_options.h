// SPDX-License-Identifier: GPL-3.0-or-later
// Where outputs go and who signs them: the options, and their checked values. Pure. Invalid names the flag.
#pragma once

#include "server/cache/cache_uri.h"
#include "shared/base/result.h"
#include "shared/config/options.h"
#include "shared/nix/signing.h"

#include <string>
#include <vector>

namespace penstock::app {

struct OutputOptions {
    std::vector<cache::StoreUri> stores; // the first is the one whose presence counts; never empty once read
    std::vector<std::string> keyFiles;   // empty: one in the data directory
    std::vector<nix::PublicKey> trusted; // whose signatures make uploads welcome
    bool lookUp = true;                  // whether what comes in is built already
};

void addOutputOptions(std::vector<config::OptionSpec>& options);
[[nodiscard]] Result<OutputOptions> readOutputOptions(const config::Values& values, const std::string& dataDir,
                                                      const std::string& storeDir);

} // namespace penstock::app
