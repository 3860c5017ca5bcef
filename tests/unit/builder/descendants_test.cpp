// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/descendants.h"

#include <gtest/gtest.h>

namespace penstock::builder {
namespace {

TEST(ProcessStat, IsReadBehindANameThatHoldsAnything)
{
    ProcessFacts facts;
    ASSERT_TRUE(parseProcessStat("42 (a) b) S 7) S 7 40 41 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 12345 0\n", 100, facts));
    EXPECT_EQ(facts.pid, 42);
    EXPECT_EQ(facts.parent, 7);
    EXPECT_EQ(facts.group, 40);
    EXPECT_EQ(facts.session, 41);
    EXPECT_FALSE(facts.zombie);
    EXPECT_EQ(facts.startedSinceBoot, Duration{123'450'000});
}

TEST(ProcessStat, RefusesOtherText)
{
    ProcessFacts facts;
    for (const char* text : {"", "42", "42 (a)", "x (a) S 7 40 41", "42 (a) S 7 40", "42 (a) S 7 40 41 0 0 0 0"})
        EXPECT_FALSE(parseProcessStat(text, 100, facts)) << text;
}

TEST(EnvironmentMark, IsTheFolderOrInsideItOrItsTemporary)
{
    using namespace std::string_view_literals;
    const std::string_view folder = "/w/attempts/1";
    EXPECT_TRUE(environmentNames("A=b\0HOME=/w/attempts/1\0"sv, folder));
    EXPECT_TRUE(environmentNames("TMPDIR=/w/attempts/1.tmp\0"sv, folder));
    EXPECT_TRUE(environmentNames("HOME=/w/attempts/1/sub"sv, folder));
    EXPECT_FALSE(environmentNames("HOME=/w/attempts/12\0"sv, folder));
    EXPECT_FALSE(environmentNames("XHOME=/w/attempts/1\0"sv, folder));
    EXPECT_FALSE(environmentNames(""sv, folder));
}

} // namespace
} // namespace penstock::builder
