// SPDX-License-Identifier: GPL-3.0-or-later
// What the core knows, in the words of HTTP. Pure; those that take a FarmCore run on the core loop.
#pragma once

#include "server/core/farm_core.h"
#include "server/http/views.h"

#include <string>
#include <vector>

namespace penstock::app {

[[nodiscard]] Result<http::JobExplanation> explanationOf(const core::FarmCore& farm, JobId job, std::size_t limit,
                                                         Now now);
[[nodiscard]] std::vector<http::MachineView> machineViews(const core::FarmCore& farm);
// NotFound: no machine "x".
[[nodiscard]] Result<http::MachineView> machineNamed(const core::FarmCore& farm, const std::string& nameOrId);
// Why it would not take another small step now, as a code of few kinds; nothing when it would.
[[nodiscard]] std::optional<http::Closed> closedOf(const core::MachineView& machine);
[[nodiscard]] std::vector<http::QueueView> queueViews(const core::FarmCore& farm);
[[nodiscard]] std::vector<http::ShareView> shareViews(const core::FarmCore& farm, Now now);
[[nodiscard]] std::vector<http::NamespaceView> namespaceViews(const core::FarmCore& farm);
// The one of that name, as it stands, or as it is when nobody has said anything of it.
[[nodiscard]] http::ShareView shareOf(const core::FarmCore& farm, const std::string& group, Now now);
[[nodiscard]] http::NamespaceView namespaceOf(const core::FarmCore& farm, const std::string& name);

} // namespace penstock::app
