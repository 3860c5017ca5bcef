// SPDX-License-Identifier: GPL-3.0-or-later
// S3Store against answers that a real server gives only rarely, or only Amazon's does.
#include "server/cache/s3_store.h"

#include "shared/base/mutex.h"
#include "shared/base/text.h"
#include "tests/support/loopback_server.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::cache {
namespace {

using test::LoopbackConnection;
using test::LoopbackServer;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr std::string_view kCut = "cut"; // the connection ends without an answer

std::string answer(std::string_view status, std::string_view body = "", std::string_view headers = "")
{
    return fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(), headers, body);
}
std::string refusal(std::string_view status, std::string_view code, std::string_view headers = "")
{
    return answer(
        status,
        fmt::format("<?xml version=\"1.0\"?><Error><Code>{}</Code><Message>Because.</Message></Error>", code),
        headers);
}
// To HEAD: headers only.
std::string thereIs(std::size_t size, std::string_view etag)
{
    return fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nETag: \"{}\"\r\n\r\n", size, etag);
}
std::string notThere()
{
    return "HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\n";
}

// Gives the answers in turn and keeps the requests; more requests than answers get 418.
class Script {
public:
    explicit Script(std::vector<std::string> answers) : m_answers(std::move(answers)) {}

    S3StoreOptions options()
    {
        S3StoreOptions made;
        made.bucket = "bucket";
        made.scheme = "http";
        made.host = m_server.url("").substr(7);
        made.credentials = {"KEY", "SECRETSECRET", "TOKENTOKEN"};
        made.backOff.initial = made.backOff.cap = std::chrono::milliseconds(1);
        made.backOff.attempts = 3;
        made.random = [] { return 0U; };
        return made;
    }
    // First lines without the protocol.
    std::vector<std::string> requests()
    {
        const MutexLock lock(m_mutex);
        std::vector<std::string> lines;
        for (const std::string& head : m_heads)
            lines.push_back(head.substr(0, head.find(" HTTP/")));
        return lines;
    }
    std::string head(std::size_t index)
    {
        const MutexLock lock(m_mutex);
        return index < m_heads.size() ? m_heads[index] : "";
    }

private:
    void serve(LoopbackConnection& connection)
    {
        for (;;) {
            const std::string head = connection.readHead();
            if (head.empty())
                return;
            if (const std::size_t at = head.find("Content-Length: "); at != std::string::npos)
                (void)connection.readBytes(
                    parseUnsigned(head.substr(at + 16, head.find('\r', at) - at - 16)).value());
            std::string next = answer("418 Unexpected");
            {
                const MutexLock lock(m_mutex);
                if (m_heads.size() < m_answers.size())
                    next = m_answers[m_heads.size()];
                m_heads.push_back(head);
            }
            if (next == kCut)
                return;
            connection.send(next);
            if (next.find("\r\nX-Then: cut\r\n") != std::string::npos)
                return;
        }
    }

    std::vector<std::string> m_answers;
    Mutex m_mutex;
    std::vector<std::string> m_heads;
    LoopbackServer m_server{[this](LoopbackConnection& connection) { serve(connection); }};
};

PutOptions ifAbsent()
{
    PutOptions options;
    options.ifAbsent = true;
    return options;
}

constexpr std::string_view kMd5OfHello = "5d41402abc4b2a76b9719d911017c592";

TEST(S3Scripted, ListsPageByPageWithKeysThatXmlCannotHold)
{
    const std::string head = "\n<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\"><IsTruncated>";
    Script script(
        {answer("200 OK", head +
                              "true</IsTruncated><Contents><Key>nar%2Fa%21</Key></Contents>"
                              "<NextContinuationToken>to+ken/=</NextContinuationToken></ListBucketResult>"),
         answer("200 OK", head +
                              "false</IsTruncated><Contents><Key>nar/b+c%2bd</Key><Size>1</Size></Contents>"
                              "</ListBucketResult>")});
    S3Store store(script.options());
    std::vector<std::string> keys;
    const auto done = store.list("nar/", [&](std::string_view key) {
        keys.emplace_back(key);
        return true;
    });
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_THAT(keys, ElementsAre("nar/a!", "nar/b c+d"));
    EXPECT_THAT(
        script.requests(),
        ElementsAre(
            "GET /bucket/?encoding-type=url&list-type=2&max-keys=1000&prefix=nar%2F",
            "GET /bucket/?continuation-token=to%2Bken%2F%3D&encoding-type=url&list-type=2&max-keys=1000"
            "&prefix=nar%2F"));
}

