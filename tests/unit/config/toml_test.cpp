// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/config/options.h"

#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

namespace penstock::config {
namespace {

class ConfigFile : public ::testing::Test {
protected:
    ConfigFile()
    {
        std::string name = "/tmp/penstock-config-XXXXXX";
        const int descriptor = ::mkstemp(name.data());
        EXPECT_GE(descriptor, 0);
        ::close(descriptor);
        m_path = name;
    }
    ~ConfigFile() override { ::unlink(m_path.c_str()); }

    Result<Values> read(const std::string& text)
    {
        std::ofstream(m_path) << text;
        const ProgramSpec program{
            .name = "penstock-test",
            .options = {{.name = "data-dir", .synonyms = {"hydraDataDir", "hydra.dataDir"}},
                        {.name = "listen", .fallback = "127.0.0.1:7780", .repeatable = true},
                        {.name = "max-jobs", .kind = Kind::Integer, .least = 1, .most = 1000},
                        {.name = "insecure", .kind = Kind::Flag},
                        {.name = "load1", .kind = Kind::Number},
                        {.name = "max-log", .kind = Kind::Size},
                        {.name = "drain-timeout", .kind = Kind::Duration, .fallback = "1h"}}};
        auto outcome = parse(program, std::vector<std::string>{"--config", m_path}, {});
        if (!outcome)
            return fail(std::move(outcome).error());
        return std::get<Values>(std::move(*outcome));
    }
    std::string refusal(const std::string& text)
    {
        const auto values = read(text);
        if (values)
            return "accepted";
        std::string message = values.error().message;
        for (auto at = message.find(m_path); at != std::string::npos; at = message.find(m_path))
            message.replace(at, m_path.size(), "FILE");
        return message;
    }

    std::string m_path;
};

TEST_F(ConfigFile, EveryKindIsReadFromItsTomlForm)
{
    const auto values = read("data-dir = \"/d\"\nlisten = [\"a:1\", \"b:2\"]\nmax_jobs = 7\ninsecure = true\n"
                             "load1 = 1.5\nmax-log = \"2MiB\"\ndrain-timeout = 90\n");
    ASSERT_TRUE(values) << values.error().message;
    EXPECT_EQ(values->text("data-dir"), "/d");
    EXPECT_EQ(values->list("listen"), (std::vector<std::string>{"a:1", "b:2"}));
    EXPECT_EQ(values->integer("max-jobs"), 7);
    EXPECT_TRUE(values->flag("insecure"));
    EXPECT_DOUBLE_EQ(values->number("load1"), 1.5);
    EXPECT_EQ(values->size("max-log"), 2U << 20U);
    EXPECT_EQ(values->duration("drain-timeout"), std::chrono::seconds(90));
    EXPECT_EQ(values->source("listen"), Source::File);
    EXPECT_EQ(values->configFile(), m_path);
}

TEST_F(ConfigFile, AnUnknownKeyIsRefusedWithItsLineAndTheNearestKey)
{
    EXPECT_EQ(refusal("insecure = true\nlsten = \"a:1\"\n"),
              "FILE:2: unknown key \"lsten\"; did you mean \"listen\"?");
    EXPECT_EQ(refusal("[database]\nspeed = 1\n"), "FILE:2: unknown key \"database.speed\"");
    EXPECT_EQ(refusal("config = \"x\"\n"), "FILE:1: unknown key \"config\"");
}

TEST_F(ConfigFile, AWrongTypeNamesKeyLineAndValue)
{
    EXPECT_EQ(refusal("\nmax-jobs = \"7\"\n"), "FILE:2: max-jobs = 7 should be a whole number");
    EXPECT_EQ(refusal("listen = 7780\n"), "FILE:1: listen = 7780 should be text in quotes");
    EXPECT_EQ(refusal("insecure = 1\n"), "FILE:1: insecure = 1 should be true or false");
    EXPECT_EQ(refusal("data-dir = [\"a\"]\n"), "FILE:1: data-dir is an array, it takes one value");
    EXPECT_EQ(refusal("data-dir = 2026-11-21\n"), "FILE:1: data-dir = … should be text in quotes");
}

TEST_F(ConfigFile, LimitsAreCheckedAtTheLimitAndBeyond)
{
    EXPECT_EQ(refusal("max-jobs = 1\n"), "accepted");
    EXPECT_EQ(refusal("max-jobs = 1000\n"), "accepted");
    EXPECT_EQ(refusal("max-jobs = 0\n"), "FILE:1: max-jobs is 0, the least is 1");
    EXPECT_EQ(refusal("max-jobs = 1001\n"), "FILE:1: max-jobs is 1001, the most is 1000");
    EXPECT_EQ(refusal("max-log = \"5 MB\"\n"), "FILE:1: max-log: \"5 MB\" is not a size such as 512MiB");
}

TEST_F(ConfigFile, BrokenTomlNamesTheLine)
{
    EXPECT_EQ(refusal("insecure = true\nlisten = \n").substr(0, 7), "FILE:2:");
}

TEST_F(ConfigFile, SynonymsAreAcceptedAndTold)
{
    const auto values = read("[hydra]\ndataDir = \"/h\"\n");
    ASSERT_TRUE(values) << values.error().message;
    EXPECT_EQ(values->text("data-dir"), "/h");
    ASSERT_EQ(values->synonymsUsed().size(), 1U);
    EXPECT_EQ(values->synonymsUsed().front().key, "hydra.dataDir");
    EXPECT_EQ(values->synonymsUsed().front().name, "data-dir");
}

TEST_F(ConfigFile, TheSameThingSaidTwiceIsRefused)
{
    EXPECT_EQ(refusal("data-dir = \"/a\"\ndata_dir = \"/b\"\n"),
              "FILE:2: \"data_dir\" says again what FILE:1: data-dir says");
    EXPECT_NE(refusal("data-dir = \"/a\"\nhydraDataDir = \"/b\"\n"), "accepted");
}

TEST_F(ConfigFile, TooDeepOrTooLargeIsRefused)
{
    EXPECT_NE(refusal("a.b.c.d.e.f.g.h.i.j.k = 1\n").find("nested deeper than 8"), std::string::npos);
    EXPECT_NE(refusal(std::string(1024 * 1024 + 1, '#')).find("larger than the limit of 1048576"),
              std::string::npos);
    EXPECT_EQ(refusal(std::string(1024 * 1024, '#')), "accepted");
}

} // namespace
} // namespace penstock::config
