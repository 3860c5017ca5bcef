// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/config/options.h"

#include <gtest/gtest.h>

namespace penstock::config {
namespace {

ProgramSpec program()
{
    return {
        .name = "penstock-test",
        .summary = "A program for tests.",
        .options = {
            {.name = "listen", .help = "where to listen", .fallback = "127.0.0.1:7780", .repeatable = true},
            {.name = "systems", .commaSeparated = true},
            {.name = "max-jobs", .kind = Kind::Integer, .fallback = "4"},
            {.name = "insecure", .kind = Kind::Flag},
            {.name = "no-color", .kind = Kind::Flag}}};
}

ProgramSpec clientProgram()
{
    ProgramSpec client = program();
    client.commands = {
        {.name = "run",
         .help = "runs a command",
         .options = {{.name = "name"}, {.name = "priority", .kind = Kind::Integer}},
         .arguments = {{.name = "CMD", .help = "what to run", .repeatable = true}}},
        {.name = "build",
         .options = {{.name = "attr", .repeatable = true, .letter = 'A'},
                     {.name = "follow", .kind = Kind::Flag, .letter = 'f'}},
         .arguments = {{.name = "FILE"}, {.name = "MORE", .required = false, .repeatable = true}}},
        {.name = "jobs", .help = "lists jobs"}};
    return client;
}

Result<Values> read(const ProgramSpec& spec, const std::vector<std::string>& arguments,
                    const Environment& env = {})
{
    auto outcome = parse(spec, arguments, env);
    if (!outcome)
        return fail(std::move(outcome).error());
    if (auto* answer = std::get_if<Answer>(&*outcome))
        return fail(ErrorCode::Cancelled, answer->text);
    return std::get<Values>(std::move(*outcome));
}

std::string refusal(const ProgramSpec& spec, const std::vector<std::string>& arguments,
                    const Environment& env = {})
{
    const auto values = read(spec, arguments, env);
    return values ? "accepted" : values.error().message;
}

TEST(Options, DefaultsHoldWhenNothingIsGiven)
{
    const auto values = read(program(), {});
    ASSERT_TRUE(values) << values.error().message;
    EXPECT_EQ(values->list("listen"), (std::vector<std::string>{"127.0.0.1:7780"}));
    EXPECT_EQ(values->integer("max-jobs"), 4);
    EXPECT_FALSE(values->flag("insecure"));
    EXPECT_FALSE(values->has("systems"));
    EXPECT_EQ(values->text("log-level"), "info");
    EXPECT_EQ(values->source("max-jobs"), Source::Default);
}

TEST(Options, AFlagWinsOverTheEnvironment)
{
    const Environment env{
        {"PENSTOCK_MAX_JOBS", "5"}, {"PENSTOCK_INSECURE", "1"}, {"PENSTOCK_LISTEN", "a:1 b:2"}};
    const auto values = read(program(), {"--max-jobs=6"}, env);
    ASSERT_TRUE(values) << values.error().message;
    EXPECT_EQ(values->integer("max-jobs"), 6);
    EXPECT_EQ(values->source("max-jobs"), Source::CommandLine);
    EXPECT_TRUE(values->flag("insecure"));
    EXPECT_EQ(values->list("listen"), (std::vector<std::string>{"a:1", "b:2"}));
}

TEST(Options, ListsRepeatOrAreSplitAtCommas)
{
    const auto values = read(program(), {"--listen", "a:1", "--listen", "b:2", "--systems", "x, y,,z"});
    ASSERT_TRUE(values) << values.error().message;
    EXPECT_EQ(values->list("listen"), (std::vector<std::string>{"a:1", "b:2"}));
    EXPECT_EQ(values->list("systems"), (std::vector<std::string>{"x", "y", "z"}));
}

TEST(Options, AFlagCanBeTurnedOffOverTheEnvironment)
{
    const auto values = read(program(), {"--insecure=false"}, {{"PENSTOCK_INSECURE", "true"}});
    ASSERT_TRUE(values) << values.error().message;
    EXPECT_FALSE(values->flag("insecure"));
}

TEST(Options, MistakesNameTheFlagTheValueAndTheNearestWord)
{
    EXPECT_EQ(refusal(program(), {"--lsten", "x"}), "unknown option --lsten; did you mean --listen?");
    EXPECT_EQ(refusal(program(), {"--qqqqqqq"}), "unknown option --qqqqqqq");
    EXPECT_EQ(refusal(program(), {"word"}), "unexpected argument \"word\"");
    EXPECT_EQ(refusal(program(), {"--max-jobs", "many"}), "--max-jobs: \"many\" is not a whole number");
    EXPECT_EQ(refusal(program(), {"--max-jobs", "1", "--max-jobs", "2"}),
              "--max-jobs is given 2 times, it takes one value");
    EXPECT_EQ(refusal(program(), {}, {{"PENSTOCK_INSECURE", "maybe"}}),
              "PENSTOCK_INSECURE: \"maybe\" is neither true nor false");
    EXPECT_EQ(refusal(program(), {"--log-level", "loud"}),
              "--log-level: \"loud\" is not one of debug, info, warning, error");
    EXPECT_NE(refusal(program(), {"--max-jobs"}).find("--max-jobs"), std::string::npos);
    EXPECT_EQ(refusal(program(), {"--config", "/no/such/file"}),
              "cannot open /no/such/file: No such file or directory");
}

TEST(Options, HelpAndVersionAreAnswersEvenWithOtherMistakes)
{
    const std::string help = refusal(program(), {"--help"});
    EXPECT_NE(help.find("--listen TEXT"), std::string::npos) << help;
    EXPECT_NE(help.find("[default: 127.0.0.1:7780]"), std::string::npos) << help;
    EXPECT_NE(help.find("--log-format text|json|journal"), std::string::npos) << help;
    EXPECT_EQ(refusal(program(), {"--version"}), "penstock-test " + std::string(version()) + "\n");
    EXPECT_NE(refusal(clientProgram(), {"build", "--help"})
                  .find("Usage: penstock-test build [OPTIONS] FILE [MORE…]"),
              std::string::npos);
}

TEST(Commands, EverythingAfterTheDashesIsTheCommandsOwn)
{
    const auto values =
        read(clientProgram(), {"run", "--name", "n", "--", "sh", "-c", "echo $1", "--name", "jobs"});
    ASSERT_TRUE(values) << values.error().message;
    EXPECT_EQ(values->command(), "run");
    EXPECT_EQ(values->text("name"), "n");
    EXPECT_EQ(values->arguments("CMD"), (std::vector<std::string>{"sh", "-c", "echo $1", "--name", "jobs"}));
}

TEST(Commands, ArgumentsThatNameCommandsAreStillArguments)
{
    const auto values = read(clientProgram(), {"run", "--", "jobs", "--", "run"});
    ASSERT_TRUE(values) << values.error().message;
    EXPECT_EQ(values->arguments("CMD"), (std::vector<std::string>{"jobs", "--", "run"}));
}

TEST(Commands, ProgramOptionsWorkOnBothSidesOfTheCommand)
{
    for (const std::vector<std::string>& line :
         {std::vector<std::string>{"--max-jobs", "9", "build", "f.nix"},
          {"build", "--max-jobs", "9", "f.nix"},
          {"build", "f.nix", "--max-jobs", "9"}}) {
        const auto values = read(clientProgram(), line);
        ASSERT_TRUE(values) << values.error().message;
        EXPECT_EQ(values->integer("max-jobs"), 9);
        EXPECT_EQ(values->argument("FILE"), "f.nix");
    }
}

TEST(Commands, ShortFlagsAndNegativeNumbersWork)
{
    const auto values = read(clientProgram(), {"build", "-A", "x", "-Ay", "-f", "f.nix", "g", "h"});
    ASSERT_TRUE(values) << values.error().message;
    EXPECT_EQ(values->list("attr"), (std::vector<std::string>{"x", "y"}));
    EXPECT_TRUE(values->flag("follow"));
    EXPECT_EQ(values->arguments("MORE"), (std::vector<std::string>{"g", "h"}));
    EXPECT_EQ(read(clientProgram(), {"run", "--priority", "-5", "--", "x"})->integer("priority"), -5);
}

TEST(Commands, MistakesNameTheNearestCommandAndTheMissingArgument)
{
    EXPECT_EQ(refusal(clientProgram(), {"biuld"}), "unknown command biuld; did you mean build?");
    EXPECT_EQ(refusal(clientProgram(), {}), "a command is needed");
    EXPECT_EQ(refusal(clientProgram(), {"run"}), "run needs CMD: what to run");
    EXPECT_EQ(refusal(clientProgram(), {"run", "--nmae", "x", "--", "y"}),
              "unknown option --nmae; did you mean --name?");
    EXPECT_EQ(refusal(clientProgram(), {"jobs", "x"}), "unexpected argument \"x\"");
}

TEST(OptionNames, BecomeEnvironmentNames)
{
    EXPECT_EQ(environmentName("tls-client-ca"), "PENSTOCK_TLS_CLIENT_CA");
}

TEST(Options, AFlagMayHaveAnotherSpelling)
{
    ProgramSpec spec = program();
    spec.options[0].otherFlags = {"bind"};
    const auto values = read(spec, {"--bind", "a:1"});
    ASSERT_TRUE(values) << values.error().message;
    EXPECT_EQ(values->list("listen"), (std::vector<std::string>{"a:1"}));
    EXPECT_NE(refusal(spec, {"--help"}).find("also --bind"), std::string::npos);
}

TEST(Options, AKeyOfTheFileOnlyIsNeitherFlagNorVariableNorHelp)
{
    ProgramSpec spec = program();
    spec.options.push_back({.name = "foreign", .keyOnly = true});
    EXPECT_NE(refusal(spec, {"--foreign", "x"}).find("unknown option"), std::string::npos);
    EXPECT_EQ(refusal(spec, {"--help"}).find("foreign"), std::string::npos);
    const auto values = read(spec, {}, {{"PENSTOCK_FOREIGN", "x"}});
    ASSERT_TRUE(values) << values.error().message;
    EXPECT_FALSE(values->has("foreign"));
}

} // namespace
} // namespace penstock::config
