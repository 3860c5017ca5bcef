// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/app/command_line.h"

#include "client/app/completion.h"
#include "client/app/man_page.h"
#include "shared/base/text.h"
#include "shared/config/help.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::client {

namespace {

using config::Kind;
using config::OptionSpec;

const Command* findCommand(const CommandTable& commands, std::string_view name)
{
    const auto found = std::find_if(commands.begin(), commands.end(),
                                    [name](const auto& each) { return each.spec.name == name; });
    return found == commands.end() ? nullptr : &*found;
}

std::vector<std::string> configFiles(const config::Environment& environment)
{
    std::vector<std::string> files;
    if (const auto found = environment.find("XDG_CONFIG_HOME");
        found != environment.end() && !found->second.empty())
        files.push_back(found->second + "/penstock/client.toml");
    else if (const auto home = environment.find("HOME"); home != environment.end() && !home->second.empty())
        files.push_back(home->second + "/.config/penstock/client.toml");
    files.emplace_back("/etc/penstock/client.toml");
    return files;
}

// The option whose flag is the word and which takes the next word as its value; null if there is none.
const OptionSpec* takesNext(const std::vector<OptionSpec>& options, std::string_view word)
{
    const bool isLong = word.starts_with("--");
    for (const auto& option : options) {
        if (option.kind == Kind::Flag)
            continue;
        if (isLong && word.substr(2) == option.name)
            return &option;
        if (!isLong && option.letter != 0 && word.size() == 2 && word[1] == option.letter)
            return &option;
    }
    return nullptr;
}

const OptionSpec* takesNext(const config::ProgramSpec& program, std::string_view command,
                            std::string_view word)
{
    if (const auto* found = takesNext(program.options, word))
        return found;
    for (const auto& each : program.commands)
        if (each.name == command)
            return takesNext(each.options, word);
    return nullptr;
}

Result<std::variant<Parsed, Answered>>
answerEarly(const CommandTable& commands, const config::ProgramSpec& program, const config::Values& values)
{
    if (values.command() == "completion") {
        PENSTOCK_TRY(auto text, completionScript(program, values.argument("SHELL")));
        return Answered{std::move(text)};
    }
    return Answered{values.command() == "manual" ? manualPage(commands, program)
                                                 : helpText(commands, program, {})};
}

} // namespace

config::ProgramSpec programSpec(const CommandTable& commands, const config::Environment& environment)
{
    config::ProgramSpec program{
        "penstock",
        "Runs jobs and Nix builds on a Penstock farm, and shows what the farm does.",
        {{"server", Kind::Text, "the server: ws://, wss://, http://, https:// or HOST:PORT", "URL",
          "ws://127.0.0.1:7780"},
         {"token-file", Kind::Text, "file (mode 0600) with the access token", "FILE"},
         {"tls-ca", Kind::Text, "trust a wss:// server of this authority only, PEM [default: the system's]",
          "FILE"},
         {"tls-cert", Kind::Text, "our own certificate, PEM, where the server asks for one", "FILE"},
         {"tls-key", Kind::Text, "the private key of that certificate, PEM", "FILE"},
         {"namespace", Kind::Text, "the namespace to submit to and to list", "NAME"},
         {"json", Kind::Flag, "print JSON: one document, or one object a line for streams"},
         {"quiet", Kind::Flag, "say only results and errors", {}, {}, {}, {}, false, false, 'q'},
         {"no-color", Kind::Flag, "no colours (also NO_COLOR, or when not a terminal)"},
         {"reconnect-timeout", Kind::Duration, "give up following when the server is away longer", "TIME",
          "10m"}},
        {},
        configFiles(environment)};
    for (const auto& command : commands)
        program.commands.push_back(command.spec);
    return program;
}

