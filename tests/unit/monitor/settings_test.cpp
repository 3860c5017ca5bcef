// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/app/options.h"
#include "monitor-gui/models/series.h"
#include "monitor-gui/settings/connection_settings.h"

#include <gtest/gtest.h>
#include <QFile>
#include <QTemporaryDir>

namespace penstock::gui {
namespace {

TEST(Server, GetsPortAndPathFilledIn)
{
    EXPECT_EQ(parseServer(QStringLiteral("ws://farm"))->toString(), QStringLiteral("ws://farm:7780/monitor"));
    EXPECT_EQ(parseServer(QStringLiteral("farm:99"))->toString(), QStringLiteral("ws://farm:99/monitor"));
    EXPECT_EQ(parseServer(QStringLiteral("wss://farm"))->toString(), QStringLiteral("wss://farm/monitor"));
    EXPECT_FALSE(parseServer(QStringLiteral("http://farm")));
    EXPECT_FALSE(parseServer(QString()));
    EXPECT_FALSE(parseServer(QStringLiteral("ws://user:secret@farm")));
}

TEST(Token, GoesInTheClearToNobodyElse)
{
    const QByteArray token("t");
    EXPECT_TRUE(checkTokenRoad(*parseServer(QStringLiteral("ws://127.0.0.1")), token));
    EXPECT_TRUE(checkTokenRoad(*parseServer(QStringLiteral("wss://farm")), token));
    EXPECT_FALSE(checkTokenRoad(*parseServer(QStringLiteral("ws://farm")), token));
    EXPECT_TRUE(checkTokenRoad(*parseServer(QStringLiteral("ws://farm")), {}));
}

TEST(TokenFile, IsRefusedWhenOthersCanReadIt)
{
    const QTemporaryDir folder;
    const QString path = folder.filePath(QStringLiteral("token"));
    QFile file(path);
    ASSERT_TRUE(file.open(QIODevice::WriteOnly));
    file.write("secret-123\nrest");
    file.close();
    ASSERT_TRUE(file.setPermissions(QFile::ReadOwner | QFile::WriteOwner | QFile::ReadGroup));
    const auto refused = readTokenFile(path);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::Denied);
    EXPECT_EQ(refused.error().message.find("secret-123"), std::string::npos);
    ASSERT_TRUE(file.setPermissions(QFile::ReadOwner | QFile::WriteOwner));
    EXPECT_EQ(readTokenFile(path).value(), QByteArray("secret-123"));
    EXPECT_FALSE(readTokenFile(folder.filePath(QStringLiteral("none"))));
}

TEST(DeepLink, NamesAPageAndNothingElse)
{
    const auto job = parseDeepLink(QStringLiteral("penstock://localhost/job/42"));
    ASSERT_TRUE(job);
    EXPECT_EQ(job->job, JobId(42));
    EXPECT_EQ(job->server.toString(), QStringLiteral("ws://localhost:7780/monitor"));
    EXPECT_EQ(parseDeepLink(QStringLiteral("penstock://farm/machine/elm"))->machine, QStringLiteral("elm"));
    EXPECT_EQ(parseDeepLink(QStringLiteral("penstock://farm"))->page, QStringLiteral("overview"));
    EXPECT_EQ(parseDeepLink(QStringLiteral("penstock://farm/queue"))->server.scheme(), QStringLiteral("wss"));
    EXPECT_FALSE(parseDeepLink(QStringLiteral("penstock://farm/cancel/42")));
    EXPECT_FALSE(parseDeepLink(QStringLiteral("penstock://farm/job/0")));
    EXPECT_FALSE(parseDeepLink(QStringLiteral("http://farm/job/1")));
}

TEST(Options, NameTheWrongValueAndTheRightForm)
{
    EXPECT_TRUE(parseOptions({}, {}));
    const auto refuses = [](const QStringList& arguments, std::string_view word) {
        const auto options = parseOptions(arguments, {});
        return !options && options.error().message.find(word) != std::string::npos;
    };
    EXPECT_TRUE(refuses({QStringLiteral("--size"), QStringLiteral("9x9")}, "WIDTHxHEIGHT"));
    EXPECT_TRUE(refuses({QStringLiteral("--size")}, "needs a value"));
    EXPECT_TRUE(refuses({QStringLiteral("--page=nowhere")}, "overview, queue"));
    EXPECT_TRUE(refuses({QStringLiteral("--job"), QStringLiteral("0")}, "from 1"));
    EXPECT_TRUE(refuses({QStringLiteral("--after"), QStringLiteral("nan")}, "seconds"));
    EXPECT_TRUE(refuses({QStringLiteral("--frobnicate")}, "unknown option"));
    EXPECT_TRUE(
        refuses({QStringLiteral("--demo"), QStringLiteral("--server"), QStringLiteral("ws://a")}, "exclude"));
    EXPECT_FALSE(parseOptions({}, QStringLiteral("http://x")));
    EXPECT_EQ(parseOptions({QStringLiteral("--job"), QStringLiteral("7")}, {})->page, PageId::Job);
}

TEST(Series, RoundsAxesToOneTwoFive)
{
    EXPECT_DOUBLE_EQ(niceCeiling(0, 1), 1);
    EXPECT_DOUBLE_EQ(niceCeiling(1.2, 1), 2);
    EXPECT_DOUBLE_EQ(niceCeiling(340, 1), 500);
    EXPECT_DOUBLE_EQ(niceCeiling(501, 1), 1000);
    EXPECT_DOUBLE_EQ(niceCeiling(3, 10), 10);
}

} // namespace
} // namespace penstock::gui
