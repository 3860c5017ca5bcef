// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/s3_settings.h"

#include "shared/base/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <initializer_list>
#include <optional>
#include <utility>

namespace penstock::cache {
namespace {

using Profile = std::map<std::string, std::string>;
using Profiles = std::map<std::string, Profile>;

std::string variable(const AwsEnvironment& environment, const std::string& name)
{
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
}

std::string firstOf(std::initializer_list<std::string> values)
{
    for (const std::string& value : values)
        if (!value.empty())
            return value;
    return {};
}

// "[name]" and, in the config file, "[profile name]"; other kinds of sections have a blank in their name.
Result<Profiles> parseProfiles(std::string_view text, std::string_view file)
{
    Profiles profiles;
    Profile* current = nullptr;
    std::size_t number = 0;
    for (const std::string_view line : split(text, '\n')) {
        ++number;
        const std::string_view content = trim(line);
        if (content.empty() || content.front() == '#' || content.front() == ';')
            continue;
        const auto bad = [&](std::string_view what) {
            return fail(ErrorCode::Invalid, fmt::format("the AWS {} file, line {}: {}", file, number, what));
        };
        if (content.front() == '[') {
            const std::size_t end = content.find(']');
            if (end == std::string_view::npos)
                return bad("a section's name ends with ]");
            std::string_view name = trim(content.substr(1, end - 1));
            if (name.starts_with("profile "))
                name = trim(name.substr(8));
            current = &profiles[std::string(name)];
            continue;
        }
        if (line.front() == ' ' || line.front() == '\t') // a nested setting of a service
            continue;
        const std::size_t equals = content.find('=');
        if (equals == std::string_view::npos)
            return bad("a setting is NAME = VALUE");
        if (current == nullptr)
            return bad("a setting stands before the first [section]");
        (*current)[toLower(trim(content.substr(0, equals)))] = std::string(trim(content.substr(equals + 1)));
    }
    return profiles;
}

std::string profileName(const S3Place& place, const AwsEnvironment& environment)
{
    const std::string named = place.profile == "default" ? std::string() : place.profile;
    return firstOf({named, variable(environment, "AWS_PROFILE"), "default"});
}

struct ProfileFiles {
    Profiles systemd;
    Profiles credentials;
    Profiles config;

    // The first file that has the setting counts.
    [[nodiscard]] std::string setting(const std::string& profile, const std::string& name) const
    {
        for (const Profiles* const file : {&systemd, &credentials, &config})
            if (const auto found = file->find(profile); found != file->end())
                if (const auto value = found->second.find(name); value != found->second.end())
                    return value->second;
        return {};
    }
    [[nodiscard]] bool has(const std::string& profile) const
    {
        return systemd.contains(profile) || credentials.contains(profile) || config.contains(profile);
    }
};

Result<ProfileFiles> filesOf(const AwsSettings& settings)
{
    ProfileFiles files;
    PENSTOCK_TRY(files.systemd, parseProfiles(settings.systemd, "systemd credential"));
    PENSTOCK_TRY(files.credentials, parseProfiles(settings.credentials, "credentials"));
    PENSTOCK_TRY(files.config, parseProfiles(settings.config, "config"));
    return files;
}

Result<void> checkComplete(const curl::AwsCredentials& credentials, std::string_view origin)
{
    const auto isPlain = [](std::string_view text) {
        return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7F; });
    };
    if (credentials.accessKey.empty() || credentials.secretKey.empty())
        return fail(ErrorCode::Invalid,
                    fmt::format("{} has an access key or a secret key, but not both", origin));
    if (!isPlain(credentials.accessKey) || !isPlain(credentials.secretKey) ||
        !isPlain(credentials.sessionToken))
        return fail(ErrorCode::Invalid,
                    fmt::format("the keys of {} hold a blank or a character that keys never have", origin));
    return {};
}

// "https://host:443/" → scheme and "host"; Invalid for anything that has a path.
Result<void> setEndpoint(S3StoreOptions& options, std::string_view url)
{
    for (const std::string_view scheme : {"http", "https"}) {
        const std::string start = fmt::format("{}://", scheme);
        if (!url.starts_with(start))
            continue;
        url.remove_prefix(start.size());
        while (url.ends_with('/'))
            url.remove_suffix(1);
        const std::string_view port = scheme == "http" ? ":80" : ":443";
        if (url.ends_with(port)) // is not sent in the Host header, so it may not be signed
            url.remove_suffix(port.size());
        if (url.empty() || url.find_first_of("/?#@ ") != std::string_view::npos)
            break;
        options.scheme = scheme;
        options.host = toLower(url);
        options.isPathStyle = true;
        return {};
    }
    return fail(ErrorCode::Invalid,
                "an S3 endpoint is http(s)://HOST[:PORT], without path and user; check endpoint= of "
                "the store, AWS_ENDPOINT_URL or endpoint_url");
}

} // namespace

