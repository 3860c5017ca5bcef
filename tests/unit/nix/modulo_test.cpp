// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/modulo.h"
#include "tests/support/golden.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

const StoreDir kDir = StoreDir::standard();

struct Vector {
    std::string attribute;
    StorePath path;
    Derivation drv;
};

// In the order of drv.tsv, which names inputs before those that need them.
std::vector<Vector> vectors()
{
    std::vector<Vector> all;
    for (const auto& row : test::readGoldenTable("nix/drv.tsv")) {
        const StorePath path = StorePath::parse(kDir, row[1]).value();
        all.push_back(
            {row[0], path,
             parseDerivationAt(kDir, path, test::readGolden("nix/drv/" + row[0] + ".drv")).value()});
    }
    return all;
}

TEST(ModuloHashes, GiveTheRealisationIdsOfNix)
{
    ModuloHashes hashes(kDir);
    std::map<std::string, Modulo> masked;
    for (const Vector& vector : vectors()) {
        auto modulo = hashes.masked(vector.drv);
        ASSERT_TRUE(modulo) << vector.attribute << ": " << modulo.error().message;
        masked.emplace(vector.attribute, *modulo);
        ASSERT_TRUE(hashes.add(vector.path, vector.drv));
    }
    const auto rows = test::readGoldenTable("nix/realisations.tsv");
    ASSERT_GE(rows.size(), 15U);
    for (const auto& row : rows) {
        const std::string id = row[1].substr(0, row[1].find('!'));
        EXPECT_EQ(masked.at(row[0]).hash.prefixedBase16(), id) << row[0];
    }
    EXPECT_TRUE(masked.at("deferred").isDeferred);
    EXPECT_FALSE(masked.at("deps2").isDeferred);
}

TEST(ModuloHashes, VerifyTheOutputPathsOfEveryVector)
{
    ModuloHashes hashes(kDir);
    for (const Vector& vector : vectors()) {
        const auto verified = hashes.verifyOutputPaths(vector.drv);
        EXPECT_TRUE(verified) << vector.attribute << ": " << verified.error().message;
        ASSERT_TRUE(hashes.add(vector.path, vector.drv));
    }
}

TEST(ModuloHashes, RefuseAWrongOutputPath)
{
    ModuloHashes hashes(kDir);
    for (const Vector& vector : vectors()) {
        ASSERT_TRUE(hashes.add(vector.path, vector.drv));
        if (vector.drv.outputKind() != OutputKind::InputAddressed &&
            vector.drv.outputKind() != OutputKind::Fixed)
            continue;
        Derivation changed = vector.drv;
        changed.environment["added"] = "by somebody";
        if (vector.drv.outputKind() == OutputKind::InputAddressed) {
            EXPECT_FALSE(hashes.verifyOutputPaths(changed)) << vector.attribute;
        }
        changed = vector.drv;
        const std::string name = changed.outputs.begin()->first;
        changed.environment.erase(name);
        EXPECT_FALSE(hashes.verifyOutputPaths(changed)) << vector.attribute << ": no variable of an output";
        changed = vector.drv;
        changed.outputs.begin()->second.path = vector.path;
        EXPECT_FALSE(hashes.verifyOutputPaths(changed)) << vector.attribute << ": another path";
    }
}

TEST(ModuloHashes, NeedTheInputsFirst)
{
    for (const Vector& vector : vectors()) {
        if (vector.attribute != "deps")
            continue;
        const auto modulo = ModuloHashes(kDir).masked(vector.drv);
        ASSERT_FALSE(modulo);
        EXPECT_EQ(modulo.error().code, ErrorCode::NotFound);
    }
}

} // namespace
} // namespace penstock::nix
