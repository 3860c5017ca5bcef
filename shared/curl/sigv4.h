// SPDX-License-Identifier: GPL-3.0-or-later
// AWS Signature Version 4 for S3: one signer for requests of our own (header form) and for addresses given to
// others (query form, "presigned"). Pure: time and credentials are passed in. Nothing here fails; secrets are
// in nothing it returns but the session token, which S3 wants sent.
#pragma once

#include "shared/base/clock.h"
#include "shared/curl/http_client.h"

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::curl {

struct AwsCredentials {
    std::string accessKey;
    std::string secretKey;
    std::string sessionToken = {}; // empty: keys that last
};

struct SigningScope {
    AwsCredentials credentials;
    std::string region;
    std::string service = "s3";
};

using QueryItems = std::vector<std::pair<std::string, std::string>>; // not encoded

inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";

struct SignableRequest {
    std::string method;
    std::string scheme; // https
    std::string host;   // as the Host header has it: with the port, unless it is the scheme's own
    std::string path;   // encoded: encodePath(…)
    QueryItems query = {};
    Headers headers = {};     // all are signed and must then be sent as they are
    std::string payload = {}; // the body's SHA-256 in hex; empty: unsigned
};

// Everything but A-Z a-z 0-9 - . _ ~ as %XX; a path keeps its slashes.
[[nodiscard]] std::string encodeQuery(std::string_view text);
[[nodiscard]] std::string encodePath(std::string_view text);
[[nodiscard]] std::string sha256Hex(std::string_view bytes);

struct SignedCall {
    std::string url;
    Headers headers; // all that must be sent
};

// Signature in the Authorization header; adds x-amz-date, x-amz-content-sha256 and x-amz-security-token.
[[nodiscard]] SignedCall signRequest(const SignableRequest& request, const SigningScope& scope, WallTime now);
// Signature in the query. A payload that is given is pinned: the receiver of the address must send that body.
// S3 takes 1 s to 7 days.
[[nodiscard]] SignedCall presignRequest(const SignableRequest& request, const SigningScope& scope,
                                        WallTime now, std::chrono::seconds expiry);

} // namespace penstock::curl
