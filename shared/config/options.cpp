// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/config/options.h"

#include "shared/base/text.h"
#include "shared/config/detail/command_line.h"
#include "shared/config/detail/toml_file.h"
#include "shared/config/files.h"
#include "shared/config/help.h"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <unistd.h>

namespace penstock::config {
namespace {

std::vector<std::string> splitList(const OptionSpec& spec, std::string_view text)
{
    std::vector<std::string> parts;
    for (const std::string_view part : split(text, spec.commaSeparated ? ',' : ' '))
        if (const std::string_view word = trim(part); !word.empty())
            parts.emplace_back(word);
    return parts;
}

// Commas separate wherever the value came from; "a,b" twice is four values.
std::vector<std::string> expanded(const OptionSpec& spec, std::vector<std::string> texts)
{
    if (!spec.commaSeparated)
        return texts;
    std::vector<std::string> all;
    for (const std::string& text : texts)
        for (std::string& part : splitList(spec, text))
            all.push_back(std::move(part));
    return all;
}

Result<void> checkRange(const OptionSpec& spec, std::string_view origin, std::string_view text,
                        std::int64_t value)
{
    const std::string_view unit = spec.kind == Kind::Duration ? " microseconds"
                                  : spec.kind == Kind::Size   ? " bytes"
                                                              : "";
    if (spec.least && value < *spec.least)
        return fail(ErrorCode::Invalid,
                    fmt::format("{} is {}, the least is {}{}", origin, text, *spec.least, unit));
    if (spec.most && value > *spec.most)
        return fail(ErrorCode::Invalid,
                    fmt::format("{} is {}, the most is {}{}", origin, text, *spec.most, unit));
    return {};
}

Result<void> checkText(const OptionSpec& spec, std::string_view origin, const std::string& text)
{
    switch (spec.kind) {
    case Kind::Flag:
        if (text != "true" && text != "false")
            return fail(ErrorCode::Invalid,
                        fmt::format("{}: \"{}\" is neither true nor false", origin, text));
        return {};
    case Kind::Text: {
        if (spec.choices.empty() ||
            std::find(spec.choices.begin(), spec.choices.end(), text) != spec.choices.end())
            return {};
        return fail(ErrorCode::Invalid,
                    fmt::format("{}: \"{}\" is not one of {}", origin, text, join(spec.choices, ", ")));
    }
    case Kind::Integer: {
        const auto value = parseSigned(text);
        return value ? checkRange(spec, origin, text, *value) : fail(Error(value.error()).in(origin));
    }
    case Kind::Number: {
        const auto value = parseDouble(text);
        return value ? Result<void>{} : fail(Error(value.error()).in(origin));
    }
    case Kind::Size: {
        const auto value = parseByteSize(text);
        return value ? checkRange(spec, origin, text, static_cast<std::int64_t>(*value))
                     : fail(Error(value.error()).in(origin));
    }
    case Kind::Duration: {
        const auto value = parseDuration(text);
        return value ? checkRange(spec, origin, text, value->count()) : fail(Error(value.error()).in(origin));
    }
    }
    return {};
}

Result<void> assign(Values& values, const OptionSpec& spec, Source source, std::string origin,
                    std::vector<std::string> texts)
{
    texts = expanded(spec, std::move(texts));
    for (const std::string& text : texts)
        PENSTOCK_TRY_VOID(checkText(spec, origin, text));
    values.set(spec.name, {spec.kind, spec.isList(), source, std::move(origin), std::move(texts)});
    return {};
}

Result<void> assignDefault(Values& values, const OptionSpec& spec)
{
    std::vector<std::string> texts;
    if (!spec.fallback.empty())
        texts = spec.isList() ? splitList(spec, spec.fallback) : std::vector{spec.fallback};
    return assign(values, spec, Source::Default, "--" + spec.name, std::move(texts));
}

std::string normalFlag(std::string_view text)
{
    std::string lower = toLower(text);
    if (lower == "1" || lower == "yes" || lower == "on")
        return "true";
    if (lower == "0" || lower == "no" || lower == "off")
        return "false";
    return lower;
}

Result<void> applyEnvironment(Values& values, const std::vector<OptionSpec>& options,
                              const Environment& environment)
{
    for (const OptionSpec& spec : options) {
        const std::string name = environmentName(spec.name);
        const auto found = environment.find(name);
        if (spec.keyOnly || found == environment.end() || found->second.empty())
            continue;
        std::vector<std::string> texts{found->second};
        if (spec.isList())
            texts = splitList(spec, found->second);
        else if (spec.kind == Kind::Flag)
            texts = {normalFlag(found->second)};
        PENSTOCK_TRY_VOID(assign(values, spec, Source::Environment, name, std::move(texts)));
    }
    return {};
}

Result<void> applyCommandLine(Values& values, const std::vector<OptionSpec>& options,
                              const detail::CommandLine& line)
{
    for (const OptionSpec& spec : options) {
        const auto found = line.options.find(spec.name);
        if (found == line.options.end())
            continue;
        if (!spec.isList() && found->second.size() > 1)
            return fail(ErrorCode::Invalid, fmt::format("--{} is given {} times, it takes one value",
                                                        spec.name, found->second.size()));
        PENSTOCK_TRY_VOID(assign(values, spec, Source::CommandLine, "--" + spec.name, found->second));
    }
    return {};
}

// Keys may be written with underscores, as other programs' files do.
std::string canonicalKey(std::string_view key)
{
    std::string name(key);
    std::replace(name.begin(), name.end(), '_', '-');
    return name;
}

const OptionSpec* findKey(const std::vector<OptionSpec>& options, std::string_view key)
{
    for (const OptionSpec& spec : options)
        if (std::find(spec.synonyms.begin(), spec.synonyms.end(), key) != spec.synonyms.end())
            return &spec;
    const std::string name = canonicalKey(key);
    for (const OptionSpec& spec : options)
        if (spec.name == name && name != "config")
            return &spec;
    return nullptr;
}

std::string nearestKey(const std::vector<OptionSpec>& options, const std::string& key)
{
    std::vector<std::string_view> known;
    for (const OptionSpec& spec : options) {
        if (spec.name != "config")
            known.emplace_back(spec.name);
        known.insert(known.end(), spec.synonyms.begin(), spec.synonyms.end());
    }
    const std::string_view nearest = nearestWord(canonicalKey(key), known);
    return nearest.empty() ? std::string() : fmt::format("; did you mean \"{}\"?", nearest);
}

std::string_view wantedForm(Kind kind)
{
    switch (kind) {
    case Kind::Flag: return "true or false";
    case Kind::Text: return "text in quotes";
    case Kind::Integer: return "a whole number";
    case Kind::Number: return "a number";
    case Kind::Size: return "a number of bytes or text such as \"512MiB\"";
    case Kind::Duration: return "a number of seconds or text such as \"90s\"";
    }
    return "another value";
}

bool fits(Kind kind, detail::TomlKind given)
{
    using detail::TomlKind;
    switch (kind) {
    case Kind::Flag: return given == TomlKind::Flag;
    case Kind::Text: return given == TomlKind::Text;
    case Kind::Integer: return given == TomlKind::Integer;
    case Kind::Number: return given == TomlKind::Integer || given == TomlKind::Number;
    case Kind::Size:
    case Kind::Duration: return given == TomlKind::Integer || given == TomlKind::Text;
    }
    return false;
}

Result<void> applyEntry(Values& values, const OptionSpec& spec, const detail::TomlEntry& entry,
                        std::string origin)
{
    if (entry.isArray && !spec.isList())
        return fail(ErrorCode::Invalid, fmt::format("{} is an array, it takes one value", origin));
    std::vector<std::string> texts;
    for (const detail::TomlValue& value : entry.values) {
        if (!fits(spec.kind, value.kind))
            return fail(ErrorCode::Invalid,
                        fmt::format("{} = {} should be {}", origin, value.text.empty() ? "…" : value.text,
                                    wantedForm(spec.kind)));
        texts.push_back(value.text);
    }
    return assign(values, spec, Source::File, std::move(origin), std::move(texts));
}

Result<void> applyFile(Values& values, const std::vector<OptionSpec>& options, const std::string& path)
{
    PENSTOCK_TRY(const std::string text, readTextFile(path, detail::kMaxConfigBytes));
    PENSTOCK_TRY(const std::vector<detail::TomlEntry> entries, detail::readToml(text, path));
    for (const detail::TomlEntry& entry : entries) {
        const OptionSpec* spec = findKey(options, entry.key);
        if (spec == nullptr)
            return fail(ErrorCode::Invalid, fmt::format("{}:{}: unknown key \"{}\"{}", path, entry.line,
                                                        entry.key, nearestKey(options, entry.key)));
        if (values.source(spec->name) == Source::File)
            return fail(ErrorCode::Invalid, fmt::format("{}:{}: \"{}\" says again what {} says", path,
                                                        entry.line, entry.key, values.origin(spec->name)));
        if (canonicalKey(entry.key) != spec->name)
            values.addSynonymUse({entry.key, spec->name});
        PENSTOCK_TRY_VOID(
            applyEntry(values, *spec, entry, fmt::format("{}:{}: {}", path, entry.line, entry.key)));
    }
    values.setConfigFile(path);
    return {};
}

// The file that --config or PENSTOCK_CONFIG names must exist; the usual places may be empty.
std::string chooseFile(const ProgramSpec& program, const detail::CommandLine& line,
                       const Environment& environment)
{
    if (const auto given = line.options.find("config"); given != line.options.end())
        return given->second.back();
    if (const auto given = environment.find("PENSTOCK_CONFIG");
        given != environment.end() && !given->second.empty())
        return given->second;
    for (const std::string& path : program.configFiles)
        if (::access(path.c_str(), F_OK) == 0)
            return path;
    return {};
}

const CommandSpec* findCommand(const ProgramSpec& program, std::string_view name)
{
    for (const CommandSpec& command : program.commands)
        if (command.name == name)
            return &command;
    return nullptr;
}

void addCommonOptions(ProgramSpec& program)
{
    for (OptionSpec& common : commonOptions()) {
        const auto same = [&](const OptionSpec& spec) { return spec.name == common.name; };
        if (std::none_of(program.options.begin(), program.options.end(), same))
            program.options.push_back(std::move(common));
    }
}

} // namespace

std::vector<OptionSpec> commonOptions()
{
    return {{.name = "config", .help = "settings in TOML; every option is a key", .valueName = "FILE"},
            {.name = "log-level",
             .help = "least important record that is logged",
             .fallback = "info",
             .choices = {"debug", "info", "warning", "error"}},
            {.name = "log-format",
             .help = "form of the log on standard error",
             .fallback = "text",
             .choices = {"text", "json", "journal"}}};
}

std::string_view version()
{
    return PENSTOCK_VERSION;
}

std::string environmentName(std::string_view option)
{
    std::string name = "PENSTOCK_";
    for (const char c : option)
        name.push_back(c == '-' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
    return name;
}

Result<Outcome> parse(ProgramSpec program, std::span<const std::string> arguments,
                      const Environment& environment)
{
    addCommonOptions(program);
    PENSTOCK_TRY(const detail::CommandLine line, detail::readCommandLine(program, arguments));
    if (line.help)
        return Answer{renderHelp(program, line.command)};
    if (line.version)
        return Answer{fmt::format("{} {}\n", program.name, version())};
    const CommandSpec* command = findCommand(program, line.command);
    if (command == nullptr && !program.commands.empty())
        return fail(ErrorCode::Invalid, "a command is needed");
    Values values;
    for (const OptionSpec& spec : program.options)
        PENSTOCK_TRY_VOID(assignDefault(values, spec));
    if (const std::string file = chooseFile(program, line, environment); !file.empty())
        PENSTOCK_TRY_VOID(applyFile(values, program.options, file));
    PENSTOCK_TRY_VOID(applyEnvironment(values, program.options, environment));
    PENSTOCK_TRY_VOID(applyCommandLine(values, program.options, line));
    if (command != nullptr) {
        values.setCommand(command->name);
        for (const OptionSpec& spec : command->options)
            PENSTOCK_TRY_VOID(assignDefault(values, spec));
        PENSTOCK_TRY_VOID(applyCommandLine(values, command->options, line));
        for (const auto& [name, texts] : line.arguments)
            values.setArguments(name, texts);
    }
    return values;
}

std::variant<Values, int> parseOrExplain(ProgramSpec program, int argc, const char* const* argv)
{
    const std::string name = program.name;
    const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
    Result<Outcome> outcome = parse(std::move(program), arguments, processEnvironment());
    if (!outcome) {
        // Nowhere is left to say that standard error is gone.
        static_cast<void>(std::fputs(
            fmt::format("{}: {}\ntry: {} --help\n", name, outcome.error().message, name).c_str(), stderr));
        return kExitUsage;
    }
    if (const Answer* answer = std::get_if<Answer>(&*outcome))
        return std::fputs(answer->text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0 ? kExitFine
                                                                                         : kExitFailed;
    return std::get<Values>(std::move(*outcome));
}

Environment processEnvironment()
{
    Environment environment;
    for (char** each = ::environ; each != nullptr && *each != nullptr; ++each) {
        const std::string_view pair(*each);
        const std::size_t equals = pair.find('=');
        if (equals != std::string_view::npos)
            environment.emplace(pair.substr(0, equals), pair.substr(equals + 1));
    }
    return environment;
}

} // namespace penstock::config
