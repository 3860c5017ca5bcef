// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/curl/http_client.h"

#include "shared/base/cancel.h"
#include "tests/support/loopback_server.h"

#include <chrono>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::curl {
namespace {

using test::LoopbackConnection;
using test::LoopbackServer;
using testing::HasSubstr;
using testing::Not;

std::string answer(std::string_view body, std::string_view status = "200 OK", std::string_view headers = "")
{
    return fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(), headers, body);
}

std::chrono::steady_clock::time_point now()
{
    return std::chrono::steady_clock::now();
}

HttpClientOptions impatient()
{
    HttpClientOptions options;
    options.stallTime = std::chrono::seconds(2);
    return options;
}

// Gives the text in pieces of at most 1000 bytes.
ByteSource sourceOf(std::string text)
{
    return
        [text = std::move(text), at = std::size_t{0}](std::span<char> buffer) mutable -> Result<std::size_t> {
            const std::size_t size = std::min({buffer.size(), text.size() - at, std::size_t{1000}});
            std::copy_n(text.data() + at, size, buffer.data());
            at += size;
            return size;
        };
}

TEST(HttpClient, ReadsStatusHeadersAndBodyAndKeepsTheConnection)
{
    LoopbackServer server([](LoopbackConnection& connection) {
        while (!connection.readHead().empty())
            connection.send(answer("hello", "200 OK", "X-Thing:  a b \r\n"));
    });
    HttpClient client({});
    for (int i = 0; i < 3; ++i) {
        const Result<HttpResponse> got = client.perform({.url = server.url("/x")});
        ASSERT_TRUE(got) << got.error().message;
        EXPECT_EQ(got->status, 200U);
        EXPECT_EQ(got->body, "hello");
        ASSERT_NE(got->header("x-thing"), nullptr);
        EXPECT_EQ(*got->header("x-thing"), "a b");
        EXPECT_EQ(got->header("x-other"), nullptr);
    }
    EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClient, SendsPathHeadersAndEmptyHeadersAsGiven)
{
    std::string head;
    LoopbackServer server([&](LoopbackConnection& connection) {
        head = connection.readHead();
        connection.send(answer(""));
    });
    const Result<HttpResponse> got = HttpClient({}).perform(
        {.url = server.url("/a/../%3A!?q=%2F"), .headers = {{"X-One", "1"}, {"X-Empty", ""}}});
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_THAT(head, testing::StartsWith("GET /a/../%3A!?q=%2F HTTP/1.1\r\n"));
    EXPECT_THAT(head, HasSubstr("\r\nX-One: 1\r\n"));
    EXPECT_THAT(head, HasSubstr("\r\nX-Empty:\r\n"));
}

TEST(HttpClient, RefusesHeadersThatWouldSmuggleOthers)
{
    const Result<HttpResponse> got =
        HttpClient({}).perform({.url = "http://127.0.0.1:1/", .headers = {{"X", "a\r\nY: b"}}});
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, ErrorCode::Invalid);
}

TEST(HttpClient, StreamsTheBodyOfASuccessAndKeepsThatOfAFailure)
{
    LoopbackServer server([](LoopbackConnection& connection) {
        (void)connection.readHead();
        connection.send(answer("good"));
        (void)connection.readHead();
        connection.send(answer("bad", "503 Busy"));
    });
    HttpClient client({});
    std::string streamed;
    unsigned headSeen = 0;
    const ByteSink sink = [&](std::string_view bytes) -> Result<void> {
        streamed += bytes;
        return {};
    };
    HttpRequest request{.url = server.url()};
    request.onHead = [&](const HttpResponse& head) -> Result<void> {
        EXPECT_TRUE(streamed.empty());
        headSeen = head.status;
        return {};
    };
    Result<HttpResponse> got = client.perform(request, sink);
    ASSERT_TRUE(got);
    EXPECT_EQ(streamed, "good");
    EXPECT_EQ(got->body, "");
    EXPECT_EQ(headSeen, 200U);
    got = client.perform(request, sink);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->status, 503U);
    EXPECT_EQ(got->body, "bad");
    EXPECT_EQ(streamed, "good");
    EXPECT_EQ(headSeen, 200U);
}

