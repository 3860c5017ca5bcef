// SPDX-License-Identifier: GPL-3.0-or-later
// Reads TOML text into flat entries with their line numbers, by toml++: the only file that knows the syntax.
// Pure; fails with Invalid and the line where it is not TOML, Exhausted past the limits.
#pragma once

#include "shared/base/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::config::detail {

inline constexpr std::size_t kMaxConfigBytes = 1024 * 1024;
inline constexpr int kMaxTableDepth = 8;

enum class TomlKind : std::uint8_t { Text, Integer, Number, Flag, Other };

struct TomlValue {
    TomlKind kind;
    std::string text; // as an option on the command line would be written
};

struct TomlEntry {
    std::string key; // dotted: "hydra.dbUrl"
    std::uint32_t line;
    bool isArray;
    std::vector<TomlValue> values;
};

[[nodiscard]] Result<std::vector<TomlEntry>> readToml(std::string_view text, std::string_view fileName);

} // namespace penstock::config::detail
