// SPDX-License-Identifier: GPL-3.0-or-later
// The stores that remoteStoreAddr names, the key of Hydra's queue runner: what is understood of it, and in which order
// they count for a Hydra. Pure.
#pragma once

#include "server/cache/cache_uri.h"
#include "shared/base/result.h"
#include "shared/config/option_spec.h"
#include "shared/config/values.h"

#include <string>
#include <vector>

namespace penstock::app {

struct HydraStores {
    std::vector<cache::StoreUri> stores; // as listed
    std::vector<std::string> notes;      // what is left out, or taken as something else, and why
};

void addHydraStores(std::vector<config::OptionSpec>& options);
// Empty where the key is not there, or where stores are named by our own option. Invalid: the key and what is wrong.
[[nodiscard]] Result<HydraStores> readHydraStores(const config::Values& values);
// The first is whose presence counts: as with Hydra's runner the first bucket; without one the machine's own store,
// which outputs then go to as well. All others get copies.
[[nodiscard]] std::vector<cache::StoreUri> asHydraCounts(std::vector<cache::StoreUri> stores);

} // namespace penstock::app
