// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/changed_settings.h"

#include "server/app/server_options.h"
#include "shared/base/check.h"

#include <fmt/format.h>
#include <variant>

namespace penstock::app {
namespace {

using config::Kind;

std::vector<std::string> valueOf(const config::OptionSpec& spec, const config::Values& values)
{
    if (spec.isList())
        return values.list(spec.name);
    if (!values.has(spec.name))
        return {};
    switch (spec.kind) {
    case Kind::Flag: return {values.flag(spec.name) ? "true" : "false"};
    case Kind::Text: return {values.text(spec.name)};
    case Kind::Integer: return {fmt::to_string(values.integer(spec.name))};
    case Kind::Number: return {fmt::to_string(values.number(spec.name))};
    case Kind::Size: return {fmt::to_string(values.size(spec.name))};
    case Kind::Duration: return {fmt::to_string(values.duration(spec.name).count())};
    }
    return {};
}

} // namespace

Result<std::vector<ChangedSetting>> changedSettings(std::span<const std::string> arguments,
                                                    const config::Environment& environment,
                                                    const config::Values& running)
{
    const config::ProgramSpec program = serverProgram();
    PENSTOCK_TRY(const config::Outcome outcome, config::parse(program, arguments, environment));
    const auto* const now = std::get_if<config::Values>(&outcome);
    PENSTOCK_CHECK(now != nullptr); // neither help nor version was asked for at the start
    std::vector<config::OptionSpec> options = program.options;
    for (config::OptionSpec& common : config::commonOptions())
        if (common.name != "config")
            options.push_back(std::move(common));
    std::vector<ChangedSetting> changed;
    for (const config::OptionSpec& spec : options)
        if (valueOf(spec, running) != valueOf(spec, *now))
            changed.push_back({spec.name, now->origin(spec.name)});
    return changed;
}

} // namespace penstock::app
