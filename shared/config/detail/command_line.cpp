// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/config/detail/command_line.h"

#include "shared/base/text.h"

#include <algorithm>
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <list>

namespace penstock::config::detail {
namespace {

// Where CLI11 writes; a list, because it keeps references.
struct Slot {
    const OptionSpec* spec = nullptr;
    CLI::Option* option = nullptr;
    std::vector<std::string> texts{};
    std::string flagText{};
};

void declare(CLI::App& app, std::list<Slot>& slots, const std::vector<OptionSpec>& options)
{
    for (const OptionSpec& spec : options) {
        if (spec.keyOnly)
            continue;
        Slot& slot = slots.emplace_back();
        slot.spec = &spec;
        std::string names = "--" + spec.name;
        if (spec.letter != 0)
            names = fmt::format("-{},{}", spec.letter, names);
        for (const std::string& other : spec.otherFlags)
            names += ",--" + other;
        if (spec.kind == Kind::Flag) {
            slot.option =
                app.add_flag(names, slot.flagText)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
        } else {
            slot.option = app.add_option(names, slot.texts);
            slot.option->allow_extra_args(false);
            slot.option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
        }
    }
}

void addNames(std::vector<std::string>& names, const std::vector<OptionSpec>& options)
{
    for (const OptionSpec& spec : options) {
        if (!spec.keyOnly)
            names.push_back("--" + spec.name);
    }
}

std::string suggestion(std::string_view word, const std::vector<std::string>& known)
{
    const std::vector<std::string_view> candidates(known.begin(), known.end());
    const std::string_view nearest = nearestWord(word, candidates);
    return nearest.empty() ? std::string() : fmt::format("; did you mean {}?", nearest);
}

// The first word that nobody claimed, explained.
tl::unexpected<Error> refuseExtra(const ProgramSpec& program, const CommandSpec* command,
                                  const std::string& extra)
{
    if (extra.size() > 1 && extra.front() == '-') {
        std::vector<std::string> known{"--help", "--version"};
        addNames(known, program.options);
        if (command != nullptr)
            addNames(known, command->options);
        const std::string name = extra.substr(0, extra.find('='));
        return fail(ErrorCode::Invalid, fmt::format("unknown option {}{}", name, suggestion(name, known)));
    }
    if (!program.commands.empty() && command == nullptr) {
        std::vector<std::string> known;
        for (const CommandSpec& each : program.commands)
            known.push_back(each.name);
        return fail(ErrorCode::Invalid, fmt::format("unknown command {}{}", extra, suggestion(extra, known)));
    }
    return fail(ErrorCode::Invalid, fmt::format("unexpected argument \"{}\"", extra));
}

struct Parser {
    CLI::App app;
    bool help = false;
    bool version = false;
    std::list<Slot> slots{};
    std::map<std::string, std::list<Slot>> commandSlots{};
    std::map<std::string, std::vector<std::string>> words{};

    explicit Parser(const ProgramSpec& program)
    {
        app.set_help_flag();
        app.allow_extras();
        app.fallthrough();
        app.add_flag("-h,--help", help);
        app.add_flag("--version", version);
        declare(app, slots, program.options);
        for (const CommandSpec& command : program.commands) {
            CLI::App* sub = app.add_subcommand(command.name);
            declare(*sub, commandSlots[command.name], command.options);
            if (!command.arguments.empty()) // one taker for all; collectArguments gives each its share
                sub->add_option("arguments", words[command.name]);
        }
    }
};

void collect(CommandLine& line, const std::list<Slot>& slots)
{
    for (const Slot& slot : slots) {
        if (slot.option->count() == 0)
            continue;
        if (slot.spec->kind == Kind::Flag)
            line.options[slot.spec->name] = {slot.flagText};
        else
            line.options[slot.spec->name] = slot.texts;
    }
}

Result<void> collectArguments(CommandLine& line, const CommandSpec& command,
                              std::span<const std::string> words)
{
    for (const ArgumentSpec& argument : command.arguments) {
        if (argument.required && words.empty() && !line.help)
            return fail(ErrorCode::Invalid,
                        fmt::format("{} needs {}: {}", command.name, argument.name, argument.help));
        const std::size_t count = argument.repeatable ? words.size() : std::min<std::size_t>(words.size(), 1);
        const std::span<const std::string> taken = words.first(count);
        line.arguments[argument.name].assign(taken.begin(), taken.end());
        words = words.subspan(count);
    }
    if (!words.empty())
        return fail(ErrorCode::Invalid, fmt::format("unexpected argument \"{}\"", words.front()));
    return {};
}

} // namespace

Result<CommandLine> readCommandLine(const ProgramSpec& program, std::span<const std::string> arguments)
{
    CommandLine line;
    try {
        Parser parser(program);
        parser.app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
        line.help = parser.help;
        line.version = parser.version;
        const CommandSpec* command = nullptr;
        for (const CommandSpec& each : program.commands)
            if (parser.app.got_subcommand(each.name))
                command = &each;
        collect(line, parser.slots);
        if (command != nullptr) {
            line.command = command->name;
            collect(line, parser.commandSlots[command->name]);
            PENSTOCK_TRY_VOID(collectArguments(line, *command, parser.words[command->name]));
        }
        for (const std::string& extra : parser.app.remaining(true))
            if (extra != "--")
                return refuseExtra(program, command, extra);
    } catch (const CLI::Error& error) { // CLI11 reports by exceptions
        return fail(ErrorCode::Invalid, error.what());
    }
    return line;
}

} // namespace penstock::config::detail
