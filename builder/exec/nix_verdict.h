// SPDX-License-Identifier: GPL-3.0-or-later
// What Nix says of a build, in Penstock's words. Pure.
#pragma once

#include "shared/nixdaemon/daemon_types.h"
#include "shared/protocol/link_values.h"

namespace penstock::builder {

// How a verdict of Nix counts for Penstock (hydra-database 2.1). timedOut: which of the two limits was
// reached.
[[nodiscard]] protocol::Outcome outcomeOf(nixdaemon::BuildStatus status, protocol::Outcome timedOut);
// Of those that count as trouble: whether Nix would say the same again, wherever it is asked.
[[nodiscard]] bool isFinal(nixdaemon::BuildStatus status);

} // namespace penstock::builder
