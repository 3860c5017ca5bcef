// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/references.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

const std::string kOne = "3312kys3knjskf490h2cq02gy5ydsrn5";
const std::string kTwo = "qgggmh3l96fi791a1gqbxc2lmf926cxz";

std::set<std::string> scan(const std::set<std::string>& digests, const std::string& text, std::size_t piece)
{
    ReferenceScanner scanner(digests);
    for (std::size_t at = 0; at < text.size(); at += piece) {
        const std::string copy = text.substr(at, piece); // of exact size, for the address sanitizer
        scanner.push(copy);
    }
    return scanner.found();
}

TEST(References, FindsDigestsAcrossAllBordersOfPieces)
{
    const std::string text = "#!/nix/store/" + kOne + "-bash/bin/sh\n\0\xff" + kTwo;
    const std::set<std::string> both = {kOne, kTwo};
    for (std::size_t piece = 1; piece <= text.size(); ++piece)
        EXPECT_EQ(scan(both, text, piece), both) << piece;
}

TEST(References, FindsADigestWithinALongerRunOfItsAlphabet)
{
    for (const std::string& before :
         {std::string("0"), std::string(31, '0'), std::string(100, 'a'), kTwo.substr(7)})
        for (const std::size_t piece :
             {std::size_t{1}, std::size_t{5}, std::size_t{32}, std::size_t{33}, std::size_t{999}})
            EXPECT_EQ(scan({kOne, kTwo}, before + kOne + "00", piece), std::set<std::string>{kOne}) << before;
}

TEST(References, FindsNoneThatIsCutOrSpelledOtherwise)
{
    std::string upper = kOne;
    upper[5] = 'Y';
    for (const std::string& text :
         {kOne.substr(1), kOne.substr(0, 31), kOne.substr(0, 16) + "\n" + kOne.substr(16), upper,
          kOne.substr(0, 31) + "6", std::string()})
        EXPECT_TRUE(scan({kOne, kTwo}, text, 7).empty()) << text;
}

TEST(References, FindsOnlyWhatIsAskedFor)
{
    EXPECT_EQ(scan({kTwo}, kOne + kTwo, 10), std::set<std::string>{kTwo});
    EXPECT_TRUE(scan({}, kOne + kTwo, 10).empty());
    EXPECT_TRUE(scan({"short", std::string(32, 'e')}, "short" + std::string(40, 'e'), 10).empty());
}

TEST(References, NamesThePathsOfTheDigestsItFound)
{
    StorePathSet paths;
    for (const std::string& digest : {kOne, kTwo})
        paths.insert(StorePath::fromBaseName(digest + "-name").value());
    ReferenceScanner scanner(paths);
    scanner.push("x" + kTwo);
    EXPECT_EQ(scanner.foundOf(paths), StorePathSet{StorePath::fromBaseName(kTwo + "-name").value()});
    ReferenceScanner moved = std::move(scanner);
    moved.push(kOne);
    EXPECT_EQ(moved.foundOf(paths), paths);
}

} // namespace
} // namespace penstock::nix
