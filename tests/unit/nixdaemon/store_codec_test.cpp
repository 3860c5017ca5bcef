// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixdaemon/store_codec.h"

#include "tests/support/nar_samples.h"

#include <gtest/gtest.h>

namespace penstock::nixdaemon {
namespace {

const nix::StoreDir kDir = nix::StoreDir::standard();

NarToAdd sample()
{
    const test::NarSample made = test::sampleOf("x", "content");
    return {made.info.path, {{}, made.info.narHash, {}, 0, made.info.narSize, false, {}, ""}, {}};
}

TEST(StoreCodec, ChecksWhatIsSaidOfAPath)
{
    NarToAdd nar = sample();
    EXPECT_TRUE(addNarRequest(kDir, nar, {}));
    for (const char* good : {"text:sha256:0n7af0jhy8x0lhkz358xq17v5q1dch2ap14awwdq4mdpc48c1m18",
                             "fixed:r:sha256:0n7af0jhy8x0lhkz358xq17v5q1dch2ap14awwdq4mdpc48c1m18",
                             "fixed:sha1:9jxjmdkdhl7pcdaw39c5jc4qrhs9hlcy"}) {
        nar.info.contentAddress = good;
        EXPECT_TRUE(addNarRequest(kDir, nar, {})) << good;
    }
    for (const char* bad :
         {"foo", "fixed:", "fixed:r:", "fixed:x:sha256:00", "text:sha1:9jxjmdkdhl7pcdaw39c5jc4qrhs9hlcy",
          "fixed:git:sha1:9jxjmdkdhl7pcdaw39c5jc4qrhs9hlcy"}) {
        nar.info.contentAddress = bad;
        EXPECT_FALSE(addNarRequest(kDir, nar, {})) << bad;
        EXPECT_FALSE(multipleEntry(kDir, nar)) << bad;
    }
    nar = sample();
    nar.info.signatures = {"no colon"};
    EXPECT_FALSE(addNarRequest(kDir, nar, {}));
    nar = sample();
    nar.info.narHash = nix::hashOf("", nix::HashAlgorithm::Sha1);
    EXPECT_FALSE(addNarRequest(kDir, nar, {}));
}

TEST(StoreCodec, NeverSendsAMethodThatADaemonCannotTake)
{
    const nix::StorePathSet references{sample().path};
    EXPECT_TRUE(
        addContentRequest(kDir, {"x", nix::AddressMethod::Text, nix::HashAlgorithm::Sha256, references, 0}));
    EXPECT_FALSE(addContentRequest(kDir, {"x", nix::AddressMethod::Text, nix::HashAlgorithm::Sha1, {}, 0}));
    EXPECT_FALSE(
        addContentRequest(kDir, {"x", nix::AddressMethod::Flat, nix::HashAlgorithm::Sha256, references, 0}));
    EXPECT_FALSE(addContentRequest(
        kDir, {"x", nix::AddressMethod::Recursive, nix::HashAlgorithm::Sha1, references, 0}));
    EXPECT_FALSE(
        addContentRequest(kDir, {"a/b", nix::AddressMethod::Flat, nix::HashAlgorithm::Sha256, {}, 0}));
    EXPECT_FALSE(
        addContentRequestOld({"x", nix::AddressMethod::Recursive, nix::HashAlgorithm::Sha256, references, 0}))
        << "the old layout has no place for references";
}

TEST(StoreCodec, ReadsTheRealisationsThatItWrites)
{
    const std::string id = "sha256:" + std::string(64, 'a') + "!out";
    Realisation realisation{id, sample().path, {"key-1:abc="}, {}};
    realisation.dependentRealisations.emplace("sha256:" + std::string(64, 'b') + "!dev", sample().path);
    const auto text = printRealisation(realisation);
    ASSERT_TRUE(text) << text.error().message;
    EXPECT_EQ(parseRealisation(*text), realisation) << *text;
    EXPECT_EQ(
        parseRealisation("{\"id\":\"" + id + "\",\"outPath\":\"" + sample().path.baseName() + "\"}")->outPath,
        sample().path)
        << "newer daemons leave the rest out";
    EXPECT_FALSE(parseRealisation("{}"));
    EXPECT_FALSE(parseRealisation("[]"));
    for (const char* bad : {"", "!", "sha256:zz!out", "x!out", "sha256:aa!out", "out"})
        EXPECT_FALSE(checkRealisationId(bad)) << bad;
    EXPECT_FALSE(checkRealisationId(id + "\"")) << "nothing that could leave the quotes";
}

} // namespace
} // namespace penstock::nixdaemon