AwsFiles awsFilesOf(const AwsEnvironment& environment)
{
    const std::string home = variable(environment, "HOME");
    const std::string systemd = variable(environment, "CREDENTIALS_DIRECTORY");
    const auto inHome = [&](std::string_view name) {
        return home.empty() ? std::string() : home + std::string(name);
    };
    return {systemd.empty() ? std::string() : systemd + "/aws-credentials",
            firstOf({variable(environment, "AWS_SHARED_CREDENTIALS_FILE"), inHome("/.aws/credentials")}),
            firstOf({variable(environment, "AWS_CONFIG_FILE"), inHome("/.aws/config")})};
}

Result<curl::AwsCredentials> s3CredentialsOf(const S3Place& place, const AwsSettings& settings)
{
    const AwsEnvironment& environment = settings.environment;
    const curl::AwsCredentials direct{variable(environment, "AWS_ACCESS_KEY_ID"),
                                      variable(environment, "AWS_SECRET_ACCESS_KEY"),
                                      variable(environment, "AWS_SESSION_TOKEN")};
    if (place.profile == "default" && (!direct.accessKey.empty() || !direct.secretKey.empty())) {
        PENSTOCK_TRY_VOID(
            checkComplete(direct, "the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"));
        return direct;
    }
    PENSTOCK_TRY(const ProfileFiles files, filesOf(settings));
    const std::string name = profileName(place, environment);
    for (const Profiles* const file : {&files.systemd, &files.credentials, &files.config}) {
        const auto found = file->find(name);
        if (found == file->end() || !found->second.contains("aws_access_key_id"))
            continue;
        const Profile& profile = found->second;
        const auto setting = [&](const char* key) {
            const auto value = profile.find(key);
            return value == profile.end() ? std::string() : value->second;
        };
        curl::AwsCredentials credentials{setting("aws_access_key_id"), setting("aws_secret_access_key"),
                                         setting("aws_session_token")};
        PENSTOCK_TRY_VOID(checkComplete(credentials, fmt::format("the AWS profile \"{}\"", name)));
        return credentials;
    }
    const std::string why = files.has(name)
                                ? "has no aws_access_key_id (role_arn, sso and credential_process are not "
                                  "followed)"
                                : "is in none of the files";
    return fail(ErrorCode::Invalid,
                fmt::format("no credentials for s3://{}: the AWS profile \"{}\" {}; set "
                            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write the profile to "
                            "~/.aws/credentials or the systemd credential aws-credentials",
                            place.bucket, name, why));
}

Result<S3StoreOptions> s3OptionsOf(const S3Place& place, const AwsSettings& settings)
{
    S3StoreOptions options;
    options.bucket = place.bucket;
    options.partBytes = place.bufferBytes;
    PENSTOCK_TRY(options.credentials, s3CredentialsOf(place, settings));
    PENSTOCK_TRY(const ProfileFiles files, filesOf(settings));
    const std::string profile = profileName(place, settings.environment);
    const auto given = [&](const char* name) { return variable(settings.environment, name); };

    options.region = place.region;
    if (place.region == S3Place().region)
        options.region = firstOf({given("AWS_REGION"), given("AWS_DEFAULT_REGION"),
                                  files.setting(profile, "region"), place.region});
    options.http.caFile = firstOf({given("AWS_CA_BUNDLE"), files.setting(profile, "ca_bundle")});
    const std::string endpoint = place.endpoint.empty()
                                     ? firstOf({given("AWS_ENDPOINT_URL_S3"), given("AWS_ENDPOINT_URL"),
                                                files.setting(profile, "endpoint_url")})
                                     : fmt::format("{}://{}", place.scheme, place.endpoint);
    if (!endpoint.empty()) {
        PENSTOCK_TRY_VOID(setEndpoint(options, endpoint));
        return options;
    }
    options.scheme = place.scheme;
    options.host =
        fmt::format("s3.{}.amazonaws.com{}", options.region, options.region.starts_with("cn-") ? ".cn" : "");
    // A dot in the bucket's name does not match Amazon's certificate.
    options.isPathStyle = place.bucket.find('.') != std::string::npos;
    return options;
}

} // namespace penstock::cache
