// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/transfer/answers.h"

#include <gtest/gtest.h>

namespace penstock::transfer {
namespace {

const nix::StoreDir kDir = nix::StoreDir::standard();
const std::string kPath = "/nix/store/00000000000000000000000000000000-a";

nix::StorePath path()
{
    return *nix::StorePath::parse(kDir, kPath);
}

std::string plan(const std::string& rest)
{
    return R"({"paths":[{"path":")" + kPath + "\"," + rest + "}]}";
}

TEST(HttpBase, IsTheServersRootWhateverTheLinkIs)
{
    EXPECT_EQ(*httpBase("ws://farm:7780/link"), "http://farm:7780");
    EXPECT_EQ(*httpBase("wss://farm"), "https://farm");
    EXPECT_EQ(*httpBase("https://[::1]:1?x"), "https://[::1]:1");
    EXPECT_FALSE(httpBase("ftp://farm"));
    EXPECT_FALSE(httpBase("ws://"));
    EXPECT_FALSE(httpBase("ws://user@farm"));
    EXPECT_FALSE(httpBase("farm:7780"));
}

TEST(Plans, OfEveryKindAreRead)
{
    EXPECT_EQ(parsePlans(kDir, plan(R"("state":"present")"))->front().state, PathState::Present);
    const auto refused = parsePlans(kDir, plan(R"("state":"refused","reason":"not yours")"));
    EXPECT_EQ(refused->front().reason, "not yours");
    const auto wanted = parsePlans(
        kDir,
        plan(
            R"("state":"wanted","put":{"url":"/transfer/nar/a","compression":"zstd","level":3,"method":"PUT",)"
            R"("headers":{"x-a":"b"}})"));
    ASSERT_TRUE(wanted) << wanted.error().message;
    EXPECT_FALSE(wanted->front().put->isPastServer());
    EXPECT_EQ(wanted->front().encoding.level, 3);
    EXPECT_EQ(wanted->front().put->headers, (curl::Headers{{"x-a", "b"}}));
}

TEST(Plans, OfPartsAreRead)
{
    const auto parts = parsePlans(
        kDir,
        plan(R"("state":"wanted","parts":{"upload":"id","part_size":8,"compression":"none","level":null,)"
             R"("urls":[{"number":1,"url":"https://s3/x?sig"}]})"));
    ASSERT_TRUE(parts) << parts.error().message;
    EXPECT_EQ(parts->front().parts->partBytes, 8U);
    EXPECT_TRUE(parts->front().parts->parts.front().put.isPastServer());
    EXPECT_EQ(parts->front().encoding.level, std::nullopt);
}

TEST(Plans, ThatAreNotAsAgreedNameTheField)
{
    const auto refusal = [](const std::string& rest) {
        const auto parsed = parsePlans(kDir, plan(rest));
        return parsed ? std::string() : parsed.error().message;
    };
    EXPECT_NE(refusal(R"("state":"maybe")").find("state"), std::string::npos);
    EXPECT_NE(refusal(R"("state":"wanted")").find("put"), std::string::npos);
    EXPECT_NE(refusal(R"("state":"wanted","put":{"url":"file:///etc","compression":"none"})").find("url"),
              std::string::npos);
    EXPECT_NE(refusal(R"("state":"wanted","put":{"url":"//other/x","compression":"none"})").find("url"),
              std::string::npos);
    EXPECT_NE(refusal(R"("state":"wanted","put":{"url":"/x","compression":"none","method":"DELETE"})")
                  .find("method"),
              std::string::npos);
    EXPECT_NE(
        refusal(
            R"("state":"wanted","parts":{"upload":"i","part_size":268435457,"compression":"none","urls":[]})")
            .find("part_size"),
        std::string::npos);
    EXPECT_FALSE(parsePlans(kDir, R"({"paths":[{"path":"/etc/passwd","state":"present"}]})"));
    EXPECT_FALSE(parsePlans(kDir, "[]"));
}

TEST(Problems, GiveTheirDetail)
{
    EXPECT_EQ(problemText(R"({"status":409,"detail":"another hash"})"), "another hash");
    EXPECT_EQ(problemText(" plain text\n"), "plain text");
}

TEST(Requests, ArePrintedAsAgreed)
{
    EXPECT_EQ(printPaths(kDir, {path()}), R"({"paths":[")" + kPath + "\"]}");
    EXPECT_EQ(printPaths(kDir, {path()}, {{path(), "id\"", {"\"e1\"", "e2"}}}),
              R"({"paths":[")" + kPath + R"("],"uploads":{")" + kPath +
                  R"(":{"upload":"id\"","etags":["\"e1\"","e2"]}}})");
    EXPECT_EQ(printPartNumbers(kDir, path(), "id", {2, 3}),
              R"({"path":")" + kPath + R"(","upload":"id","numbers":[2,3]})");
}

} // namespace
} // namespace penstock::transfer
