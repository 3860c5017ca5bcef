// SPDX-License-Identifier: GPL-3.0-or-later
// Reading small files whole, and secrets with their checks. Blocking, for start-up and reload only. Failures:
// NotFound, Denied (permissions), Exhausted (too large), Invalid (not a regular file, empty), Unavailable.
#pragma once

#include "shared/base/result.h"

#include <cstddef>
#include <string>
#include <string_view>

namespace penstock::config {

inline constexpr std::size_t kMaxSecretBytes = 64 * 1024;

// Not more than limit bytes; stops at limit + 1, whatever the file's size says.
[[nodiscard]] Result<std::string> readTextFile(const std::string& path, std::size_t limit);

// A token, password or key: a regular file (links are followed) that belongs to this user or root and that
// neither group nor others can reach; at most kMaxSecretBytes; one trailing newline is cut off.
// credentialsDirectory is systemd's $CREDENTIALS_DIRECTORY (empty when unset): a bare file name that exists
// there is taken from there, and root's files there may be readable by the group, as systemd makes them so by
// an ACL.
[[nodiscard]] Result<std::string> readSecretFile(const std::string& path,
                                                 std::string_view credentialsDirectory = {});

} // namespace penstock::config
