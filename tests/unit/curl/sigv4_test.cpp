// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/curl/sigv4.h"

#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::curl {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

// The credentials, time and requests of "Signature Calculations for the Authorization Header" and
// "Authenticating Requests: Using Query Parameters" in the Amazon S3 API Reference.
constexpr WallTime kExampleTime = WallTime::fromMicros(1'369'353'600'000'000); // 2013-05-24T00:00:00Z

SigningScope exampleScope()
{
    return {{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}, "us-east-1"};
}

SignableRequest example(std::string method, std::string path)
{
    return {.method = std::move(method),
            .scheme = "https",
            .host = "examplebucket.s3.amazonaws.com",
            .path = std::move(path),
            .payload = sha256Hex("")};
}

std::string valueOf(const Headers& headers, std::string_view name)
{
    const auto found = std::ranges::find(headers, name, &std::pair<std::string, std::string>::first);
    return found == headers.end() ? "none" : found->second;
}

std::string authorizationOf(const SignableRequest& request)
{
    return valueOf(signRequest(request, exampleScope(), kExampleTime).headers, "Authorization");
}

TEST(SigV4, SignsAmazonsExampleOfAGetWithRange)
{
    SignableRequest request = example("GET", "/test.txt");
    request.headers = {{"Range", "bytes=0-9"}};
    EXPECT_EQ(authorizationOf(request),
              "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
              "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
              "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(SigV4, SignsAmazonsExampleOfAPut)
{
    SignableRequest request = example("PUT", encodePath("/test$file.text"));
    request.headers = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                       {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    request.payload = sha256Hex("Welcome to Amazon S3.");
    EXPECT_THAT(authorizationOf(request),
                EndsWith("Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

TEST(SigV4, SignsAmazonsExampleOfAQueryWithoutValue)
{
    SignableRequest request = example("GET", "/");
    request.query = {{"lifecycle", ""}};
    EXPECT_THAT(authorizationOf(request),
                EndsWith("Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
    EXPECT_THAT(signRequest(request, exampleScope(), kExampleTime).url, EndsWith("/?lifecycle="));
}

TEST(SigV4, SignsAmazonsExampleOfAListInAnyOrderOfTheQuery)
{
    for (const QueryItems& query :
         {QueryItems{{"max-keys", "2"}, {"prefix", "J"}}, {{"prefix", "J"}, {"max-keys", "2"}}}) {
        SignableRequest request = example("GET", "/");
        request.query = query;
        EXPECT_THAT(authorizationOf(request),
                    EndsWith("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
    }
}

TEST(SigV4, PresignsAmazonsExample)
{
    SignableRequest request = example("GET", "/test.txt");
    request.payload.clear();
    const SignedCall call = presignRequest(request, exampleScope(), kExampleTime, std::chrono::hours(24));
    EXPECT_EQ(call.url, "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
                        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
                        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
                        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    EXPECT_TRUE(call.headers.empty());
}

// The expected values of the next two come from an independent signer, s3probe.py.
TEST(SigV4, PresignsWithPinnedBodySessionTokenAndOddCharacters)
{
    SigningScope scope = exampleScope();
    scope.region = "eu-west-1";
    scope.credentials.sessionToken = "tok/en+=";
    const SignedCall call =
        presignRequest({.method = "PUT",
                        .scheme = "http",
                        .host = "bucket.example:9000",
                        .path = encodePath("/b/nar/a b+c:!\u00e9~.nar"),
                        .query = {{"uploadId", "x/y=+ z"}, {"partNumber", "7"}},
                        .headers = {{"Content-Type", "application/x-nix-nar"}, {"If-None-Match", "*"}},
                        .payload = sha256Hex("")},
                       scope, kExampleTime, std::chrono::seconds(60));
    EXPECT_THAT(call.url,
                testing::StartsWith("http://bucket.example:9000/b/nar/a%20b%2Bc%3A%21%C3%A9~.nar?"));
    EXPECT_THAT(call.url, HasSubstr("&X-Amz-Security-Token=tok%2Fen%2B%3D&"));
    EXPECT_THAT(call.url, HasSubstr("content-type%3Bhost%3Bif-none-match%3Bx-amz-content-sha256"));
    EXPECT_THAT(
        call.url,
        EndsWith("&X-Amz-Signature=8c4de8900a228811b9e6770bafaebf2434be678365502017c4b1cc5603d08edf"));
    EXPECT_EQ(valueOf(call.headers, "x-amz-content-sha256"), sha256Hex(""));
}

TEST(SigV4, SignsSessionTokenAndFoldsBlanksInValues)
{
    SigningScope scope = exampleScope();
    scope.credentials.sessionToken = "tok/en+=";
    SignableRequest request = example("PUT", "/k");
    request.headers = {{"Content-Type", "  a   b "}};
    request.payload.clear();
    const SignedCall call = signRequest(request, scope, kExampleTime);
    EXPECT_EQ(valueOf(call.headers, "x-amz-security-token"), "tok/en+=");
    EXPECT_EQ(valueOf(call.headers, "x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
    EXPECT_THAT(valueOf(call.headers, "Authorization"),
                EndsWith("Signature=7e66c017386144a1bf69633ed788acfb8e549239f154835bb3f7e17bc054ee48"));
}

TEST(SigV4, KeepsOnlyUnreservedCharacters)
{
    EXPECT_EQ(encodeQuery("aZ09-._~/ :!+&='#?%\n\u00e9"),
              "aZ09-._~%2F%20%3A%21%2B%26%3D%27%23%3F%25%0A%C3%A9");
    EXPECT_EQ(encodePath("/a//b/../c"), "/a//b/../c");
}

TEST(SigV4, NeverReturnsTheSecretKey)
{
    const SignedCall header = signRequest(example("GET", "/"), exampleScope(), kExampleTime);
    const SignedCall query =
        presignRequest(example("GET", "/"), exampleScope(), kExampleTime, std::chrono::hours(1));
    for (const SignedCall& call : {header, query}) {
        EXPECT_THAT(call.url, testing::Not(HasSubstr("wJalr")));
        for (const auto& [name, value] : call.headers)
            EXPECT_THAT(value, testing::Not(HasSubstr("wJalr"))) << name;
    }
}

} // namespace
} // namespace penstock::curl
