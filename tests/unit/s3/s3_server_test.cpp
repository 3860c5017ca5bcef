// SPDX-License-Identifier: GPL-3.0-or-later
// S3Store against a real server: what goes wrong in earnest, and uploads by somebody who has only an address.
#include "server/cache/s3_store.h"

#include "shared/base/mutex.h"
#include "shared/curl/http_client.h"
#include "tests/support/s3_fixture.h"

#include <atomic>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>
#include <unistd.h>

namespace penstock::cache {
namespace {

using test::sharedS3;
using testing::HasSubstr;
using testing::Not;

constexpr std::uint64_t kPart = 5U << 20U;
constexpr std::chrono::hours kHour{1};

std::string pattern(std::size_t bytes)
{
    std::string text(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i)
        text[i] = static_cast<char>((i * 31 + i / 251) & 0xFFU);
    return text;
}

S3StoreOptions smallParts()
{
    S3StoreOptions options = sharedS3().newBucket();
    options.partBytes = kPart;
    options.backOff.attempts = 12;
    return options;
}

struct EventLog final : Logger {
    Mutex mutex;
    std::vector<std::string> lines;

    void log(LogLevel, std::string_view event, std::initializer_list<LogField> fields) override
    {
        std::string line(event);
        for (const LogField& field : fields)
            if (const auto* text = std::get_if<std::string>(&field.value))
                line += " " + *text;
        const MutexLock lock(mutex);
        lines.push_back(std::move(line));
    }
};

// The plain curl program with a file as body: what somebody without any of our code would do.
struct Sent {
    std::string status;
    std::string etag;
};
Sent sendByCurl(const SignedRequest& request, const std::string& body)
{
    const std::string file =
        fmt::format("{}/penstock-s3-body-{}", std::filesystem::temp_directory_path().string(), ::getpid());
    std::ofstream(file, std::ios::binary) << body;
    std::vector<std::string> words{"curl", "-sS",       "-T", file,
                                   "-o",   "/dev/null", "-w", "%{http_code} %header{etag}"};
    for (const auto& [name, value] : request.headers) {
        words.emplace_back("-H");
        words.push_back(fmt::format("{}: {}", name, value));
    }
    words.push_back(request.url);
    const test::Ended ended = test::runProgram(words);
    std::filesystem::remove(file);
    return {ended.output.substr(0, 3), ended.output.substr(std::min<std::size_t>(4, ended.output.size()))};
}

TEST(S3Server, TakesAPutFromWhoeverHasTheAddress)
{
    S3Store store(sharedS3().newBucket());
    PutOptions options;
    options.contentType = "application/x-nix-nar";
    options.ifAbsent = true;
    const auto put = store.signPut("nar/a b+c:!x.nar", options, kHour);
    ASSERT_TRUE(put);
    EXPECT_EQ(put->method, "PUT");
    EXPECT_EQ(sendByCurl(*put, "hello").status, "200");
    EXPECT_EQ(store.getText("nar/a b+c:!x.nar", 10).value(), "hello");
    EXPECT_EQ(store.head("nar/a b+c:!x.nar").value()->contentType, "application/x-nix-nar");
    EXPECT_EQ(sendByCurl(*put, "other").status, "412") << "only while it is absent";
    SignedRequest elsewhere = *put;
    elsewhere.url.replace(elsewhere.url.find("x.nar"), 5, "y.nar");
    EXPECT_EQ(sendByCurl(elsewhere, "other").status, "403");
}

TEST(S3Server, TakesPartsFromWhoeverHasTheAddresses)
{
    S3Store store(sharedS3().newBucket());
    const auto upload = store.beginParts("nar/big.nar", {"application/x-nix-nar", "", false, false});
    ASSERT_TRUE(upload) << upload.error().message;
    const std::string first = pattern(kPart);
    std::vector<UploadedPart> parts;
    for (const unsigned number : {2U, 1U}) { // any order
        const auto part = store.signPart("nar/big.nar", *upload, number, kHour);
        ASSERT_TRUE(part);
        const Sent sent = sendByCurl(*part, number == 1 ? first : "tail");
        EXPECT_EQ(sent.status, "200");
        parts.push_back({number, sent.etag});
    }
    EXPECT_FALSE(store.head("nar/big.nar").value());
    auto wrong = parts;
    wrong[0].etag = "\"00000000000000000000000000000000\"";
    const auto refused = store.completeParts("nar/big.nar", *upload, wrong);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::Invalid);
    EXPECT_THAT(refused.error().message, HasSubstr("InvalidPart"));
    ASSERT_TRUE(store.completeParts("nar/big.nar", *upload, parts));
    EXPECT_TRUE(store.getText("nar/big.nar", kPart + 4).value() == first + "tail");
}

TEST(S3Server, RefusesAnAddressThatHasExpired)
{
    S3StoreOptions options = sharedS3().newBucket();
    const curl::SignedCall old = curl::presignRequest(
        {.method = "PUT", .scheme = "http", .host = options.host, .path = "/" + options.bucket + "/k"},
        {options.credentials, options.region}, SystemClock().now().wall + -kHour, std::chrono::seconds(60));
    EXPECT_EQ(sendByCurl({"PUT", old.url, {}}, "x").status, "403");
    EXPECT_FALSE(S3Store(options).head("k").value());
}

TEST(S3Server, PinsTheBodyOfAnAddressThatSaysSo)
{
    S3StoreOptions options = sharedS3().newBucket();
    const curl::SignedCall pinned =
        curl::presignRequest({.method = "PUT",
                              .scheme = "http",
                              .host = options.host,
                              .path = "/" + options.bucket + "/k",
                              .payload = curl::sha256Hex("right")},
                             {options.credentials, options.region}, SystemClock().now().wall, kHour);
    EXPECT_EQ(sendByCurl({"PUT", pinned.url, pinned.headers}, "wrong").status, "400");
    EXPECT_EQ(sendByCurl({"PUT", pinned.url, pinned.headers}, "right").status, "200");
}

TEST(S3Server, SaysDeniedForWrongCredentialsAndNeverAbsent)
{
    S3StoreOptions options = sharedS3().newBucket();
    options.credentials.secretKey = "not/the/secret";
    S3Store store(options);
    const auto head = store.head("nar/x");
    ASSERT_FALSE(head);
    EXPECT_EQ(head.error().code, ErrorCode::Denied);
    const auto got = store.getText("nar/x", 10);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, ErrorCode::Denied);
    EXPECT_THAT(got.error().message, HasSubstr("403 SignatureDoesNotMatch"));
    EXPECT_THAT(got.error().message, HasSubstr("nar/x"));
    EXPECT_THAT(got.error().message, Not(HasSubstr("not/the/secret")));
    EXPECT_EQ(store.putText("nar/x", "x", {}).error().code, ErrorCode::Denied);
}

