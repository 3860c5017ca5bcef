// SPDX-License-Identifier: GPL-3.0-or-later
// The logging interface: an event name that never changes plus typed fields, so that logs can be counted and
// searched. Passed to whoever logs; sinks live in shared/log. Callable from any thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

namespace penstock {

enum class LogLevel : std::uint8_t { Debug, Info, Warning, Error };

struct LogField {
    std::string_view key; // snake_case
    std::variant<std::string, std::int64_t, double, bool> value;

    LogField(std::string_view k, std::string v) : key(k), value(std::move(v)) {}
    LogField(std::string_view k, std::string_view v) : key(k), value(std::string(v)) {}
    LogField(std::string_view k, const char* v) : key(k), value(std::string(v)) {}
    LogField(std::string_view k, bool v) : key(k), value(v) {}
    LogField(std::string_view k, double v) : key(k), value(v) {}
    // Not by a concept: moc of Qt 6.4 cannot read the <concepts> header.
    template <class T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, int> = 0>
    LogField(std::string_view k, T v) : key(k), value(static_cast<std::int64_t>(v))
    {
    }
};

struct Logger {
    virtual ~Logger() = default;
    // event: lower case with dots, e.g. "link.refused".
    virtual void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) = 0;

    void debug(std::string_view event, std::initializer_list<LogField> fields = {})
    {
        log(LogLevel::Debug, event, fields);
    }
    void info(std::string_view event, std::initializer_list<LogField> fields = {})
    {
        log(LogLevel::Info, event, fields);
    }
    void warning(std::string_view event, std::initializer_list<LogField> fields = {})
    {
        log(LogLevel::Warning, event, fields);
    }
    void error(std::string_view event, std::initializer_list<LogField> fields = {})
    {
        log(LogLevel::Error, event, fields);
    }
};

} // namespace penstock
