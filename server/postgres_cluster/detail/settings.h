// SPDX-License-Identifier: GPL-3.0-or-later
// The configuration files of the private cluster, as text. Pure.
#pragma once

#include <string>
#include <string_view>

namespace penstock::postgres_cluster {

// postgresql.conf, rewritten at every start. The operator's own settings go to postgresql.local.conf beside it.
[[nodiscard]] std::string serverSettings(std::string_view directory, std::string_view socketDirectory);
// pg_hba.conf: whoever can reach the socket may connect; its directory is closed to others.
[[nodiscard]] std::string accessRules();

} // namespace penstock::postgres_cluster