TEST(S3Server, NamesABucketThatIsMissing)
{
    S3StoreOptions options = sharedS3().newBucket();
    options.bucket += "-none";
    S3Store store(options);
    const auto got = store.getText("k", 10);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, ErrorCode::Invalid) << "not a missing key: the whole store is";
    EXPECT_THAT(got.error().message, HasSubstr("NoSuchBucket"));
    EXPECT_FALSE(store.putText("k", "x", {}));
    EXPECT_FALSE(store.remove("k"));
}

TEST(S3Server, SaysExhaustedAboveTheQuota)
{
    test::S3Server& server = sharedS3();
    server.administer({"user", "create", "--uid=small", "--display-name=s",
                       "--access-key=SMALLKEY0000000000001", "--secret-key=smallsecret"});
    server.administer({"quota", "set", "--quota-scope=user", "--uid=small", "--max-size=1048576"});
    server.administer({"quota", "enable", "--quota-scope=user", "--uid=small"});
    S3StoreOptions options = server.newBucket();
    options.bucket = "small-one";
    options.credentials = {"SMALLKEY0000000000001", "smallsecret"};
    S3Connection connection(options);
    ASSERT_TRUE(connection.call({.method = "PUT"})->isSuccess());
    S3Store store(options);
    EXPECT_TRUE(store.putText("fits", "x", {}));
    const auto done = store.putText("large", pattern(3U << 20U), {});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::Exhausted);
    EXPECT_THAT(done.error().message, HasSubstr("QuotaExceeded"));
}

