// SPDX-License-Identifier: GPL-3.0-or-later
// The declaration of a program's options, in one table: flags, environment names, config keys, help, man
// pages and completions all come from it. Plain values, no behaviour; built once in each program's main.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace penstock::config {

enum class Kind : std::uint8_t {
    Flag,     // present or not; true or false in files and the environment
    Text,     // any text, a path too
    Integer,  // signed 64 bit
    Number,   // double
    Size,     // bytes: 512MiB
    Duration, // 90s; a bare number is seconds
};

// "data-dir" is the flag --data-dir, the environment variable PENSTOCK_DATA_DIR and the config key data-dir
// (or data_dir). Options of a command exist on the command line only.
struct OptionSpec {
    std::string name;
    Kind kind = Kind::Text;
    std::string help{};
    std::string valueName{};    // what help shows for the value: "DIR"
    std::string fallback{};     // the default as a user would write it; empty: no value
    std::string fallbackNote{}; // shown instead of fallback when the default depends on the machine
    std::vector<std::string> choices{};
    bool repeatable =
        false; // several values: flag repeated, array in a file, separated by spaces in the environment
    bool commaSeparated = false;         // one text holds several values: "a,b"; implies a list
    char letter = 0;                     // short flag: 'A' is -A
    std::optional<std::int64_t> least{}; // for Integer; in bytes for Size, in microseconds for Duration
    std::optional<std::int64_t> most{};
    std::vector<std::string> synonyms{}; // other config keys accepted, dotted inside tables: "hydra.dbUrl"
    std::vector<std::string> otherFlags{}; // other spellings of the flag, without the dashes
    bool keyOnly = false; // of the config file only, for files of other programs: no flag, no variable, no help

    [[nodiscard]] bool isList() const { return repeatable || commaSeparated; }
};

struct ArgumentSpec {
    std::string name; // "ID"
    std::string help{};
    bool required = true;
    bool repeatable = false; // takes all that remain; only the last argument may
};

struct CommandSpec {
    std::string name;
    std::string help{};
    std::vector<OptionSpec> options{};
    std::vector<ArgumentSpec> arguments{};
};

struct ProgramSpec {
    std::string name; // "penstock-server"
    std::string summary{};
    std::vector<OptionSpec> options{};      // commonOptions() are added by parse
    std::vector<CommandSpec> commands{};    // empty: the program has no commands
    std::vector<std::string> configFiles{}; // used when --config is not given; the first that exists
};

// --config, --log-level, --log-format: every program has them.
[[nodiscard]] std::vector<OptionSpec> commonOptions();

} // namespace penstock::config
