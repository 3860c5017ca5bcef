// SPDX-License-Identifier: GPL-3.0-or-later
// The access token from its file. Denied when others may read the file, NotFound or Invalid when there is no
// token in it. Reads one small file; callable from any thread.
#pragma once

#include "shared/base/result.h"

#include <string>
#include <string_view>

namespace penstock::client {

// credentialsDirectory: systemd's $CREDENTIALS_DIRECTORY, or empty.
[[nodiscard]] Result<std::string> readToken(const std::string& path, std::string_view credentialsDirectory);

} // namespace penstock::client