TEST(S3Scripted, RefusesAListThatIsNone)
{
    for (const char* body : {"", "<html>", "<!DOCTYPE a><a/>",
                             "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"}) {
        Script script({answer("200 OK", body), answer("200 OK", body), answer("200 OK", body)});
        S3Store store(script.options());
        EXPECT_FALSE(store.list("", [](std::string_view) { return true; })) << body;
    }
}

TEST(S3Scripted, CallsAKeyUnknownThatMayNotBeLookedAt)
{
    Script script({"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", notThere()});
    S3Store store(script.options());
    const auto head = store.head("k");
    ASSERT_FALSE(head);
    EXPECT_EQ(head.error().code, ErrorCode::Denied);
    EXPECT_THAT(head.error().message, HasSubstr("not known"));
    const auto second = store.head("k");
    ASSERT_TRUE(second);
    EXPECT_FALSE(*second);
}

TEST(S3Scripted, TriesAgainWhatPassesAndNothingElse)
{
    Script script({refusal("503 Slow Down", "SlowDown"), std::string(kCut), answer("200 OK"),
                   refusal("400 Bad Request", "RequestTimeout"), answer("200 OK"),
                   refusal("400 Bad Request", "InvalidRequest"), refusal("500 Oh", "InternalError"),
                   refusal("500 Oh", "InternalError"), refusal("500 Oh", "InternalError")});
    S3Store store(script.options());
    EXPECT_TRUE(store.putText("a", "x", {}));
    EXPECT_TRUE(store.putText("b", "x", {}));
    const auto refused = store.putText("c", "x", {});
    EXPECT_EQ(refused.error().code, ErrorCode::Invalid);
    EXPECT_THAT(refused.error().message,
                HasSubstr("PUT s3://bucket/c: status 400 InvalidRequest (Because.)"));
    EXPECT_EQ(store.putText("d", "x", {}).error().code, ErrorCode::Unavailable);
    EXPECT_EQ(script.requests().size(), 9U);
}

TEST(S3Scripted, KnowsItsOwnObjectAfterAnAnswerWasLost)
{
    // A connection that curl has kept is tried once more by curl itself, so the first request is on a new
    // one.
    Script ours({std::string(kCut), refusal("412 No", "PreconditionFailed"), thereIs(5, kMd5OfHello)});
    EXPECT_TRUE(S3Store(ours.options()).putText("k", "hello", ifAbsent()));
    Script others({std::string(kCut), refusal("412 No", "PreconditionFailed"),
                   thereIs(5, "0cc175b9c0f1b6a831c399e269772661")});
    EXPECT_EQ(S3Store(others.options()).putText("k", "hello", ifAbsent()).error().code, ErrorCode::Conflict);
    Script sure({refusal("412 No", "PreconditionFailed")});
    EXPECT_EQ(S3Store(sure.options()).putText("k", "hello", ifAbsent()).error().code, ErrorCode::Conflict);
}

TEST(S3Scripted, LooksFirstWhereConditionsAreNotKnown)
{
    Script script({refusal("501 No", "NotImplemented"), notThere(), answer("200 OK"), //
                   refusal("501 No", "NotImplemented"), thereIs(1, "x")});
    S3Store store(script.options());
    EXPECT_TRUE(store.putText("k", "hello", ifAbsent()));
    EXPECT_EQ(store.putText("k", "hello", ifAbsent()).error().code, ErrorCode::Conflict);
    EXPECT_THAT(script.requests(), ElementsAre("PUT /bucket/k", "HEAD /bucket/k", "PUT /bucket/k",
                                               "PUT /bucket/k", "HEAD /bucket/k"));
    EXPECT_THAT(script.head(0), HasSubstr("If-None-Match: *\r\n"));
    EXPECT_THAT(script.head(2), Not(HasSubstr("If-None-Match")));
}

const std::vector<UploadedPart> kTwoParts{{2, "\"b\""}, {1, "\"a\""}};

TEST(S3Scripted, ReadsTheBodyOfACompletionThatSaidOk)
{
    const std::string failed = answer("200 OK", "  \n<Error><Code>InternalError</Code></Error>");
    Script script({notThere(), failed, answer("200 OK", " \n<?xml version=\"1.0\"?><CompleteMultipartUploadResult/>"),
                   notThere(), answer("200 OK", "<Error><Code>EntityTooSmall</Code></Error>"), //
                   notThere(), refusal("404 No", "NoSuchUpload"), thereIs(1, "x")});
    S3Store store(script.options());
    EXPECT_TRUE(store.completeParts("k", "id", kTwoParts));
    EXPECT_EQ(store.completeParts("k", "id", kTwoParts).error().code, ErrorCode::Invalid);
    EXPECT_EQ(store.completeParts("k", "id", kTwoParts).error().code, ErrorCode::NotFound);
    EXPECT_EQ(store.completeParts("k", "id", kTwoParts).error().code, ErrorCode::Conflict) << "never replaced";
}

