// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/probe/control_group.h"

#include "builder/probe/memory.h"
#include "tests/support/temp_directory.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

namespace penstock::builder {
namespace {

using test::TempDirectory;

void write(const std::string& path, const std::string& text)
{
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text;
}

TEST(ControlGroup, FindsItsOwnInBothKindsOfHierarchy)
{
    EXPECT_EQ(parseOwnGroup("0::/system.slice/penstock-builder.service\n"), "/system.slice/penstock-builder.service");
    EXPECT_EQ(parseOwnGroup("12:memory:/x\n0::/y\n"), "/y");
    EXPECT_EQ(parseOwnGroup("0::/../outside\n"), "/");
    EXPECT_EQ(parseOwnGroup("12:memory:/x\n"), "/");
    EXPECT_EQ(parseOwnGroup(""), "/");
}

TEST(ControlGroup, GoesUpToTheRoot)
{
    using Folders = std::vector<std::string>;
    EXPECT_EQ(groupFolders("/r", "/a/b"), (Folders{"/r/a/b", "/r/a", "/r"}));
    EXPECT_EQ(groupFolders("/r", "/"), Folders{"/r"});
    EXPECT_EQ(groupFolders("/r", ""), Folders{"/r"});
}

TEST(ControlGroup, TakesTheTightestLimitOnTheWay)
{
    const TempDirectory temp;
    const std::string outer = temp.path() + "/outer";
    const std::string inner = outer + "/inner";
    write(inner + "/cpu.max", "max 100000\n");
    write(inner + "/memory.max", "8000\n");
    write(inner + "/memory.high", "max\n");
    write(inner + "/memory.current", "6000\n");
    write(inner + "/memory.stat", "anon 1\ninactive_file 1500\nactive_file 9\n");
    write(outer + "/cpu.max", "150000 100000\n");
    write(outer + "/memory.max", "max\n");
    write(outer + "/memory.high", "7000\n");
    write(outer + "/memory.current", "6500\n");
    write(outer + "/memory.stat", "inactive_file 1500\n");
    const GroupLimits limits = readGroups(groupFolders(temp.path(), "/outer/inner"));
    EXPECT_DOUBLE_EQ(limits.cpus.value_or(0), 1.5);
    EXPECT_EQ(limits.memoryBytes.value_or(0), 7000U);
    EXPECT_EQ(limits.memoryLeftBytes.value_or(0), 2000U); // 7000 - (6500 - 1500), less than 8000 - 4500
}

TEST(ControlGroup, HasNoLimitsWhereNoneAreSet)
{
    const TempDirectory temp;
    write(temp.path() + "/a/memory.max", "max\n");
    write(temp.path() + "/a/memory.current", "6000\n");
    const GroupLimits limits = readGroups(groupFolders(temp.path(), "/a"));
    EXPECT_FALSE(limits.cpus || limits.memoryBytes || limits.memoryLeftBytes);
}

TEST(ControlGroup, HasNothingLeftAboveItsLimit)
{
    const TempDirectory temp;
    write(temp.path() + "/memory.max", "100\n");
    write(temp.path() + "/memory.current", "160\n");
    write(temp.path() + "/memory.stat", "inactive_file 20\n");
    EXPECT_EQ(readGroups({temp.path()}).memoryLeftBytes.value_or(99), 0U);
    EXPECT_EQ(parseInactiveFile("inactive_anon 5\n"), 0U);
}

} // namespace
} // namespace penstock::builder