TEST(S3Server, AnUploadSurvivesACrashOfTheServer)
{
    test::S3Server& server = sharedS3();
    S3Store store(smallParts());
    const std::string text = pattern(6 * kPart + 123);
    const auto writer = store.create("nar/survivor", {});
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->write(std::string_view(text).substr(0, 3 * kPart + 1)));
    server.crash();
    std::thread restarting([&server] { server.restart(); });
    const auto written = (*writer)->write(std::string_view(text).substr(3 * kPart + 1));
    const auto committed = (*writer)->commit();
    restarting.join();
    ASSERT_TRUE(written) << written.error().message;
    ASSERT_TRUE(committed) << committed.error().message;
    EXPECT_TRUE(store.getText("nar/survivor", text.size()).value() == text);
}

TEST(S3Server, AReadGoesOnAfterACrashOfTheServer)
{
    test::S3Server& server = sharedS3();
    S3Store store(smallParts());
    const std::string text = pattern(40U << 20U); // more than sockets and curl hold
    ASSERT_TRUE(store.putText("nar/read", text, {}));
    std::string got;
    bool wasKilled = false;
    const auto done = store.get("nar/read", {}, [&](std::string_view bytes) -> Result<void> {
        if (!wasKilled && got.size() > (1U << 20U)) {
            wasKilled = true;
            server.crash();
            server.restart();
        }
        got += bytes;
        return {};
    });
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_TRUE(wasKilled);
    EXPECT_TRUE(got == text);
}

TEST(S3Server, AHangIsFoundAndPassesWithTheServersReturn)
{
    test::S3Server& server = sharedS3();
    S3StoreOptions options = server.newBucket();
    options.http.stallTime = std::chrono::seconds(1);
    options.backOff.attempts = 2;
    S3Store store(options);
    ASSERT_TRUE(store.putText("k", "x", {}));
    server.freeze();
    const auto hanging = store.head("k");
    const auto put = store.putText("k", "y", {});
    server.thaw();
    ASSERT_FALSE(hanging) << "not known, hence not absent";
    EXPECT_EQ(hanging.error().code, ErrorCode::Unavailable);
    EXPECT_THAT(hanging.error().message, HasSubstr("tried 2 times"));
    ASSERT_FALSE(put);
    EXPECT_EQ(put.error().code, ErrorCode::Unavailable);
    EXPECT_TRUE(store.head("k").value());
}

TEST(S3Server, WaitsAndTriesAgainWhenToldToSlowDown)
{
    test::S3Server& server = sharedS3();
    EventLog events;
    S3StoreOptions options = server.newBucket();
    options.backOff = {
        .initial = std::chrono::milliseconds(20), .cap = std::chrono::milliseconds(200), .attempts = 60};
    options.log = &events;
    server.configure("rgw max concurrent requests = 2", true);
    server.crash();
    server.restart();
    {
        S3Store store(options);
        std::atomic<int> failed{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 8; ++t)
            threads.emplace_back([&, t] {
                for (int i = 0; i < 10; ++i)
                    if (!store.putText(fmt::format("{}/{}", t, i), "x", {}))
                        ++failed;
            });
        for (std::thread& thread : threads)
            thread.join();
        EXPECT_EQ(failed, 0);
    }
    server.configure("rgw max concurrent requests = 2", false);
    server.crash();
    server.restart();
    EXPECT_THAT(events.lines, testing::Contains(testing::AllOf(testing::StartsWith("s3.retry"),
                                                               HasSubstr("503 SlowDown"))));
}

