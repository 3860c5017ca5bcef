// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/s3_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::cache {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kCredentials = "# comment\n"
                                          "[default]\n"
                                          "aws_access_key_id = DEFAULTKEY\n"
                                          "aws_secret_access_key=default/secret+x=\n"
                                          "\n"
                                          "[ work ]\r\n"
                                          "AWS_ACCESS_KEY_ID = WORKKEY\r\n"
                                          "aws_secret_access_key = worksecret\r\n"
                                          "aws_session_token = worktoken==\r\n";

S3Place place(std::string profile = "default")
{
    S3Place made;
    made.bucket = "bucket";
    made.profile = std::move(profile);
    return made;
}

TEST(S3Settings, TakesTheEnvironmentBeforeTheFiles)
{
    AwsSettings settings{.credentials = std::string(kCredentials)};
    EXPECT_EQ(s3CredentialsOf(place(), settings)->accessKey, "DEFAULTKEY");
    EXPECT_EQ(s3CredentialsOf(place(), settings)->secretKey, "default/secret+x=");
    settings.environment = {
        {"AWS_ACCESS_KEY_ID", "ENVKEY"}, {"AWS_SECRET_ACCESS_KEY", "s"}, {"AWS_SESSION_TOKEN", "t"}};
    const auto found = s3CredentialsOf(place(), settings);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->accessKey, "ENVKEY");
    EXPECT_EQ(found->sessionToken, "t");
    EXPECT_EQ(s3CredentialsOf(place("work"), settings)->accessKey, "WORKKEY")
        << "unless the store names a profile";
    EXPECT_EQ(s3CredentialsOf(place("work"), settings)->sessionToken, "worktoken==");
}

TEST(S3Settings, FindsProfilesInSystemdCredentialCredentialsAndConfigInThisOrder)
{
    AwsSettings settings{.environment = {{"AWS_PROFILE", "p"}},
                         .config = "[profile p]\naws_access_key_id=C\naws_secret_access_key=c\n"};
    EXPECT_EQ(s3CredentialsOf(place(), settings)->accessKey, "C");
    settings.credentials = "[p]\naws_access_key_id=B\naws_secret_access_key=b\n";
    EXPECT_EQ(s3CredentialsOf(place(), settings)->accessKey, "B");
    settings.systemd = "[p]\naws_access_key_id=A\naws_secret_access_key=a\n";
    EXPECT_EQ(s3CredentialsOf(place(), settings)->accessKey, "A");
}

TEST(S3Settings, SaysWhatIsMissingWithoutShowingAValue)
{
    const auto messageOf = [](const AwsSettings& settings, const char* profile) {
        const auto found = s3CredentialsOf(place(profile), settings);
        EXPECT_FALSE(found);
        EXPECT_EQ(found.error().code, ErrorCode::Invalid);
        EXPECT_THAT(found.error().message, Not(HasSubstr("hidden")));
        return found ? "" : found.error().message;
    };
    EXPECT_THAT(messageOf({}, "default"), HasSubstr("profile \"default\" is in none of the files"));
    EXPECT_THAT(messageOf({.credentials = std::string(kCredentials)}, "other"),
                HasSubstr("profile \"other\""));
    EXPECT_THAT(messageOf({.config = "[profile r]\nrole_arn = x\n"}, "r"), HasSubstr("role_arn"));
    EXPECT_THAT(messageOf({.environment = {{"AWS_SECRET_ACCESS_KEY", "hidden"}}}, "default"),
                HasSubstr("not both"));
    EXPECT_THAT(messageOf({.credentials = "[p]\naws_access_key_id=hidden\n"}, "p"), HasSubstr("not both"));
    EXPECT_THAT(messageOf({.credentials = "[p]\nhidden\n"}, "p"), HasSubstr("credentials file, line 2"));
    EXPECT_THAT(messageOf({.credentials = "hidden = 1\n"}, "p"), HasSubstr("line 1"));
    EXPECT_THAT(messageOf({.credentials = "[p\n"}, "p"), HasSubstr("line 1"));
    EXPECT_THAT(messageOf({.credentials = "[p]\naws_access_key_id=a\naws_secret_access_key=hid den\n"}, "p"),
                HasSubstr("a blank"));
}

TEST(S3Settings, LooksForFilesWhereAwsToolsDo)
{
    EXPECT_EQ(awsFilesOf({}).credentials, "");
    const AwsFiles usual = awsFilesOf({{"HOME", "/home/p"}, {"CREDENTIALS_DIRECTORY", "/run/credentials/x"}});
    EXPECT_EQ(usual.credentials, "/home/p/.aws/credentials");
    EXPECT_EQ(usual.config, "/home/p/.aws/config");
    EXPECT_EQ(usual.systemd, "/run/credentials/x/aws-credentials");
    const AwsFiles named =
        awsFilesOf({{"HOME", "/h"}, {"AWS_SHARED_CREDENTIALS_FILE", "/c"}, {"AWS_CONFIG_FILE", "/d"}});
    EXPECT_EQ(named.credentials, "/c");
    EXPECT_EQ(named.config, "/d");
}

TEST(S3Settings, AsksAmazonByHostAndOthersByPath)
{
    AwsSettings settings{.environment = {{"AWS_ACCESS_KEY_ID", "k"}, {"AWS_SECRET_ACCESS_KEY", "s"}}};
    S3Place wanted = place();
    wanted.region = "eu-west-1";
    wanted.bufferBytes = 6U << 20U;
    auto options = s3OptionsOf(wanted, settings);
    ASSERT_TRUE(options);
    EXPECT_EQ(options->host, "s3.eu-west-1.amazonaws.com");
    EXPECT_EQ(options->scheme, "https");
    EXPECT_FALSE(options->isPathStyle);
    EXPECT_EQ(options->partBytes, 6U << 20U);
    wanted.bucket = "with.dots";
    EXPECT_TRUE(s3OptionsOf(wanted, settings)->isPathStyle);
    wanted.endpoint = "MinIO.example:443";
    options = s3OptionsOf(wanted, settings);
    EXPECT_EQ(options->host, "minio.example") << "the scheme's own port is not in the Host header";
    EXPECT_TRUE(options->isPathStyle);
    wanted.scheme = "http";
    EXPECT_EQ(s3OptionsOf(wanted, settings)->host, "minio.example:443");
}

TEST(S3Settings, TakesRegionEndpointAndAuthorityFromEnvironmentAndProfile)
{
    AwsSettings settings{
        .environment = {{"AWS_ACCESS_KEY_ID", "k"}, {"AWS_SECRET_ACCESS_KEY", "s"}},
        .config = "[default]\nregion = here\nendpoint_url = http://e:9000/\nca_bundle = /ca.pem\n"};
    auto options = s3OptionsOf(place(), settings);
    ASSERT_TRUE(options) << options.error().message;
    EXPECT_EQ(options->region, "here");
    EXPECT_EQ(options->scheme, "http");
    EXPECT_EQ(options->host, "e:9000");
    EXPECT_EQ(options->http.caFile, "/ca.pem");
    settings.environment.emplace("AWS_REGION", "there");
    settings.environment.emplace("AWS_ENDPOINT_URL", "https://f");
    options = s3OptionsOf(place(), settings);
    EXPECT_EQ(options->region, "there");
    EXPECT_EQ(options->host, "f");
    settings.environment["AWS_ENDPOINT_URL"] = "https://user@f/path";
    EXPECT_EQ(s3OptionsOf(place(), settings).error().code, ErrorCode::Invalid);
}

} // namespace
} // namespace penstock::cache
