// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/api/api_client.h"
#include "client/api/credentials.h"

#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::client {
namespace {

HttpResponse answer(int status, std::string body)
{
    return {status, {}, std::move(body)};
}

TEST(ApiReply, CarriesTheServersTextOfAProblem)
{
    const auto reply = readReply(
        answer(404, R"({"type":"about:blank","title":"Not Found","status":404,"detail":"no job 42"})"));
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, ErrorCode::NotFound);
    EXPECT_EQ(reply.error().message, "no job 42");
}

TEST(ApiReply, ExplainsAStatusWithoutAProblemDocument)
{
    EXPECT_EQ(readReply(answer(503, "")).error().code, ErrorCode::Unavailable);
    EXPECT_NE(readReply(answer(500, "<html>")).error().message.find("500"), std::string::npos);
    EXPECT_NE(readReply(answer(401, "")).error().message.find("--token-file"), std::string::npos);
}

TEST(ApiReply, KeepsTheBodyAsItCame)
{
    const std::string body = "{\"z\": 1,\n \"a\": 12345678901234567}";
    const auto reply = readReply(answer(200, body));
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->body, body);
    EXPECT_EQ(reply->object.value(QLatin1String("a")).toInteger(), 12345678901234567);
}

TEST(HttpRequestText, CarriesTokenLengthAndBase)
{
    const auto endpoint = parseEndpoint("http://farm:81/base");
    const auto text = encodeRequest(*endpoint, {"POST", "/api/v1/jobs", "{}", "application/json", "secret"});
    EXPECT_TRUE(text.starts_with("POST /base/api/v1/jobs HTTP/1.1\r\nHost: farm:81\r\n"));
    EXPECT_NE(text.find("Authorization: Bearer secret\r\n"), std::string::npos);
    EXPECT_NE(text.find("Content-Length: 2\r\n"), std::string::npos);
    EXPECT_TRUE(text.ends_with("\r\n\r\n{}"));
    EXPECT_EQ(percentEncode("a b/ü?"), "a%20b%2F%C3%BC%3F");
}

class TokenFile : public testing::Test {
protected:
    TokenFile()
    {
        std::string pattern = "/tmp/penstock-token-XXXXXX";
        const int file = ::mkstemp(pattern.data());
        ::close(file);
        m_path = pattern;
    }
    ~TokenFile() override { ::unlink(m_path.c_str()); }
    void write(const std::string& text, mode_t mode) const
    {
        const int file = ::open(m_path.c_str(), O_WRONLY | O_TRUNC);
        EXPECT_EQ(::write(file, text.data(), text.size()), static_cast<ssize_t>(text.size()));
        ::close(file);
        ::chmod(m_path.c_str(), mode);
    }
    std::string m_path;
};

TEST_F(TokenFile, IsReadWithoutItsLineEnd)
{
    write("abc123\n", 0600);
    EXPECT_EQ(*readToken(m_path, {}), "abc123");
}

TEST_F(TokenFile, IsRefusedWhenOthersMayReadIt)
{
    write("abc123\n", 0640);
    EXPECT_EQ(readToken(m_path, {}).error().code, ErrorCode::Denied);
}

TEST_F(TokenFile, IsRefusedWithMoreThanOneLineOrNothing)
{
    write("abc\r\nX-Evil: 1\n", 0600);
    EXPECT_FALSE(readToken(m_path, {}));
    write("", 0600);
    EXPECT_FALSE(readToken(m_path, {}));
    EXPECT_EQ(readToken(m_path + "-missing", {}).error().code, ErrorCode::NotFound);
}

} // namespace
} // namespace penstock::client