TEST(HttpClient, SendsSmallBodiesWithoutExpectAndBigOnesWithIt)
{
    std::string head;
    std::size_t received = 0;
    constexpr std::size_t kBig = 3U << 20U;
    LoopbackServer server([&](LoopbackConnection& connection) {
        head = connection.readHead();
        received = connection.readBytes(5).size();
        connection.send(answer(""));
        head = connection.readHead();
        connection.send("HTTP/1.1 100 Continue\r\n\r\n");
        received = connection.readBytes(kBig).size();
        connection.send(answer("", "201 Created"));
        head = connection.readHead();
        connection.send(answer("go away", "403 Forbidden"));
    });
    HttpClient client({});
    ASSERT_TRUE(
        client.perform({.method = "PUT", .url = server.url(), .source = sourceOf("12345"), .size = 5}));
    EXPECT_THAT(head, HasSubstr("Content-Length: 5\r\n"));
    EXPECT_THAT(head, Not(HasSubstr("Expect")));
    EXPECT_EQ(received, 5U);
    Result<HttpResponse> got = client.perform(
        {.method = "PUT", .url = server.url(), .source = sourceOf(std::string(kBig, 'x')), .size = kBig});
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(got->status, 201U);
    EXPECT_EQ(received, kBig);
    EXPECT_THAT(head, HasSubstr("Expect: 100-continue\r\n"));
    bool wasAsked = false;
    const ByteSource never = [&](std::span<char>) -> Result<std::size_t> {
        wasAsked = true;
        return std::size_t{0};
    };
    got = client.perform({.method = "PUT", .url = server.url(), .source = never, .size = kBig});
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(got->status, 403U);
    EXPECT_EQ(got->body, "go away");
    EXPECT_FALSE(wasAsked) << "refused before a byte was sent";
}

TEST(HttpClient, SendsABodyOfUnknownLengthInChunks)
{
    std::string head;
    std::string body;
    LoopbackServer server([&](LoopbackConnection& connection) {
        head = connection.readHead();
        connection.send("HTTP/1.1 100 Continue\r\n\r\n");
        body = connection.readBytes(3 + 5 + 2 + 5);
        connection.send(answer(""));
    });
    ASSERT_TRUE(HttpClient({}).perform({.method = "PUT", .url = server.url(), .source = sourceOf("12345")}));
    EXPECT_THAT(head, HasSubstr("Transfer-Encoding: chunked\r\n"));
    EXPECT_EQ(body, "5\r\n12345\r\n0\r\n\r\n");
}

TEST(HttpClient, RefusesABodyThatIsNotAsLongAsAnnounced)
{
    LoopbackServer server([](LoopbackConnection& connection) { connection.waitForPeerToLeave(); });
    HttpClient client({});
    for (const std::uint64_t size : {std::uint64_t{4}, std::uint64_t{6}, std::uint64_t{2U << 20U}}) {
        const Result<HttpResponse> got = client.perform({.method = "PUT",
                                                         .url = server.url(),
                                                         .headers = {{"Expect", ""}},
                                                         .source = sourceOf("12345"),
                                                         .size = size});
        ASSERT_FALSE(got);
        EXPECT_EQ(got.error().code, ErrorCode::Invalid) << got.error().message;
        EXPECT_THAT(got.error().message, HasSubstr(fmt::format("{} bytes announced", size)));
    }
}

TEST(HttpClient, SendsASmallBodyAnewWhenTheKeptConnectionWasDead)
{
    std::string body;
    LoopbackServer server([&](LoopbackConnection& connection) {
        (void)connection.readHead();
        (void)connection.readBytes(5);
        if (connection.number() == 1) {
            connection.send(answer("1"));
            (void)connection.readHead(); // the second request, left without an answer
            return;
        }
        connection.send(answer("2"));
    });
    HttpClient client({});
    for (const std::string_view expected : {"1", "2"}) {
        const Result<HttpResponse> got =
            client.perform({.method = "PUT", .url = server.url(), .source = sourceOf("12345"), .size = 5});
        ASSERT_TRUE(got) << got.error().message;
        EXPECT_EQ(got->body, expected);
    }
}

TEST(HttpClient, ReturnsTheErrorOfSinkAndSource)
{
    LoopbackServer server([](LoopbackConnection& connection) {
        (void)connection.readHead();
        connection.send(answer("hello"));
        connection.waitForPeerToLeave();
    });
    HttpClient client({});
    Result<HttpResponse> got = client.perform({.url = server.url()}, [](std::string_view) -> Result<void> {
        return fail(ErrorCode::Corrupt, "my sink");
    });
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error(), (Error{ErrorCode::Corrupt, "my sink"}));
    got = client.perform({.method = "PUT",
                          .url = server.url(),
                          .headers = {{"Expect", ""}},
                          .source = [](std::span<char>) -> Result<std::size_t> {
                              return fail(ErrorCode::Conflict, "my source");
                          }});
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error(), (Error{ErrorCode::Conflict, "my source"}));
}

