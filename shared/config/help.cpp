// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/config/help.h"

#include "shared/base/text.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::config {
namespace {

constexpr std::size_t kLeftColumn = 30;
constexpr std::size_t kLineWidth = 100;

std::string_view kindWord(Kind kind)
{
    switch (kind) {
    case Kind::Flag: return "";
    case Kind::Text: return "TEXT";
    case Kind::Integer: return "N";
    case Kind::Number: return "NUMBER";
    case Kind::Size: return "SIZE";
    case Kind::Duration: return "TIME";
    }
    return "";
}

std::string leftSide(const OptionSpec& spec)
{
    std::string text = spec.letter == 0 ? "    " : fmt::format("-{}, ", spec.letter);
    text.append("--").append(spec.name);
    if (spec.kind == Kind::Flag)
        return text;
    text.push_back(' ');
    if (!spec.choices.empty())
        text.append(join(spec.choices, "|"));
    else
        text.append(spec.valueName.empty() ? kindWord(spec.kind) : std::string_view(spec.valueName));
    return text;
}

std::string rightSide(const OptionSpec& spec)
{
    std::string text = spec.help;
    for (const std::string& other : spec.otherFlags)
        text.append(fmt::format(" (also --{})", other));
    if (spec.repeatable)
        text.append(" (may be repeated)");
    const std::string& shown = spec.fallbackNote.empty() ? spec.fallback : spec.fallbackNote;
    if (!shown.empty())
        text.append(fmt::format(" [default: {}]", shown));
    return text;
}

// Two columns; the right one is wrapped at words.
void appendRow(std::string& out, std::string_view left, std::string_view right)
{
    std::string line = fmt::format("  {:<{}}", left, kLeftColumn);
    if (left.size() >= kLeftColumn) {
        out.append(fmt::format("  {}\n", left));
        line.assign(kLeftColumn + 2, ' ');
    }
    bool first = true;
    for (const std::string_view word : split(right, ' ')) {
        if (!first && line.size() + 1 + word.size() > kLineWidth) {
            out.append(line).push_back('\n');
            line.assign(kLeftColumn + 2, ' ');
            first = true;
        }
        if (!first)
            line.push_back(' ');
        line.append(word);
        first = false;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out.append(line).push_back('\n');
}

void appendOptions(std::string& out, std::string_view title, const std::vector<OptionSpec>& options)
{
    if (options.empty())
        return;
    out.append(fmt::format("\n{}:\n", title));
    for (const OptionSpec& spec : options) {
        if (!spec.keyOnly)
            appendRow(out, leftSide(spec), rightSide(spec));
    }
}

std::string argumentForm(const ArgumentSpec& argument)
{
    const std::string_view more = argument.repeatable ? "…" : "";
    return argument.required ? fmt::format("{}{}", argument.name, more)
                             : fmt::format("[{}{}]", argument.name, more);
}

std::string commandHelp(const ProgramSpec& program, const CommandSpec& command)
{
    std::string out = fmt::format("Usage: {} {}{}", program.name, command.name,
                                  command.options.empty() ? "" : " [OPTIONS]");
    for (const ArgumentSpec& argument : command.arguments)
        out.append(" ").append(argumentForm(argument));
    out.append(fmt::format("\n\n{}\n", command.help));
    if (!command.arguments.empty()) {
        out.append("\nArguments:\n");
        for (const ArgumentSpec& argument : command.arguments)
            appendRow(out, argumentForm(argument), argument.help);
    }
    appendOptions(out, "Options", command.options);
    appendOptions(out, fmt::format("Options of every command of {}", program.name), program.options);
    return out;
}

} // namespace

std::string renderHelp(const ProgramSpec& program, std::string_view command)
{
    const auto found = std::find_if(program.commands.begin(), program.commands.end(),
                                    [&](const CommandSpec& each) { return each.name == command; });
    if (found != program.commands.end())
        return commandHelp(program, *found);
    std::string out = fmt::format("Usage: {} [OPTIONS]{}\n\n{}\n", program.name,
                                  program.commands.empty() ? "" : " COMMAND …", program.summary);
    if (!program.commands.empty()) {
        out.append("\nCommands:\n");
        for (const CommandSpec& each : program.commands)
            appendRow(out, each.name, each.help);
    }
    appendOptions(out, "Options", program.options);
    appendRow(out, "-h, --help", "this text");
    appendRow(out, "    --version", "the version");
    out.append(
        "\nEach option can also be a key of the config file (the name without the dashes in front) or an "
        "environment\nvariable: --log-level is PENSTOCK_LOG_LEVEL. Order: flag, environment, file, "
        "default.\n");
    return out;
}

} // namespace penstock::config
