// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/output/human_text.h"
#include "client/output/table.h"

#include <gtest/gtest.h>

namespace penstock::client {
namespace {

using namespace std::chrono_literals;

Table sample()
{
    Table table({{"ID", Align::Right}, {"NAME", Align::Left, true}, {"END"}});
    table.add({{"7"}, {"a-rather-long-name-of-a-job"}, {"ok"}});
    table.add({{"1234"}, {"b"}, {""}});
    return table;
}

TEST(Table, PutsNumbersRightAndLeavesNoBlanksAtTheEnd)
{
    EXPECT_EQ(sample().render({}, 0), "  ID  NAME                         END\n"
                                      "   7  a-rather-long-name-of-a-job  ok\n"
                                      "1234  b\n");
}

TEST(Table, ShortensTheFlexibleColumnToTheTerminal)
{
    EXPECT_EQ(sample().render({false, true}, 24), "  ID  NAME           END\n"
                                                  "   7  a-rather-lon…  ok\n"
                                                  "1234  b\n");
}

TEST(Table, PaintsOnlyWhereColoursAreAllowed)
{
    Table table({{"STATE"}});
    table.add({stateCell("failed", {true, true})});
    const auto coloured = table.render({true, true}, 0);
    EXPECT_NE(coloured.find("\x1b[31m✖ failed\x1b[0m"), std::string::npos);
    EXPECT_EQ(table.render({false, true}, 0).find('\x1b'), std::string::npos);
}

TEST(Table, KeepsForeignTextFromSteeringTheTerminal)
{
    Table table({{"NAME"}});
    table.add({{"evil\x1b[2J\nname\xc2\x9b\xff"}});
    EXPECT_EQ(table.render({}, 0), "NAME\nevil?[2J?name?\xEF\xBF\xBD\n");
}

TEST(StateCell, UsesAsciiWithoutUnicode)
{
    EXPECT_EQ(stateCell("succeeded", {}).text, "+ succeeded");
    EXPECT_EQ(stateCell("succeeded", {false, true}).text, "✔ succeeded");
    EXPECT_EQ(stateCell("", {}).text, "");
}

TEST(HumanText, WritesDurationsWithAtMostTwoUnits)
{
    EXPECT_EQ(humanDuration(420ms), "0.4s");
    EXPECT_EQ(humanDuration(59s), "59s");
    EXPECT_EQ(humanDuration(125s), "2m5s");
    EXPECT_EQ(humanDuration(12min + 5s), "12m");
    EXPECT_EQ(humanDuration(3h + 20min), "3h20m");
    EXPECT_EQ(humanDuration(52h), "2d4h");
    EXPECT_EQ(humanDuration(-5s), "0.0s");
}

TEST(HumanText, WritesSizesAndNumbers)
{
    EXPECT_EQ(humanBytes(1023), "1023 B");
    EXPECT_EQ(humanBytes(1536), "1.5 KiB");
    EXPECT_EQ(humanBytes(8ULL << 30U), "8.0 GiB");
    EXPECT_EQ(groupedNumber(1234567), "1,234,567");
    EXPECT_EQ(groupedNumber(999), "999");
}

TEST(HumanText, ReadsRfc3339)
{
    EXPECT_EQ(parseRfc3339("1970-01-01T00:00:01.5Z")->micros(), 1'500'000);
    EXPECT_EQ(parseRfc3339("1970-01-01T01:00:01+01:00")->micros(), 1'000'000);
    EXPECT_FALSE(parseRfc3339("10m"));
    EXPECT_FALSE(parseRfc3339(""));
}

} // namespace
} // namespace penstock::client