TEST(S3Server, WorksWithASessionTokenAndTakesFreshOnesWhenItExpires)
{
    test::S3Server& server = sharedS3();
    S3StoreOptions options = server.newBucket();
    const curl::AwsCredentials session = server.newSession();
    ASSERT_FALSE(session.sessionToken.empty());
    options.credentials = session;
    S3Store store(options);
    ASSERT_TRUE(store.putText("k", "x", {}));
    const auto put = store.signPut("signed", {}, kHour);
    ASSERT_TRUE(put);
    EXPECT_EQ(sendByCurl(*put, "hello").status, "200");

    options.credentials.sessionToken.clear(); // without its token a session's key is none
    EXPECT_EQ(S3Store(options).head("k").error().code, ErrorCode::Denied);
    int reloads = 0;
    options.reloadCredentials = [&]() -> Result<curl::AwsCredentials> {
        ++reloads;
        return session;
    };
    S3Store reloading(options);
    EXPECT_EQ(reloading.getText("k", 10).value(), "x");
    EXPECT_EQ(reloading.getText("signed", 10).value(), "hello");
    EXPECT_EQ(reloads, 1);
}

TEST(S3Server, LeavesNoUploadBehindAndSweepsThoseOfOthersWhenTheyAreOld)
{
    S3Store store(smallParts());
    {
        const auto writer = store.create("nar/dropped", {});
        ASSERT_TRUE((*writer)->write(pattern(2 * kPart + 1)));
    }
    const Duration all = -kHour; // begun before an hour from now
    EXPECT_EQ(store.abortOldUploads(all).value(), 0U);
    ASSERT_TRUE(store.beginParts("nar/orphan", {}));
    ASSERT_TRUE(store.beginParts("log/orphan", {}));
    ASSERT_TRUE(store.beginParts("strangers", {}));
    EXPECT_EQ(store.abortOldUploads().value(), 0U) << "younger than a day";
    EXPECT_EQ(store.abortOldUploads(all).value(), 2U) << "not what may be somebody else's";
    EXPECT_EQ(store.abortOldUploads(all).value(), 0U);
}

TEST(S3Server, APartUploadDoesNotReplaceWhatCameMeanwhile)
{
    S3Store store(smallParts());
    PutOptions options;
    options.ifAbsent = true;
    const auto writer = store.create("nar/k", options);
    ASSERT_TRUE((*writer)->write(pattern(kPart + 1)));
    ASSERT_TRUE((*writer)->write("more"));
    ASSERT_TRUE(store.putText("nar/k", "first", {}));
    const auto done = (*writer)->commit();
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::Conflict);
    EXPECT_EQ(store.getText("nar/k", 10).value(), "first");
}

TEST(S3Server, RefusesPartsAndUploadsThatCannotBe)
{
    S3Store store(sharedS3().newBucket());
    EXPECT_EQ(store.signPart("k", "id", 0, kHour).error().code, ErrorCode::Invalid);
    EXPECT_EQ(store.signPart("k", "id", 10'001, kHour).error().code, ErrorCode::Invalid);
    EXPECT_TRUE(store.signPart("k", "id", 10'000, kHour));
    EXPECT_EQ(store.signPart("k", "", 1, kHour).error().code, ErrorCode::Invalid);
    EXPECT_EQ(store.signPut("k", {}, std::chrono::hours(24 * 7) + std::chrono::seconds(1)).error().code,
              ErrorCode::Invalid);
    EXPECT_EQ(store.completeParts("k", "id", {}).error().code, ErrorCode::Invalid);
    EXPECT_EQ(store.completeParts("k", "id", {{1, "a"}, {1, "b"}}).error().code, ErrorCode::Invalid);
    EXPECT_EQ(store.completeParts("k", "id", {{1, "a\nb"}}).error().code, ErrorCode::Invalid);
    EXPECT_TRUE(store.abortParts("k", "none-such"));
}

} // namespace
} // namespace penstock::cache