TEST(HttpClient, EndsAnAnswerAboveItsLimit)
{
    LoopbackServer server([](LoopbackConnection& connection) {
        while (!connection.readHead().empty())
            connection.send(answer("12345"));
    });
    HttpClient client({});
    EXPECT_TRUE(client.perform({.url = server.url(), .maxAnswerBytes = 5}));
    const Result<HttpResponse> got = client.perform({.url = server.url(), .maxAnswerBytes = 4});
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, ErrorCode::Exhausted);
    EXPECT_THAT(got.error().message, HasSubstr("exceeds 4 bytes"));
}

TEST(HttpClient, NeverShowsTheQueryOfAnAddress)
{
    std::string url;
    {
        const LoopbackServer gone([](LoopbackConnection&) {});
        url = gone.url("/key?X-Amz-Signature=secret");
    }
    const Result<HttpResponse> got = HttpClient({}).perform({.url = url});
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, ErrorCode::Unavailable);
    EXPECT_THAT(got.error().message, HasSubstr("/key"));
    EXPECT_THAT(got.error().message, Not(HasSubstr("secret")));
}

TEST(HttpClient, CallsAnAnswerCutShortUnavailable)
{
    LoopbackServer server([](LoopbackConnection& connection) {
        (void)connection.readHead();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
    });
    const Result<HttpResponse> got = HttpClient({}).perform({.url = server.url()});
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, ErrorCode::Unavailable) << got.error().message;
}

TEST(HttpClient, FindsThatAServerHangs)
{
    LoopbackServer server([](LoopbackConnection& connection) {
        (void)connection.readHead();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
        connection.waitForPeerToLeave();
    });
    const auto start = now();
    const Result<HttpResponse> got = HttpClient(impatient()).perform({.url = server.url()});
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, ErrorCode::Unavailable);
    EXPECT_THAT(got.error().message, HasSubstr("for 2 s"));
    EXPECT_LT(now() - start, std::chrono::seconds(30));
}

Result<HttpResponse> sendWithoutEnd(HttpClient& client, std::string url)
{
    return client.perform(
        {.method = "PUT", .url = std::move(url), .source = [](std::span<char> into) -> Result<std::size_t> {
             std::fill(into.begin(), into.end(), 'x');
             return into.size();
         }});
}

void leaveInTheMiddleOfABody(LoopbackConnection& connection)
{
    connection.send("HTTP/1.1 100 Continue\r\n\r\n");
    (void)connection.readBytes(1000);
    connection.finishSending();
    connection.waitForError();
}

// libcurl goes on sending to a server that has closed its side, for as long as somebody keeps the other one open.
TEST(HttpClient, SeesThatTheServerLeftInTheMiddleOfABody)
{
    LoopbackServer server([](LoopbackConnection& connection) {
        (void)connection.readHead();
        leaveInTheMiddleOfABody(connection);
    });
    std::string url = server.url();
    // "localhost" may first be tried on ::1, where nobody listens: a socket that is opened and closed again.
    for (const std::string_view host : {"127.0.0.1", "localhost"}) {
        HttpClient client({});
        const auto start = now();
        const Result<HttpResponse> got =
            sendWithoutEnd(client, "http://" + std::string(host) + url.substr(url.rfind(':')));
        ASSERT_FALSE(got);
        EXPECT_EQ(got.error().code, ErrorCode::Unavailable);
        EXPECT_THAT(got.error().message, HasSubstr("closed the connection"));
        EXPECT_LT(now() - start, std::chrono::seconds(30)); // not by the stall watch
    }
}

TEST(HttpClient, SeesThatTheServerLeftAKeptConnectionInTheMiddleOfABody)
{
    LoopbackServer server([](LoopbackConnection& connection) {
        (void)connection.readHead();
        connection.send(answer("kept"));
        if (connection.number() == 1)
            return connection.waitForPeerToLeave();
        (void)connection.readHead();
        leaveInTheMiddleOfABody(connection);
    });
    HttpClient client({});
    HttpClient other({}); // its connection stays as it is
    ASSERT_TRUE(other.perform({.url = server.url()}));
    ASSERT_TRUE(client.perform({.url = server.url()}));
    const auto start = now();
    const Result<HttpResponse> got = sendWithoutEnd(client, server.url());
    ASSERT_FALSE(got);
    EXPECT_THAT(got.error().message, HasSubstr("closed the connection"));
    EXPECT_LT(now() - start, std::chrono::seconds(30));
    EXPECT_EQ(server.connections(), 2);
}

