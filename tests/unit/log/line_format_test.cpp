// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/log/line_format.h"

#include <gtest/gtest.h>
#include <limits>

namespace penstock::log {
namespace {

constexpr WallTime kAt = WallTime::fromMicros(1'795'241'836'250'000);

std::string line(LogFormat format, std::initializer_list<LogField> fields, std::uint64_t suppressed = 0)
{
    return formatLine(format,
                      {kAt, LogLevel::Warning, "link.refused", {fields.begin(), fields.size()}, suppressed});
}

TEST(LineFormat, TextHasTimeLevelEventAndFields)
{
    EXPECT_EQ(line(LogFormat::Text, {{"peer", "b1"}, {"limit", 5}, {"late", true}, {"ratio", 0.5}}),
              "2026-11-21T06:17:16.250Z warning link.refused peer=b1 limit=5 late=true ratio=0.5\n");
}

TEST(LineFormat, TextQuotesWhatIsNotOnePlainWord)
{
    EXPECT_EQ(line(LogFormat::Journal, {{"a", ""}, {"b", "x y"}, {"c", "k=v"}, {"d", "say \"hi\""}}),
              "<4>link.refused a=\"\" b=\"x y\" c=\"k=v\" d=\"say \\\"hi\\\"\"\n");
}

TEST(LineFormat, AValueCannotForgeASecondLine)
{
    for (const LogFormat format : {LogFormat::Text, LogFormat::Json, LogFormat::Journal}) {
        const std::string text = line(format, {{"peer", "b1\n<0>fake \x1b[31m\r"}});
        EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
        EXPECT_EQ(text.find('\x1b'), std::string::npos) << text;
        EXPECT_EQ(text.find('\r'), std::string::npos) << text;
    }
}

TEST(LineFormat, JsonKeepsTypesAndRenamesFieldsThatCollide)
{
    EXPECT_EQ(line(LogFormat::Json, {{"time", "noon"}, {"n", -3}, {"ok", false}, {"path", "a\\b"}}, 7),
              "{\"time\":\"2026-11-21T06:17:16.250Z\",\"level\":\"warning\",\"event\":\"link.refused\","
              "\"field_time\":\"noon\",\"n\":-3,\"ok\":false,\"path\":\"a\\\\b\",\"suppressed\":7}\n");
}

TEST(LineFormat, JsonHasNoNotANumber)
{
    EXPECT_NE(line(LogFormat::Json, {{"x", std::numeric_limits<double>::quiet_NaN()}}).find("\"x\":null"),
              std::string::npos);
}

TEST(LineFormat, LongValuesAreCutAndCounted)
{
    const std::string atLimit = line(LogFormat::Text, {{"v", std::string(kMaxFieldBytes, 'a')}});
    EXPECT_EQ(atLimit.find("bytes"), std::string::npos);
    const std::string over = line(LogFormat::Text, {{"v", std::string(kMaxFieldBytes + 1, 'a')}});
    EXPECT_NE(over.find("… (+1 bytes)"), std::string::npos);
}

TEST(LineFormat, IllFormedUtf8IsReplaced)
{
    EXPECT_NE(line(LogFormat::Json, {{"v", "a\xFFz"}}).find("a\xEF\xBF\xBDz"), std::string::npos);
}

TEST(Redaction, KeysThatNameSecretsHideTheirValue)
{
    for (const char* key : {"token", "client_token", "password", "db_password", "secret", "api_secret"})
        EXPECT_EQ(redacted(key, "hunter2"), "[redacted]") << key;
    EXPECT_EQ(redacted("token_id", "t1"), "t1");
}

TEST(Redaction, PasswordsInsideUrlsAndConnectionStringsAreBlanked)
{
    EXPECT_EQ(redacted("db_url", "postgres://u:p@h/db"), "postgres://u:[redacted]@h/db");
    EXPECT_EQ(redacted("db_url", "postgres://u:p@ss@h:5432/db"), "postgres://u:[redacted]@h:5432/db");
    EXPECT_EQ(redacted("db_url", "ws://h:7780/link@x"), "ws://h:7780/link@x");
    EXPECT_EQ(redacted("db_url", "postgres://u@h"), "postgres://u@h");
    EXPECT_EQ(redacted("db_url", "host=h password=p user=u"), "host=h password=[redacted] user=u");
    EXPECT_EQ(redacted("db_url", "password='a b' host=h"), "password=[redacted] host=h");
    EXPECT_EQ(redacted("db_url", "password='a b"), "password=[redacted]");
    EXPECT_EQ(redacted("db_url", "password="), "password=[redacted]");
    EXPECT_EQ(redacted("db_url", "postgres://h/db?user=u&password=p"),
              "postgres://h/db?user=u&password=[redacted]");
}

TEST(LogWords, LevelsAndFormatsAreParsedStrictly)
{
    EXPECT_EQ(parseLogLevel("debug").value(), LogLevel::Debug);
    EXPECT_EQ(parseLogFormat("journal").value(), LogFormat::Journal);
    EXPECT_EQ(parseLogLevel("INFO").error().message,
              "log level \"INFO\" is not one of debug, info, warning, error");
    EXPECT_FALSE(parseLogFormat("xml"));
}

} // namespace
} // namespace penstock::log
