// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/spool/work_directory.h"

#include "tests/support/temp_directory.h"

#include <gtest/gtest.h>

namespace penstock::builder {
namespace {

using test::TempDirectory;

TEST(WorkDirectory, KeepsItsIdentity)
{
    const TempDirectory temp;
    std::string identity;
    {
        const auto first = WorkDirectory::open(temp.path() + "/a/b");
        ASSERT_TRUE(first);
        identity = first->identity();
        EXPECT_EQ(identity.size(), 32U);
    }
    const auto second = WorkDirectory::open(temp.path() + "/a/b");
    ASSERT_TRUE(second);
    EXPECT_EQ(second->identity(), identity);
    const auto other = WorkDirectory::open(temp.path() + "/c");
    ASSERT_TRUE(other);
    EXPECT_NE(other->identity(), identity);
}

TEST(WorkDirectory, RefusesASecondBuilder)
{
    const TempDirectory temp;
    const auto first = WorkDirectory::open(temp.path());
    ASSERT_TRUE(first);
    const auto second = WorkDirectory::open(temp.path());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::Conflict);
    EXPECT_NE(second.error().message.find("--work-dir"), std::string::npos);
}

TEST(WorkDirectory, RefusesADamagedIdentity)
{
    const TempDirectory temp;
    ASSERT_TRUE(writeFileAtomically(temp.path() + "/identity", "not hex"));
    const auto directory = WorkDirectory::open(temp.path());
    ASSERT_FALSE(directory);
    EXPECT_EQ(directory.error().code, ErrorCode::Corrupt);
}

} // namespace
} // namespace penstock::builder