TEST(HttpClient, DoesNotBlameTheServerForASlowSink)
{
    LoopbackServer server([](LoopbackConnection& connection) {
        (void)connection.readHead();
        connection.send(answer("12345"));
    });
    HttpClientOptions options;
    options.stallTime = std::chrono::seconds(1);
    const Result<HttpResponse> got =
        HttpClient(options).perform({.url = server.url()}, [](std::string_view) -> Result<void> {
            const auto start = now();
            while (now() - start < std::chrono::milliseconds(1500)) {
            }
            return {};
        });
    EXPECT_TRUE(got) << got.error().message;
}

TEST(HttpClient, StopsWithinAboutASecondWhenCancelled)
{
    const CancelToken token;
    LoopbackServer server([&](LoopbackConnection& connection) {
        (void)connection.readHead();
        token.cancel();
        connection.waitForPeerToLeave();
    });
    HttpClientOptions options;
    options.isCancelled = [token] { return token.isCancelled(); };
    const auto start = now();
    const Result<HttpResponse> got = HttpClient(options).perform({.url = server.url()});
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, ErrorCode::Cancelled);
    EXPECT_LT(now() - start, std::chrono::seconds(20)); // about 1 s on an idle machine
}

TEST(HttpClient, FollowsRedirectsOfReadsOnlyAndToTheSameSchemeOnly)
{
    LoopbackServer server([](LoopbackConnection& connection) {
        for (std::string head = connection.readHead(); !head.empty(); head = connection.readHead()) {
            if (head.find(" /there ") != std::string::npos)
                connection.send(answer("arrived"));
            else if (head.find(" /file ") != std::string::npos)
                connection.send(answer("x", "302 Found", "Location: file:///etc/passwd\r\n"));
            else if (head.find(" /round ") != std::string::npos)
                connection.send(answer("x", "302 Found", "Location: /round\r\n"));
            else
                connection.send(answer("moved", "307 Moved", "Location: /there\r\n"));
        }
    });
    HttpClient client({});
    EXPECT_EQ(client.perform({.url = server.url("/here")})->body, "arrived");
    EXPECT_EQ(client.perform({.url = server.url("/here"), .maxRedirects = 0})->status, 307U);
    EXPECT_EQ(client.perform({.method = "POST", .url = server.url("/here")})->status, 307U);
    Result<HttpResponse> got = client.perform({.url = server.url("/file")});
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, ErrorCode::Denied) << got.error().message;
    got = client.perform({.url = server.url("/round")});
    ASSERT_FALSE(got);
    EXPECT_THAT(got.error().message, HasSubstr("limit 5"));
}

TEST(HttpClient, RefusesOtherSchemesAndUsersInTheAddress)
{
    HttpClient client({});
    for (const char* url :
         {"file:///etc/passwd", "ftp://127.0.0.1/", "http://user:word@127.0.0.1:1/", "http://"}) {
        const Result<HttpResponse> got = client.perform({.url = url});
        ASSERT_FALSE(got);
        EXPECT_EQ(got.error().code, ErrorCode::Invalid) << got.error().message;
        EXPECT_THAT(got.error().message, Not(HasSubstr("word")));
    }
}

TEST(HttpClient, SendsAnEmptyPutWithLengthZeroAndHeadWithoutWaitingForABody)
{
    std::string head;
    LoopbackServer server([&](LoopbackConnection& connection) {
        for (;;) {
            const std::string next = connection.readHead();
            if (next.empty())
                return;
            head = next;
            connection.send(head.starts_with("HEAD") ? "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n"
                                                     : answer(""));
        }
    });
    HttpClient client({});
    ASSERT_TRUE(client.perform({.method = "PUT", .url = server.url()}));
    EXPECT_THAT(head, HasSubstr("Content-Length: 0\r\n"));
    ASSERT_TRUE(client.perform({.method = "DELETE", .url = server.url()}));
    EXPECT_THAT(head, testing::StartsWith("DELETE / "));
    const Result<HttpResponse> got = client.perform({.method = "HEAD", .url = server.url()});
    ASSERT_TRUE(got);
    EXPECT_EQ(*got->header("content-length"), "77");
}

} // namespace
} // namespace penstock::curl
