// SPDX-License-Identifier: GPL-3.0-or-later
// The answers of `nix path-info --json`: of 2.8 as it printed them, of newer ones by their documentation.
#include "shared/nixstore/cli_store.h"

#include <gtest/gtest.h>

namespace penstock::nixstore {
namespace {

const nix::StoreDir kDir = nix::StoreDir::standard();
constexpr const char* kPath = "/nix/store/ab3li50xq0nl4q5lxdyinb8w8y13my9s-f";

TEST(PathInfoJson, IsReadAsNix28WritesIt)
{
    const auto infos = parsePathInfos(
        kDir,
        R"([{"path":"/nix/store/11111111111111111111111111111111-none","valid":false},)"
        R"({"path":"/nix/store/ab3li50xq0nl4q5lxdyinb8w8y13my9s-f",)"
        R"("narHash":"sha256-EFUdrtf6Rn0LWIJufrmg8q99aT3jGfLvd1//zaJEufY=",)"
        R"("narSize":120,"references":["/nix/store/hb09lmdvs22v5ianga0vgpi9k446q3kw-t.drv"],)"
        R"("deriver":"/nix/store/hb09lmdvs22v5ianga0vgpi9k446q3kw-t.drv","signatures":["k:x"],)"
        R"("ca":"fixed:r:sha256:1xmr8jicvzszfzpz46g37mlpvbzjl2wpwvl2b05psipssyp1sm8h",)"
        R"("registrationTime":1795266185}])");
    ASSERT_TRUE(infos) << infos.error().message;
    ASSERT_EQ(infos->size(), 1U);
    const nix::NarInfo& info = infos->front();
    EXPECT_EQ(info.path.print(kDir), kPath);
    EXPECT_EQ(info.narSize, 120U);
    EXPECT_EQ(info.narHash.base16(), "10551daed7fa467d0b58826e7eb9a0f2af7d693de319f2ef775fffcda244b9f6");
    EXPECT_EQ(info.references.size(), 1U);
    EXPECT_EQ(info.deriver->baseName(), "hb09lmdvs22v5ianga0vgpi9k446q3kw-t.drv");
    EXPECT_EQ(info.signatures, (std::vector<std::string>{"k:x"}));
    EXPECT_EQ(info.contentAddress, "fixed:r:sha256:1xmr8jicvzszfzpz46g37mlpvbzjl2wpwvl2b05psipssyp1sm8h");
}

TEST(PathInfoJson, IsReadAsNewerVersionsWriteIt)
{
    const auto keyed = parsePathInfos(
        kDir, R"({"/nix/store/11111111111111111111111111111111-none":null,)"
              R"("/nix/store/ab3li50xq0nl4q5lxdyinb8w8y13my9s-f":{"ca":null,"deriver":null,)"
              R"("narHash":"sha256-EFUdrtf6Rn0LWIJufrmg8q99aT3jGfLvd1//zaJEufY=","narSize":120,)"
              R"("references":[],"signatures":[]}})");
    ASSERT_TRUE(keyed) << keyed.error().message;
    ASSERT_EQ(keyed->size(), 1U);
    EXPECT_FALSE(keyed->front().deriver);
    EXPECT_EQ(keyed->front().contentAddress, "");

    const auto newest = parsePathInfos(
        kDir, R"({"version":2,"storeDir":"/nix/store","info":{"ab3li50xq0nl4q5lxdyinb8w8y13my9s-f":{)"
              R"("ca":{"method":"nar","hash":"sha256-EFUdrtf6Rn0LWIJufrmg8q99aT3jGfLvd1//zaJEufY="},)"
              R"("narHash":"sha256-EFUdrtf6Rn0LWIJufrmg8q99aT3jGfLvd1//zaJEufY=","narSize":120,)"
              R"("references":["hb09lmdvs22v5ianga0vgpi9k446q3kw-t.drv"]}}})");
    ASSERT_TRUE(newest) << newest.error().message;
    ASSERT_EQ(newest->size(), 1U);
    EXPECT_EQ(newest->front().path.print(kDir), kPath);
    EXPECT_EQ(newest->front().contentAddress,
              "fixed:r:sha256:1xmr8jicvzszfzpz46g37mlpvbzjl2wpwvl2b05psipssyp1sm8h");
    EXPECT_EQ(newest->front().references.size(), 1U);
}

TEST(PathInfoJson, IsRefusedWhenItIsSomethingElse)
{
    for (const char* bad : {"", "7", "[{}]x", "[{\"path\":\"/nix/store/x\"}]",
                            "[{\"path\":\"/nix/store/ab3li50xq0nl4q5lxdyinb8w8y13my9s-f\"}]"}) {
        const auto infos = parsePathInfos(kDir, bad);
        ASSERT_FALSE(infos) << bad;
        EXPECT_EQ(infos.error().code, ErrorCode::Corrupt) << bad;
    }
}

} // namespace
} // namespace penstock::nixstore
