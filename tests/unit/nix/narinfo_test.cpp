// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/narinfo.h"
#include "tests/support/golden.h"
#include "tests/unit/nix/cache_vectors.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

const StoreDir kDir = StoreDir::standard();

constexpr std::string_view kHash = "sha256:1p8bs5fjj5i8rxrds3m61f2kr034r3ifspmj1jzfiv0f5706a6cp";
constexpr std::string_view kPath = "/nix/store/3312kys3knjskf490h2cq02gy5ydsrn5-debug";

// What every narinfo must have, and more lines.
std::string text(std::string_view more = "")
{
    return std::string("StorePath: ") + std::string(kPath) +
           "\nURL: nar/x.nar\nNarHash: " + std::string(kHash) + "\nNarSize: 1768\nReferences: \n" +
           std::string(more);
}

std::string messageOf(const std::string& narinfo, NarInfoKind kind = NarInfoKind::WithFile)
{
    const auto info = parseNarInfo(kDir, narinfo, kind);
    return info ? "it was accepted" : info.error().message;
}

std::string replaced(std::string narinfo, std::string_view from, std::string_view to)
{
    return narinfo.replace(narinfo.find(from), from.size(), to);
}

TEST(NarInfo, ReadsAndWritesWhatNixWrote)
{
    auto files = test::goldenFiles("nix/cache", ".narinfo");
    ASSERT_GE(files.size(), 10U);
    for (const char* method : {"none", "xz", "bzip2", "zstd", "br", "gzip"}) {
        const auto more = test::goldenFiles(std::string("nix/compressed/") + method, ".narinfo");
        ASSERT_EQ(more.size(), 1U);
        files.push_back(more.front());
    }
    for (const std::string& file : files) {
        const std::string narinfo = penstock::test::readGolden(file);
        const auto info = parseNarInfo(kDir, narinfo);
        ASSERT_TRUE(info) << file << ": " << info.error().message;
        EXPECT_EQ(printNarInfo(kDir, *info), narinfo);
        EXPECT_EQ(file.substr(file.rfind('/') + 1), std::string(info->path.digest()) + ".narinfo");
    }
}

TEST(NarInfo, TellsTheHashAndSizeOfTheArchiveThatNixWrote)
{
    for (const std::string& file : test::goldenFiles("nix/cache", ".narinfo")) {
        const auto info = parseNarInfo(kDir, penstock::test::readGolden(file)).value();
        const std::string nar = test::fromHex(penstock::test::readGolden("nix/cache/" + info.url + ".hex"));
        EXPECT_EQ(nar.size(), info.narSize) << file;
        EXPECT_EQ(hashOf(nar), info.narHash) << file;
        EXPECT_EQ(info.fileHash, info.narHash) << file;
        EXPECT_EQ(info.fileSize, info.narSize) << file;
    }
}

TEST(NarInfo, ReadsWhatOtherWritersDoDifferently)
{
    const std::string base16 = Hash::parse(kHash).value().prefixedBase16();
    const std::string sri = Hash::parse(kHash).value().sri();
    const auto plain = parseNarInfo(kDir, text());
    ASSERT_TRUE(plain) << plain.error().message;
    EXPECT_EQ(plain->compression, "bzip2");
    EXPECT_FALSE(plain->fileHash || plain->fileSize || plain->deriver);
    for (const std::string& same :
         {text("Deriver: unknown-deriver\n"), text("Deriver: \n"), text("Compression: \n"),
          text("Future: anything: at all\n"), text("Future: once\nFuture: twice\n"), text("CA: \n"),
          replaced(text(), "References: \n", ""), replaced(text(), "References: \n", "References:\n"),
          replaced(text(), kHash, base16), replaced(text(), kHash, sri)}) {
        const auto info = parseNarInfo(kDir, same);
        ASSERT_TRUE(info) << same << info.error().message;
        EXPECT_EQ(*info, *plain) << same;
    }
    const std::string pair = "aqajilq2dvvac1h19q9z8gh18k8ka4x8-deps 3312kys3knjskf490h2cq02gy5ydsrn5-debug";
    const auto unsorted = parseNarInfo(kDir, replaced(text(), "References: ", "References: " + pair));
    ASSERT_TRUE(unsorted);
    EXPECT_EQ(unsorted->references.size(), 2U);
    EXPECT_TRUE(unsorted->references.contains(unsorted->path)) << "a self-reference";
}

TEST(NarInfo, SaysWhichLineIsWrong)
{
    EXPECT_EQ(messageOf(text("Sig")), "narinfo line 6: is cut short: no newline at its end");
    EXPECT_EQ(messageOf(text("Sig\n")), "narinfo line 6: \"Sig\" is not of the form Key: value");
    EXPECT_EQ(messageOf(text("NarSize: 1\n")), "narinfo line 6: NarSize is there a second time");
    EXPECT_EQ(messageOf(text("References: \n")), "narinfo line 6: References is there a second time");
    EXPECT_EQ(messageOf(text("CA: a\nCA: b\n")), "narinfo line 7: CA is there a second time");
    EXPECT_EQ(messageOf(text("System: a\rb\n")), "narinfo line 6: System has a control character in \"a?b\"");
    EXPECT_EQ(messageOf(text("Sig: \n")), "narinfo line 6: Sig: is empty; it must be NAME:BASE64");
    EXPECT_EQ(messageOf(replaced(text(), "NarSize: 1768", "NarSize: 0")),
              "narinfo line 4: NarSize: is 0; no archive is empty");
    EXPECT_EQ(messageOf(replaced(text(), std::string(kHash), "sha1:93cy7kafbb0c32dbhxixyafxhj2cpmwb")),
              "narinfo line 3: NarHash: must be sha256, not sha1");
}

