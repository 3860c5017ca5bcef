// SPDX-License-Identifier: GPL-3.0-or-later
// What the options came to, after flags, environment, file and defaults. Every text was checked against its
// option's kind, choices and limits, so getters cannot fail; asking for a name or kind that was not declared
// is our own mistake and ends the program. Immutable value, callable from any thread.
#pragma once

#include "shared/base/clock.h"
#include "shared/config/option_spec.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::config {

enum class Source : std::uint8_t { Default, File, Environment, CommandLine };

class Values {
public:
    struct Entry {
        Kind kind = Kind::Text;
        bool isList = false;
        Source source = Source::Default;
        std::string origin{}; // for messages: "--listen", "PENSTOCK_LISTEN", "server.toml:3: listen"
        std::vector<std::string> texts{};
    };
    struct SynonymUse {
        std::string key; // as written in the file
        std::string name;
    };

    // Whether there is a value at all, given or by default.
    [[nodiscard]] bool has(std::string_view name) const { return !entry(name).texts.empty(); }
    [[nodiscard]] Source source(std::string_view name) const { return entry(name).source; }
    [[nodiscard]] const std::string& origin(std::string_view name) const { return entry(name).origin; }

    // Without a value: false, empty text, zero.
    [[nodiscard]] bool flag(std::string_view name) const;
    [[nodiscard]] std::string text(std::string_view name) const;
    [[nodiscard]] std::int64_t integer(std::string_view name) const;
    [[nodiscard]] double number(std::string_view name) const;
    [[nodiscard]] std::uint64_t size(std::string_view name) const;
    [[nodiscard]] Duration duration(std::string_view name) const;
    [[nodiscard]] const std::vector<std::string>& list(std::string_view name) const;

    [[nodiscard]] const std::string& command() const { return m_command; } // empty: program without commands
    [[nodiscard]] std::string argument(std::string_view name) const;
    [[nodiscard]] const std::vector<std::string>& arguments(std::string_view name) const;

    [[nodiscard]] const std::string& configFile() const { return m_configFile; } // empty: none was read
    // Older names found in the file, for the program to log once each.
    [[nodiscard]] const std::vector<SynonymUse>& synonymsUsed() const { return m_synonymsUsed; }

    // For parse() and tests.
    void set(std::string name, Entry entry) { m_entries.insert_or_assign(std::move(name), std::move(entry)); }
    void setCommand(std::string name) { m_command = std::move(name); }
    void setArguments(std::string name, std::vector<std::string> texts)
    {
        m_arguments.insert_or_assign(std::move(name), std::move(texts));
    }
    void setConfigFile(std::string path) { m_configFile = std::move(path); }
    void addSynonymUse(SynonymUse use) { m_synonymsUsed.push_back(std::move(use)); }

private:
    [[nodiscard]] const Entry& entry(std::string_view name) const;
    [[nodiscard]] const std::string* single(std::string_view name, Kind kind) const;

    std::map<std::string, Entry, std::less<>> m_entries;
    std::map<std::string, std::vector<std::string>, std::less<>> m_arguments;
    std::string m_command;
    std::string m_configFile;
    std::vector<SynonymUse> m_synonymsUsed;
};

} // namespace penstock::config
