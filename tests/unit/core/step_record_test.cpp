// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/core/detail/step_record.h"

#include <gtest/gtest.h>
#include <string>

namespace penstock::core::detail {
namespace {

const std::string kHash = "0123456789abcdfghijklmnpqrsvwxyz";

void comesBack(const std::string& name, const std::string& drvPath, std::vector<work::NixOutput> outputs)
{
    const work::NixWork nix{drvPath, {}, {}, std::move(outputs)};
    const PackedWork packed(name, nix);
    EXPECT_EQ(packed.name(), name);
    EXPECT_EQ(packed.sharingKey(), drvPath);
    const work::Work work = packed.work();
    EXPECT_EQ(std::get<work::NixWork>(work), nix);
}

TEST(PackedWork, GivesBackEveryPath)
{
    const std::string store = "/nix/store/" + kHash + "-";
    comesBack("hello-1.0", store + "hello-1.0.drv",
              {{"out", store + "hello-1.0"}, {"dev", store + "hello-1.0-dev"}, {"ca", ""}});
    // The name is another, as are store and output.
    comesBack("hello", store + "other-1.0.drv", {{"out", store + "hello-dev"}, {"dev", store + "hello"}});
    comesBack("hello-1.0", "/gnu/store/" + kHash + "-hello-1.0.drv", {{"out", "/gnu/store/" + kHash + "-hello-1.0"}});
    comesBack("a", "/nix/store/a.drv", {{"out", "/nix/store/a"}});
    comesBack("", "", {});
}

TEST(PackedWork, GivesBackACommand)
{
    const work::CommandWork command{{"sh", "-c", ""}, {{"A", "b"}}};
    const PackedWork packed("name", command);
    EXPECT_EQ(std::get<work::CommandWork>(packed.work()), command);
    EXPECT_EQ(packed.sharingKey(), "");
}

} // namespace
} // namespace penstock::core::detail
