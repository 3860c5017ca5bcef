// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/api/http_response.h"

#include <gtest/gtest.h>

namespace penstock::client {
namespace {

constexpr std::string_view kChunked =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Log-Next:  12 \r\n\r\n"
    "5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n";
constexpr std::string_view kCounted = "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc";

TEST(HttpResponse, ReadsTheSameInAnyChunks)
{
    for (std::size_t size = 1; size <= kChunked.size(); ++size) {
        HttpResponseParser parser;
        for (std::size_t at = 0; at < kChunked.size(); at += size)
            ASSERT_TRUE(parser.push(kChunked.substr(at, size)));
        ASSERT_TRUE(parser.done()) << size;
        const auto response = parser.take();
        EXPECT_EQ(response.body, "hello0123456789");
        EXPECT_EQ(response.header("x-log-next"), "12");
    }
}

TEST(HttpResponse, ReadsCountedBodiesAndSkipsInterimResponses)
{
    HttpResponseParser parser;
    ASSERT_TRUE(parser.push("HTTP/1.1 100 Continue\r\n\r\n"));
    ASSERT_TRUE(parser.push(kCounted));
    ASSERT_TRUE(parser.done());
    const auto response = parser.take();
    EXPECT_EQ(response.status, 404);
    EXPECT_EQ(response.body, "abc");
}

TEST(HttpResponse, EndsWithTheConnectionWhenNothingSaysItsLength)
{
    HttpResponseParser parser;
    ASSERT_TRUE(parser.push("HTTP/1.0 200 OK\r\n\r\nsome"));
    ASSERT_TRUE(parser.push(" text"));
    EXPECT_FALSE(parser.done());
    ASSERT_TRUE(parser.finish());
    EXPECT_EQ(parser.take().body, "some text");
}

TEST(HttpResponse, ReportsAConnectionThatEndsTooEarly)
{
    HttpResponseParser parser;
    ASSERT_TRUE(parser.push(kCounted.substr(0, kCounted.size() - 1)));
    EXPECT_EQ(parser.finish().error().code, ErrorCode::Unavailable);
}

TEST(HttpResponse, RefusesWhatIsNotHttp)
{
    for (const std::string_view text :
         {"SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nnocolon\r\n\r\n",
          "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
          "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n"}) {
        HttpResponseParser parser;
        EXPECT_FALSE(parser.push(text)) << text;
    }
}

TEST(HttpResponse, KeepsItsLimits)
{
    HttpResponseParser counted(10);
    EXPECT_EQ(counted.push("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n").error().code,
              ErrorCode::Exhausted);
    HttpResponseParser exact(10);
    EXPECT_TRUE(exact.push("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"));
    EXPECT_TRUE(exact.done());
    HttpResponseParser open(10);
    EXPECT_EQ(open.push("HTTP/1.1 200 OK\r\n\r\n01234567890").error().code, ErrorCode::Exhausted);
    HttpResponseParser head;
    EXPECT_EQ(head.push(std::string(kMaxHeadBytes + 1, 'a')).error().code, ErrorCode::Exhausted);
}

} // namespace
} // namespace penstock::client
