// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/metric.h"
#include "server/http/request_reader.h"
#include "server/http/time_text.h"
#include "shared/base/text.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>

namespace penstock::http {
namespace {

std::string head(std::string_view more, std::string_view line = "GET / HTTP/1.1")
{
    return fmt::format("{}\r\nHost: localhost\r\n{}\r\n", line, more);
}

TEST(RequestHead, ReadsPathQueryAndHeaders)
{
    const auto parsed = parseRequestHead(
        head("X-A:  b c \r\nAuthorization: bearer  t0k\r\n", "GET /a%20b/?x=1+2&y=%26 HTTP/1.1"));
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(parsed->segments, (std::vector<std::string>{"a b", ""}));
    EXPECT_EQ(parsed->header("x-a"), "b c");
    EXPECT_EQ(parsed->bearer(), "t0k");
    EXPECT_EQ(*parseQuery(parsed->query), (QueryItems{{"x", "1 2"}, {"y", "&"}}));
}

TEST(RequestHead, RefusesWhatTwoReadersCouldReadDifferently)
{
    for (const auto& bad :
         {head("", "GET  / HTTP/1.1"), head("", "GET / HTTP/1.2"), head("", "GET a HTTP/1.1"),
          head("", "G T / HTTP/1.1"), head("", "GET http://a/ HTTP/1.1"), head("A b\r\n"), head(" a: b\r\n"),
          head("a : b\r\n"), head("a: \x01\r\n"), head("Content-Length: 1\r\nContent-Length: 1\r\n"),
          head("", "GET /%zz HTTP/1.1"), head("", "GET /%4 HTTP/1.1"), head("", "GET /%00 HTTP/1.1"),
          head("", "GET /%ff HTTP/1.1"), std::string("GET / HTTP/1.1\r\n\r\n")})
        EXPECT_FALSE(parseRequestHead(bad)) << bad;
}

TEST(RequestHead, HoldsItsLimitsExactly)
{
    std::string headers;
    for (std::size_t at = 1; at < kMaxHeaders; ++at)
        headers += "a: b\r\n";
    EXPECT_TRUE(parseRequestHead(head(headers)));
    EXPECT_EQ(parseRequestHead(head(headers + "a: b\r\n")).error().code, ErrorCode::Exhausted);
    const auto target = [](std::size_t size) { return "GET /" + std::string(size - 1, 'a') + " HTTP/1.1"; };
    EXPECT_TRUE(parseRequestHead(head("", target(kMaxTargetBytes))));
    EXPECT_FALSE(parseRequestHead(head("", target(kMaxTargetBytes + 1))));
    std::string query = "k0=";
    for (std::size_t at = 1; at < kMaxQueryKeys; ++at)
        query += fmt::format("&k{}=", at);
    EXPECT_TRUE(parseQuery(query));
    EXPECT_FALSE(parseQuery(query + "&more"));
    EXPECT_FALSE(parseQuery("a=1&a=2"));
}

TEST(RequestReader, GivesTheSameRequestsHoweverTheBytesAreCut)
{
    const std::string all =
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" +
        std::string("\r\nPOST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "2;x=y\r\nab\r\n1\r\nc\r\n0\r\nTrailer: t\r\n\r\n") +
        head("");
    for (std::size_t piece = 1; piece <= all.size(); ++piece) {
        RequestReader reader;
        std::string seen;
        for (std::size_t at = 0; at < all.size(); at += piece) {
            reader.push(std::string_view(all).substr(at, piece));
            while (reader.state() == RequestReader::State::Complete) {
                seen += reader.head().path + "=" + reader.body() + ";";
                reader.next();
            }
        }
        ASSERT_EQ(seen, "/a=abc;/b=abc;/=;") << piece;
        EXPECT_FALSE(reader.begun());
    }
}

TEST(RequestReader, RefusesWithTheRightStatus)
{
    const std::pair<std::string, unsigned> cases[] = {
        {head("Content-Length: 1048577\r\n"), 413},
        {head("Content-Length: 99999999999999999999\r\n"), 413},
        {head("Content-Length: -1\r\n"), 400},
        {head("Content-Length: 1 \r\nTransfer-Encoding: chunked\r\n"), 400},
        {head("Transfer-Encoding: gzip\r\n"), 501},
        {head("Transfer-Encoding: chunked\r\n") + "x\r\n", 400},
        {head("Transfer-Encoding: chunked\r\n") + "\r\n", 400},
        {head("Transfer-Encoding: chunked\r\n") + "1\r\nabc", 400},
        {head("Transfer-Encoding: chunked\r\n") + "fffffff0\r\n", 413},
        {head("Transfer-Encoding: chunked\r\n") + "fffffffff\r\n", 413},
        {head("Transfer-Encoding: chunked\r\n") + std::string(300, '0'), 400},
        {head("Transfer-Encoding: chunked\r\n") + "0\r\n" + std::string(20'000, 't'), 431},
        {"GET / HTTP/1.1\r\nHost: " + std::string(kMaxHeadBytes, 'h'), 431},
        {"nonsense\r\n\r\n", 400},
    };
    for (const auto& [bytes, status] : cases) {
        RequestReader reader;
        reader.push(bytes);
        EXPECT_EQ(reader.state(), RequestReader::State::Failed) << bytes.substr(0, 100);
        EXPECT_EQ(reader.status(), status) << bytes.substr(0, 100);
    }
    RequestReader exact;
    exact.push(head("Content-Length: 1048576\r\n"));
    exact.push(std::string(kMaxBodyBytes, 'b'));
    EXPECT_EQ(exact.state(), RequestReader::State::Complete);
    RequestReader chunks;
    chunks.push(head("Transfer-Encoding: chunked\r\n") + "100000\r\n" + std::string(kMaxBodyBytes, 'b') +
                "\r\n1\r\n");
    EXPECT_EQ(chunks.status(), 413U);
}

TEST(Metrics, AreWrittenAsPrometheusReadsThem)
{
    MetricFamily family{
        "penstock_x_total", "A \\ b\nc", MetricType::Counter, {{{{"l", "a\"b\\c\nd"}, {"m", "n"}}, 3}}};
    const MetricFamily families[] = {family, gauge("penstock_g", "G", 0.5), family,
                                     gauge("penstock_i", "I", std::numeric_limits<double>::infinity())};
    EXPECT_EQ(renderMetrics(families),
              "# HELP penstock_x_total A \\\\ b\\nc\n# TYPE penstock_x_total counter\n"
              "penstock_x_total{l=\"a\\\"b\\\\c\\nd\",m=\"n\"} 3\n"
              "penstock_x_total{l=\"a\\\"b\\\\c\\nd\",m=\"n\"} 3\n"
              "# HELP penstock_g G\n# TYPE penstock_g gauge\npenstock_g 0.5\n"
              "# HELP penstock_i I\n# TYPE penstock_i gauge\npenstock_i +Inf\n");
}

TEST(Metrics, WriteHistogramsBySeries)
{
    MetricFamily family{"penstock_h", "H", MetricType::Histogram, {}};
    const Bucket buckets[] = {{1, 2}, {10.5, 3}};
    addHistogram(family, {{"l", "m"}}, buckets, 4, 21.5);
    EXPECT_EQ(renderMetrics({&family, 1}), "# HELP penstock_h H\n# TYPE penstock_h histogram\n"
                                           "penstock_h_bucket{l=\"m\",le=\"1\"} 2\n"
                                           "penstock_h_bucket{l=\"m\",le=\"10.5\"} 3\n"
                                           "penstock_h_bucket{l=\"m\",le=\"+Inf\"} 4\n"
                                           "penstock_h_sum{l=\"m\"} 21.5\npenstock_h_count{l=\"m\"} 4\n");
}

TEST(TimeText, ReadsAndWritesBothForms)
{
    const auto parsed = parseRfc3339("2026-11-21T06:17:16.250Z");
    ASSERT_TRUE(parsed);
    EXPECT_EQ(formatRfc3339(*parsed), "2026-11-21T06:17:16.000Z");
    EXPECT_EQ(formatPlainIso(*parsed), "2026-11-21T06:17:16.000000");
    EXPECT_TRUE(parseRfc3339("2027-01-31"));
    for (const auto bad : {"", "2027-02-30", "2027-01-31T25:00:00Z", "2027-01-31T12:00:00",
                           "2027-01-31T12:00:00+01:00", "2027-01-31T12:00:00.Z", "2027-1-31", "tomorrow"})
        EXPECT_FALSE(parseRfc3339(bad)) << bad;
}

} // namespace
} // namespace penstock::http