TEST(NarInfo, RefusesWhatNeitherWeNorNixCanUse)
{
    for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
             {std::string(kPath), "/other/store/3312kys3knjskf490h2cq02gy5ydsrn5-debug"},
             {std::string(kPath), std::string(kPath) + "/bin"},
             {std::string(kPath), "3312kys3knjskf490h2cq02gy5ydsrn5-debug"},
             {"StorePath", "Path"},
             {"URL: nar/x.nar", "URL: "},
             {"NarHash", "Hash"},
             {std::string(kHash), std::string(kHash.substr(7))},
             {std::string(kHash), std::string(kHash.substr(0, 40))},
             {"NarSize: 1768", "NarSize: -1"},
             {"NarSize: 1768", "NarSize: 18446744073709551616"},
             {"NarSize: 1768", "NarSize: 1768x"},
             {"NarSize: 1768\n", ""},
             {"References: ", "References: /nix/store/aqajilq2dvvac1h19q9z8gh18k8ka4x8-deps"},
             {"References: ", "References: debug"}}) {
        const auto info = parseNarInfo(kDir, replaced(text(), from, to));
        ASSERT_FALSE(info) << from << " → " << to;
        EXPECT_EQ(info.error().code, ErrorCode::Invalid);
    }
    EXPECT_EQ(messageOf(""), "narinfo: has no StorePath");
}

TEST(NarInfo, NeedsNoFileWhereNoneIsMeant)
{
    const std::string without = replaced(text(), "URL: nar/x.nar\n", "");
    EXPECT_EQ(messageOf(without), "narinfo of 3312kys3knjskf490h2cq02gy5ydsrn5-debug: has no URL");
    const auto info = parseNarInfo(kDir, without, NarInfoKind::WithoutFile);
    ASSERT_TRUE(info) << info.error().message;
    EXPECT_TRUE(info->url.empty() && info->compression.empty());
    EXPECT_EQ(printNarInfo(kDir, *info), without);
}

TEST(NarInfo, BoundsWhatAPeerCanMakeUsKeep)
{
    std::string signatures;
    for (std::size_t i = 0; i < kMaxSignatures; ++i)
        signatures += "Sig: a:b\n";
    EXPECT_TRUE(parseNarInfo(kDir, text(signatures)));
    EXPECT_EQ(parseNarInfo(kDir, text(signatures + "Sig: a:b\n")).error().code, ErrorCode::Exhausted);

    std::string references;
    for (std::size_t i = 0; i < kMaxReferences; ++i)
        references += "3312kys3knjskf490h2cq02gy5ydsrn5-" + std::to_string(i) + " ";
    const auto with = [&](const std::string& names) {
        return parseNarInfo(kDir, replaced(text(), "References: ", "References: " + names));
    };
    EXPECT_EQ(with(references).value().references.size(), kMaxReferences);
    EXPECT_TRUE(with(references + "3312kys3knjskf490h2cq02gy5ydsrn5-7")) << "the same once more";
    EXPECT_EQ(with(references + "3312kys3knjskf490h2cq02gy5ydsrn5-x").error().code, ErrorCode::Exhausted);

    const std::string long_ = text("Future: " + std::string(kMaxNarInfoBytes, 'x') + "\n");
    EXPECT_EQ(parseNarInfo(kDir, long_).error().code, ErrorCode::Exhausted);
}

TEST(NarInfo, ManyStandInOneTextWithEmptyLinesBetween)
{
    std::vector<NarInfo> infos;
    for (const std::string& file : test::goldenFiles("nix/cache", ".narinfo"))
        infos.push_back(parseNarInfo(kDir, penstock::test::readGolden(file)).value());
    const std::string all = printNarInfos(kDir, infos);
    EXPECT_EQ(parseNarInfos(kDir, all, NarInfoKind::WithFile).value(), infos);
    EXPECT_TRUE(parseNarInfos(kDir, "", NarInfoKind::WithFile).value().empty());
    const auto cut = parseNarInfos(kDir, all.substr(0, all.size() - 1), NarInfoKind::WithFile);
    ASSERT_FALSE(cut);
    EXPECT_TRUE(cut.error().message.starts_with("path 10 of the list: narinfo line ")) << cut.error().message;
    EXPECT_FALSE(parseNarInfos(kDir, "\n" + all, NarInfoKind::WithFile));
}

TEST(NarInfo, FingerprintHasSortedFullPathsAndTheSelfReference)
{
    const auto info = parseNarInfo(
        kDir,
        replaced(text(), "References: ",
                 "References: aqajilq2dvvac1h19q9z8gh18k8ka4x8-deps 3312kys3knjskf490h2cq02gy5ydsrn5-debug"));
    EXPECT_EQ(fingerprint(kDir, info.value()), "1;" + std::string(kPath) + ";" + std::string(kHash) +
                                                   ";1768;" + std::string(kPath) +
                                                   ",/nix/store/aqajilq2dvvac1h19q9z8gh18k8ka4x8-deps");
    EXPECT_EQ(fingerprint(kDir, parseNarInfo(kDir, text()).value()),
              "1;" + std::string(kPath) + ";" + std::string(kHash) + ";1768;");
}

} // namespace
} // namespace penstock::nix