SplitLine splitLine(const config::ProgramSpec& program, std::span<const std::string> arguments)
{
    auto whole = program;
    const auto common = config::commonOptions();
    whole.options.insert(whole.options.end(), common.begin(), common.end());
    SplitLine line;
    for (std::size_t at = 0; at < arguments.size(); ++at) {
        const auto& word = arguments[at];
        const bool inRun = line.command == "run";
        if (word == "--" && inRun) {
            line.job.assign(arguments.begin() + static_cast<std::ptrdiff_t>(at) + 1, arguments.end());
            return line;
        }
        const bool isFlag = word.size() > 1 && word.front() == '-';
        if (!isFlag && inRun) {
            line.job.assign(arguments.begin() + static_cast<std::ptrdiff_t>(at), arguments.end());
            return line;
        }
        if (!isFlag && line.command.empty())
            line.command = word;
        line.wantsHelp = line.wantsHelp || word == "--help" || word == "-h";
        const auto* option = isFlag ? takesNext(whole, line.command, word) : nullptr;
        // With "=", so that a value may begin with a dash, like a negative priority.
        if (option != nullptr && at + 1 < arguments.size())
            line.own.push_back(fmt::format("--{}={}", option->name, arguments[++at]));
        else
            line.own.push_back(word);
    }
    return line;
}

std::string helpText(const CommandTable& commands, const config::ProgramSpec& program, std::string_view name)
{
    auto whole = program;
    const auto common = config::commonOptions();
    whole.options.insert(whole.options.end(), common.begin(), common.end());
    const auto* command = findCommand(commands, name);
    auto text = config::renderHelp(whole, command == nullptr ? std::string_view() : name);
    if (command == nullptr)
        return text + "\nExit status: 0 fine, 1 failed, 2 wrong usage or configuration; `penstock run` has "
                      "its own, see "
                      "`penstock run --help`.\n";
    // The details belong after the first paragraph, before the tables of flags.
    const auto firstTable = text.find(":\n", text.find("\n\n") + 2);
    const auto place = text.rfind("\n\n", firstTable);
    std::string middle;
    if (!command->details.empty())
        middle += "\n" + command->details + "\n";
    if (name == "run")
        text.replace(text.find("[OPTIONS]"), 9, "[OPTIONS] -- CMD [ARG…]");
    if (!command->examples.empty()) {
        middle += "\nExamples:\n";
        for (const auto& example : command->examples)
            middle += fmt::format("  {}\n", example);
    }
    if (place == std::string::npos)
        return text + middle;
    const auto offset = name == "run" ? std::string_view(" -- CMD [ARG…]").size() : 0;
    return text.insert(place + offset + 1, middle);
}

Result<std::variant<Parsed, Answered>> parseLine(const CommandTable& commands,
                                                 std::span<const std::string> arguments,
                                                 const config::Environment& environment)
{
    const auto program = programSpec(commands, environment);
    auto line = splitLine(program, arguments);
    // Answered here, since a command's name as another command's word means two commands to the parser.
    if (line.command == "help" || (line.wantsHelp && findCommand(commands, line.command) != nullptr)) {
        std::string topic = line.command;
        for (auto word = line.own.rbegin(); line.command == "help" && word != line.own.rend(); ++word)
            if (!word->starts_with('-')) {
                topic = *word;
                break;
            }
        if (topic != "help" && findCommand(commands, topic) == nullptr)
            return fail(ErrorCode::Invalid,
                        fmt::format("unknown command {}; `penstock help` lists them", topic));
        return Answered{helpText(commands, program, topic == "help" ? std::string_view() : topic)};
    }
    if (line.wantsHelp || (line.own.empty() && line.job.empty()))
        return Answered{helpText(commands, program, {})};
    PENSTOCK_TRY(auto outcome, config::parse(program, line.own, environment));
    if (const auto* answer = std::get_if<config::Answer>(&outcome))
        return Answered{answer->text};
    Parsed parsed{std::get<config::Values>(std::move(outcome)), nullptr};
    parsed.command = findCommand(commands, parsed.values.command());
    if (parsed.command == nullptr)
        return fail(ErrorCode::Invalid, "no command given; `penstock help` lists them");
    if (parsed.command->execute == nullptr)
        return answerEarly(commands, program, parsed.values);
    if (parsed.values.command() == "run")
        parsed.values.setArguments("CMD", std::move(line.job));
    return parsed;
}

} // namespace penstock::client