TEST(S3Scripted, AReadGoesOnWhereItWasCutWhileTheObjectIsTheSame)
{
    const std::string first =
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"e\"\r\nX-Then: cut\r\n\r\n1234";
    Script good({first, "HTTP/1.1 206 Partial\r\nContent-Length: 6\r\nX-Then: cut\r\n\r\n56",
                 answer("206 Partial", "7890")});
    EXPECT_EQ(S3Store(good.options()).getText("k", 100).value(), "1234567890");
    EXPECT_THAT(good.head(1), HasSubstr("Range: bytes=4-\r\n"));
    EXPECT_THAT(good.head(1), HasSubstr("If-Match: \"e\"\r\n"));
    EXPECT_THAT(good.head(2), HasSubstr("Range: bytes=6-\r\n"));

    Script replaced({first, refusal("412 No", "PreconditionFailed")});
    const auto changed = S3Store(replaced.options()).getText("k", 100);
    ASSERT_FALSE(changed);
    EXPECT_EQ(changed.error().code, ErrorCode::Unavailable);
    EXPECT_THAT(changed.error().message, HasSubstr("after 4 bytes"));

    Script whole({first, answer("200 OK", "1234567890")});
    std::string got;
    EXPECT_EQ(S3Store(whole.options())
                  .get("k", {},
                       [&](std::string_view bytes) -> Result<void> {
                           got += bytes;
                           return {};
                       })
                  .error()
                  .code,
              ErrorCode::Invalid);
    EXPECT_EQ(got, "1234") << "nothing twice";
}

TEST(S3Scripted, AnEmptyObjectHasARangeFromItsStart)
{
    Script script(
        {refusal("416 No", "InvalidRange"), refusal("416 No", "InvalidRange"), thereIs(0, "e"), notThere()});
    S3Store store(script.options());
    const ByteSink sink = [](std::string_view) -> Result<void> { return {}; };
    EXPECT_TRUE(store.get("k", {0, 10}, sink));
    EXPECT_EQ(store.get("k", {1, 10}, sink).error().code, ErrorCode::Invalid);
    EXPECT_TRUE(store.get("k", {0, 0}, sink));
    EXPECT_EQ(store.get("k", {0, 0}, sink).error().code, ErrorCode::NotFound);
}

TEST(S3Scripted, NamesTheRegionThatTheServerAsksFor)
{
    Script script({refusal("301 Moved", "PermanentRedirect",
                           "x-amz-bucket-region: eu-west-1\r\nLocation: http://127.0.0.1:1/\r\n")});
    const auto got = S3Store(script.options()).getText("k", 10);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, ErrorCode::Invalid);
    EXPECT_THAT(got.error().message, HasSubstr("the server says eu-west-1"));
}

TEST(S3Scripted, ShowsNoSecretInAnyMessage)
{
    for (const char* status : {"403 Forbidden", "400 Bad", "500 Oh", "301 Moved"}) {
        Script script({refusal(status, "Some"), refusal(status, "Some"), refusal(status, "Some")});
        S3Store store(script.options());
        const std::string message = store.putText("k", "x", {}).error().message + store.describe();
        for (const char* secret : {"SECRETSECRET", "TOKENTOKEN", "Signature="})
            EXPECT_THAT(message, Not(HasSubstr(secret)));
        EXPECT_THAT(script.head(0), HasSubstr("x-amz-security-token: TOKENTOKEN\r\n"));
    }
}

TEST(S3Scripted, ADroppedUploadIsAbortedEvenWhenAPartFailed)
{
    Script script({answer("200 OK", "<R><UploadId>u</UploadId></R>"), refusal("403 No", "AccessDenied"),
                   "HTTP/1.1 204 No Content\r\n\r\n"});
    S3StoreOptions options = script.options();
    options.partBytes = 1000;
    S3Store store(options);
    {
        const auto writer = store.create("k", {});
        Result<void> done = (*writer)->write(std::string(1001, 'x'));
        if (done)
            done = (*writer)->commit();
        ASSERT_FALSE(done);
    }
    const std::vector<std::string> requests = script.requests();
    EXPECT_EQ(requests.front(), "POST /bucket/k?uploads=");
    EXPECT_EQ(requests.back(), "DELETE /bucket/k?uploadId=u");
}

} // namespace
} // namespace penstock::cache
