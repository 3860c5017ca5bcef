// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/config/detail/toml_file.h"

#include <algorithm>
#include <fmt/format.h>
#include <toml++/toml.h>

namespace penstock::config::detail {
namespace {

TomlValue toValue(const toml::node& node)
{
    if (const auto* text = node.as_string())
        return {TomlKind::Text, text->get()};
    if (const auto* whole = node.as_integer())
        return {TomlKind::Integer, fmt::format("{}", whole->get())};
    if (const auto* real = node.as_floating_point())
        return {TomlKind::Number, fmt::format("{}", real->get())};
    if (const auto* flag = node.as_boolean())
        return {TomlKind::Flag, flag->get() ? "true" : "false"};
    return {TomlKind::Other, {}};
}

Result<void> flatten(const toml::table& table, const std::string& prefix, int depth,
                     std::vector<TomlEntry>& entries)
{
    if (depth > kMaxTableDepth)
        return fail(ErrorCode::Exhausted,
                    fmt::format("table {} is nested deeper than {}", prefix, kMaxTableDepth));
    for (const auto& [key, node] : table) {
        const std::string name =
            prefix.empty() ? std::string(key.str()) : fmt::format("{}.{}", prefix, key.str());
        if (const toml::table* inner = node.as_table()) {
            PENSTOCK_TRY_VOID(flatten(*inner, name, depth + 1, entries));
            continue;
        }
        const toml::array* array = node.as_array();
        TomlEntry entry{name, key.source().begin.line, array != nullptr, {}};
        if (array != nullptr)
            for (const toml::node& element : *array)
                entry.values.push_back(toValue(element));
        else
            entry.values.push_back(toValue(node));
        entries.push_back(std::move(entry));
    }
    return {};
}

} // namespace

Result<std::vector<TomlEntry>> readToml(std::string_view text, std::string_view fileName)
{
    if (text.size() > kMaxConfigBytes)
        return fail(ErrorCode::Exhausted,
                    fmt::format("{} has {} bytes, the limit is {}", fileName, text.size(), kMaxConfigBytes));
    std::vector<TomlEntry> entries;
    try {
        PENSTOCK_TRY_VOID(flatten(toml::parse(text), {}, 0, entries));
    } catch (const toml::parse_error& error) { // toml++ reports by exceptions
        return fail(ErrorCode::Invalid,
                    fmt::format("{}:{}: {}", fileName, error.source().begin.line, error.description()));
    }
    // In the order of the file, so that the first mistake is the one reported.
    std::stable_sort(entries.begin(), entries.end(),
                     [](const TomlEntry& a, const TomlEntry& b) { return a.line < b.line; });
    return entries;
}

} // namespace penstock::config::detail
