// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/app/command_line.h"
#include "client/commands/table.h"

#include <gtest/gtest.h>

namespace penstock::client {
namespace {

using Words = std::vector<std::string>;

const config::Environment kNoEnvironment{{"HOME", "/nonexistent"}};

Parsed parsed(const CommandTable& table, const Words& words,
              const config::Environment& environment = kNoEnvironment)
{
    const auto line = parseLine(table, words, environment);
    EXPECT_TRUE(line) << (line ? "" : line.error().message);
    return line ? std::get<Parsed>(*line) : Parsed{};
}

std::string refusal(const Words& words)
{
    const auto line = parseLine(commandTable(), words, kNoEnvironment);
    return line ? "accepted" : line.error().message;
}

TEST(CommandLine, LeavesTheWordsOfAJobAlone)
{
    const auto table = commandTable();
    const Words command{"sh", "-c", "echo \"$1\"", "--json", "--", "--help", ""};
    Words line{"run", "--name", "jobs", "--json", "--"};
    line.insert(line.end(), command.begin(), command.end());
    const auto run = parsed(table, line);
    EXPECT_EQ(run.values.arguments("CMD"), command);
    EXPECT_EQ(run.values.text("name"), "jobs");
    EXPECT_TRUE(run.values.flag("json"));
}

TEST(CommandLine, FindsTheCommandOfRunWithoutTheDashes)
{
    const auto table = commandTable();
    const auto run = parsed(table, {"--server", "run", "run", "-e", "A=B", "ls", "--quiet", "-l"});
    EXPECT_EQ(run.values.arguments("CMD"), (Words{"ls", "--quiet", "-l"}));
    EXPECT_EQ(run.values.text("server"), "run");
    EXPECT_FALSE(run.values.flag("quiet"));
    EXPECT_EQ(run.values.list("env"), (Words{"A=B"}));
}

TEST(CommandLine, TakesGlobalFlagsBeforeAndAfterTheCommand)
{
    const auto table = commandTable();
    EXPECT_TRUE(parsed(table, {"--json", "jobs"}).values.flag("json"));
    EXPECT_TRUE(parsed(table, {"jobs", "--json"}).values.flag("json"));
}

TEST(CommandLine, PrefersFlagsToTheEnvironment)
{
    const auto table = commandTable();
    const config::Environment environment{{"HOME", "/nonexistent"}, {"PENSTOCK_SERVER", "ws://env:1"}};
    EXPECT_EQ(parsed(table, {"jobs"}, environment).values.text("server"), "ws://env:1");
    EXPECT_EQ(parsed(table, {"jobs", "--server", "ws://flag:1"}, environment).values.text("server"),
              "ws://flag:1");
    EXPECT_EQ(parsed(table, {"jobs"}).values.text("server"), "ws://127.0.0.1:7780");
}

TEST(CommandLine, IsNotSteeredByTheEnvironmentOfAJob)
{
    const auto table = commandTable();
    const config::Environment environment{{"HOME", "/nonexistent"},
                                          {"PENSTOCK_MACHINE", "b1"},
                                          {"PENSTOCK_CPUS", "4"},
                                          {"PENSTOCK_ATTEMPT", "9"}};
    EXPECT_FALSE(parsed(table, {"run", "true"}, environment).values.has("machine"));
    EXPECT_FALSE(parsed(table, {"logs", "7"}, environment).values.has("attempt"));
}

TEST(CommandLine, NamesTheNearestWordForAMistake)
{
    EXPECT_NE(refusal({"machnes"}).find("machines"), std::string::npos);
    EXPECT_NE(refusal({"jobs", "--opn"}).find("--open"), std::string::npos);
    EXPECT_NE(refusal({"jobs", "--limit", "0"}).find("limit"), std::string::npos);
    EXPECT_NE(refusal({"jobs", "--state", "odd"}).find("state"), std::string::npos);
    EXPECT_NE(refusal({"cancel"}).find("ID"), std::string::npos);
    EXPECT_NE(refusal({"help", "nosuch"}).find("nosuch"), std::string::npos);
    EXPECT_NE(refusal({"completion", "ksh"}).find("ksh"), std::string::npos);
    EXPECT_NE(refusal({"--quiet"}).find("command is needed"), std::string::npos);
}

TEST(CommandLine, ExplainsEveryCommandWithAnExample)
{
    const auto table = commandTable();
    const auto program = programSpec(table, kNoEnvironment);
    for (const auto& command : table) {
        EXPECT_FALSE(command.examples.empty()) << command.spec.name;
        const auto text = helpText(table, program, command.spec.name);
        EXPECT_TRUE(text.starts_with("Usage: penstock " + command.spec.name)) << text;
        EXPECT_NE(text.find("\nExamples:\n  "), std::string::npos) << command.spec.name;
        const auto line = parseLine(table, Words{command.spec.name, "--help"}, kNoEnvironment);
        ASSERT_TRUE(line);
        if (command.spec.name == "help")
            continue; // its own page is the list of commands
        EXPECT_EQ(std::get<Answered>(*line).text, text);
        EXPECT_EQ(
            std::get<Answered>(*parseLine(table, Words{"help", command.spec.name}, kNoEnvironment)).text,
            text);
    }
}

} // namespace
} // namespace penstock::client
