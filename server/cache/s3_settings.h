// SPDX-License-Identifier: GPL-3.0-or-later
// Whose credentials a store in S3 uses, and how its server is reached: from the store's URI, the AWS_*
// variables and the profiles that AWS tools keep. Pure: who composes the program reads environment and files.
// Static keys and session tokens only. Errors: Invalid, naming file, line, profile and what is missing, never
// a value.
#pragma once

#include "server/cache/cache_uri.h"
#include "server/cache/s3_connection.h"
#include "shared/base/result.h"

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace penstock::cache {

using AwsEnvironment = std::map<std::string, std::string, std::less<>>; // as config::Environment

// Where to look; a file that is not there is an empty text. Empty paths: nowhere.
struct AwsFiles {
    std::string systemd;     // $CREDENTIALS_DIRECTORY/aws-credentials
    std::string credentials; // $AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials
    std::string config;      // $AWS_CONFIG_FILE or ~/.aws/config
};
[[nodiscard]] AwsFiles awsFilesOf(const AwsEnvironment& environment);

struct AwsSettings {
    AwsEnvironment environment =
        {}; // AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE, …
    // The texts of AwsFiles, the first that has the profile's keys counts.
    std::string systemd = {};
    std::string credentials = {};
    std::string config = {};
};

// The URI's profile, unless it is "default"; else the environment's keys; else the profile AWS_PROFILE or
// "default".
[[nodiscard]] Result<curl::AwsCredentials> s3CredentialsOf(const S3Place& place, const AwsSettings& settings);

// What of the region, endpoint and authority the URI leaves at its default comes from AWS_REGION,
// AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_CA_BUNDLE, or region, endpoint_url and
// ca_bundle of the profile. An endpoint of one's own is asked with the bucket in the path, Amazon's with the
// bucket in the host's name.
[[nodiscard]] Result<S3StoreOptions> s3OptionsOf(const S3Place& place, const AwsSettings& settings);

} // namespace penstock::cache
