// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/packed_path.h"

#include "server/work/dag.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace penstock::work {
namespace {

TEST(PackedPath, KeepsEveryLetterInItsPlace)
{
    const std::string letters = "0123456789abcdfghijklmnpqrsvwxyz";
    std::string turned = letters;
    for (std::size_t i = 0; i < letters.size(); ++i) {
        std::rotate(turned.begin(), turned.begin() + 1, turned.end());
        const auto hash = packHash(turned);
        ASSERT_TRUE(hash.has_value());
        EXPECT_EQ(unpackHash(*hash), turned);
    }
    EXPECT_EQ(unpackHash(*packHash(std::string(32, 'z'))), std::string(32, 'z'));
}

TEST(PackedPath, RefusesOtherLettersAndLengths)
{
    EXPECT_FALSE(packHash(std::string(32, 'e')));
    EXPECT_FALSE(packHash(std::string(31, 'a')));
    EXPECT_FALSE(packHash(std::string(33, 'a')));
    EXPECT_FALSE(packHash(std::string(31, 'a') + "\xff"));
}

TEST(PackedPath, SplitsWhatHasTheFormOfAStorePath)
{
    const std::string path = "/nix/store/" + std::string(32, 'a') + "-hello-1.0.drv";
    const auto split = splitPath(path);
    ASSERT_TRUE(split.has_value());
    EXPECT_EQ(split->directory, "/nix/store");
    EXPECT_EQ(split->rest, "hello-1.0.drv");
    EXPECT_FALSE(splitPath("/nix/store/a.drv"));
    EXPECT_FALSE(splitPath("/nix/store/" + std::string(32, 'a')));
    EXPECT_FALSE(splitPath(std::string(32, 'a') + "-x"));
    EXPECT_FALSE(splitPath(""));
}

TEST(PackedPath, TellsKeysApartWhateverDiffers)
{
    Dag dag;
    const std::string a(32, 'a');
    const std::string b = std::string(31, 'a') + "b";
    const std::vector<std::string> keys{"/nix/store/" + a + "-x.drv", "/nix/store/" + a + "-y.drv", "/nix/store/x.drv",
                                        "/gnu/store/" + a + "-x.drv", "/nix/store/" + b + "-x.drv", "/nix/store/y.drv"};
    for (std::uint64_t i = 0; i < keys.size(); ++i) {
        dag.add(StepId(i + 1), Dag::Outcome::Open);
        dag.share(keys[i], StepId(i + 1));
    }
    for (std::uint64_t i = 0; i < keys.size(); ++i)
        EXPECT_EQ(dag.findShared(keys[i]), StepId(i + 1)) << keys[i];
    dag.share(keys[0], StepId(2));
    dag.unshare(keys[0], StepId(1)); // stands for another by now
    EXPECT_EQ(dag.findShared(keys[0]), StepId(2));
    dag.unshare(keys[0], StepId(2));
    EXPECT_FALSE(dag.findShared(keys[0]));
    dag.unshare(keys[5], StepId(6));
    EXPECT_FALSE(dag.findShared(keys[5]));
    EXPECT_EQ(dag.findShared(keys[1]), StepId(2));
}

} // namespace
} // namespace penstock::work
