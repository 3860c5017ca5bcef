// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/app/completion.h"

#include "shared/base/text.h"

#include <fmt/format.h>

namespace penstock::client {

namespace {

using config::CommandSpec;
using config::Kind;
using config::OptionSpec;
using config::ProgramSpec;

// Words that can stand where a command's argument is expected.
std::string argumentWords(const CommandSpec& command)
{
    if (command.name == "completion")
        return "bash zsh fish";
    if (command.name == "token")
        return "create list revoke";
    if (command.name == "namespace")
        return "list show set";
    return {};
}

bool takesFiles(const CommandSpec& command)
{
    return command.name == "run" || command.name == "submit" || command.name == "build";
}

std::string flagWords(const std::vector<OptionSpec>& options)
{
    std::string words;
    for (const auto& option : options)
        words += (words.empty() ? "--" : " --") + option.name;
    return words;
}

std::vector<OptionSpec> globalOptions(const ProgramSpec& program)
{
    auto options = program.options;
    const auto common = config::commonOptions();
    options.insert(options.end(), common.begin(), common.end());
    return options;
}

std::string commandWords(const ProgramSpec& program)
{
    std::string words;
    for (const auto& command : program.commands)
        words += (words.empty() ? "" : " ") + command.name;
    return words;
}

// bash: flags that take a value, as case patterns, so that the value is not taken for the command.
std::string valueFlags(const std::vector<OptionSpec>& options)
{
    std::string pattern;
    for (const auto& option : options)
        if (option.kind != Kind::Flag)
            pattern += (pattern.empty() ? "--" : "|--") + option.name;
    return pattern;
}

std::string choiceCases(const std::vector<OptionSpec>& options)
{
    std::string out;
    for (const auto& option : options)
        if (!option.choices.empty())
            out += fmt::format("    --{}) COMPREPLY=($(compgen -W '{}' -- \"$current\")); return ;;\n",
                               option.name, join(option.choices, " "));
        else if (option.valueName == "FILE" || option.valueName == "LINK")
            out +=
                fmt::format("    --{}) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n", option.name);
    return out;
}

std::string bashScript(const ProgramSpec& program)
{
    const auto globals = globalOptions(program);
    std::string out = "# bash completion for penstock, made by `penstock completion bash`\n_penstock() {\n"
                      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} "
                      "command= word= skip=\n"
                      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
                      "    if [ -n \"$skip\" ]; then skip=; continue; fi\n"
                      "    case $word in\n";
    out += fmt::format("    {}) skip=1 ;;\n", valueFlags(globals));
    out += "    -*) ;;\n    *) command=$word; break ;;\n    esac\n  done\n  case $previous in\n";
    out += choiceCases(globals);
    out += "  esac\n  local flags= arguments=\n  case $command in\n";
    out += fmt::format("  '') arguments='{}' ;;\n", commandWords(program));
    for (const auto& command : program.commands) {
        out += fmt::format("  {}) flags='{}'; arguments='{}'", command.name, flagWords(command.options),
                           command.name == "help" ? commandWords(program) : argumentWords(command));
        const auto cases = choiceCases(command.options);
        if (!cases.empty())
            out += fmt::format("\n    case $previous in\n{}    esac", cases);
        if (takesFiles(command))
            out += "\n    [[ $current == -* ]] || { COMPREPLY=($(compgen -f -- \"$current\")); return; }";
        out += " ;;\n";
    }
    out += "  esac\n";
    out += fmt::format("  if [[ $current == -* ]]; then arguments=\"$flags {} --help --version\"; fi\n",
                       flagWords(globals));
    out += "  COMPREPLY=($(compgen -W \"$arguments\" -- \"$current\"))\n}\ncomplete -F _penstock penstock\n";
    return out;
}

// Text inside single quotes of zsh and fish; brackets and colons mean something to zsh's _arguments.
std::string quoted(std::string_view text, bool zsh)
{
    std::string out;
    for (const char c : text) {
        if (c == '\'')
            out += zsh ? "'\\''" : "\\'";
        else if (zsh && (c == '[' || c == ']' || c == ':'))
            out += fmt::format("\\{}", c);
        else if (!zsh && c == '\\')
            out += "\\\\";
        else
            out.push_back(c);
    }
    return out;
}

void zshOptions(std::string& out, const std::vector<OptionSpec>& options, std::string_view indent)
{
    for (const auto& option : options) {
        std::string value;
        if (option.kind != Kind::Flag) {
            std::string action;
            if (!option.choices.empty())
                action = "(" + join(option.choices, " ") + ")";
            else if (option.valueName == "FILE" || option.valueName == "LINK")
                action = "_files";
            value =
                fmt::format(":{}:{}", option.valueName.empty() ? "value" : toLower(option.valueName), action);
        }
        out += fmt::format("{}'{}--{}[{}]{}' \\\n", indent, option.isList() ? "*" : "", option.name,
                           quoted(option.help, true), value);
    }
}

std::string zshScript(const ProgramSpec& program)
{
    std::string out = "#compdef penstock\n# zsh completion for penstock, made by `penstock completion zsh`\n"
                      "_penstock() {\n  local -a commands\n  local line state\n  commands=(\n";
    for (const auto& command : program.commands)
        out += fmt::format("    '{}:{}'\n", command.name, quoted(command.help, true));
    out += "  )\n  _arguments -C \\\n";
    zshOptions(out, globalOptions(program), "    ");
    out += "    '1:command:->command' '*::argument:->arguments'\n"
           "  case $state in\n  command) _describe command commands ;;\n  arguments)\n    case $line[1] in\n";
    for (const auto& command : program.commands) {
        out += fmt::format("    {}) _arguments \\\n", command.name);
        zshOptions(out, command.options, "      ");
        const auto known = command.name == "help" ? commandWords(program) : argumentWords(command);
        out += fmt::format("      '*:argument:{}' ;;\n",
                           takesFiles(command) ? "_files" : (known.empty() ? "" : "(" + known + ")"));
    }
    return out + "    esac ;;\n  esac\n}\n_penstock \"$@\"\n";
}

void fishOptions(std::string& out, const std::vector<OptionSpec>& options, std::string_view condition)
{
    for (const auto& option : options) {
        out += fmt::format("complete -c penstock{} -l {}", condition, option.name);
        if (option.letter != 0)
            out += fmt::format(" -s {}", option.letter);
        if (!option.choices.empty())
            out += fmt::format(" -x -a '{}'", join(option.choices, " "));
        else if (option.kind != Kind::Flag)
            out += option.valueName == "FILE" || option.valueName == "LINK" ? " -r" : " -x";
        out += fmt::format(" -d '{}'\n", quoted(option.help, false));
    }
}

std::string fishScript(const ProgramSpec& program)
{
    std::string out =
        "# fish completion for penstock, made by `penstock completion fish`\ncomplete -c penstock -f\n";
    fishOptions(out, globalOptions(program), "");
    for (const auto& command : program.commands)
        out += fmt::format("complete -c penstock -n __fish_use_subcommand -a {} -d '{}'\n", command.name,
                           quoted(command.help, false));
    for (const auto& command : program.commands) {
        const auto condition = fmt::format(" -n '__fish_seen_subcommand_from {}'", command.name);
        fishOptions(out, command.options, condition);
        if (takesFiles(command))
            out += fmt::format("complete -c penstock{} -F\n", condition);
        const auto known = command.name == "help" ? commandWords(program) : argumentWords(command);
        if (!known.empty())
            out += fmt::format("complete -c penstock{} -a '{}'\n", condition, known);
    }
    return out;
}

} // namespace

Result<std::string> completionScript(const ProgramSpec& program, std::string_view shell)
{
    if (shell == "bash")
        return bashScript(program);
    if (shell == "zsh")
        return zshScript(program);
    if (shell == "fish")
        return fishScript(program);
    return fail(ErrorCode::Invalid, fmt::format("shell \"{}\": only bash, zsh and fish are known", shell));
}

} // namespace penstock::client
