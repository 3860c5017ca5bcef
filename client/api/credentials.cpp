// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/api/credentials.h"

#include "shared/base/text.h"
#include "shared/config/files.h"

#include <fmt/format.h>

namespace penstock::client {

Result<std::string> readToken(const std::string& path, std::string_view credentialsDirectory)
{
    constexpr std::size_t kMaxTokenBytes = 4096;
    PENSTOCK_TRY(const auto secret, config::readSecretFile(path, credentialsDirectory));
    std::string token(trim(secret));
    if (token.empty() || token.size() > kMaxTokenBytes)
        return fail(ErrorCode::Invalid,
                    fmt::format("token file {}: the token is {} bytes long; it must have 1 to {}", path,
                                token.size(), kMaxTokenBytes));
    // It goes into a header line, so nothing may end that line.
    for (const char c : token)
        if (c <= ' ' || c > '~')
            return fail(
                ErrorCode::Invalid,
                fmt::format("token file {}: it must hold one token on one line, printable ASCII", path));
    return token;
}

} // namespace penstock::client
