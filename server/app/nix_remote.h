// SPDX-License-Identifier: GPL-3.0-or-later
// What the environment says of the machine's own Nix store. NIX_REMOTE comes first, as unix://SOCKET?root=DIR or with
// state, store and real, or as a root alone; then Nix's other variables; then where Nix is by default. Pure.
#pragma once

#include "shared/config/options.h"

#include <string>
#include <string_view>

namespace penstock::app {

// Empty: there is no such parameter.
[[nodiscard]] std::string nixRemoteParameter(const config::Environment& environment, std::string_view name);
// Below which its /nix is; empty: /.
[[nodiscard]] std::string nixRoot(const config::Environment& environment);
[[nodiscard]] std::string nixStateDir(const config::Environment& environment);
[[nodiscard]] std::string nixStoreDir(const config::Environment& environment);

} // namespace penstock::app
