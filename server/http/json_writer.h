// SPDX-License-Identifier: GPL-3.0-or-later
// JsonWriter: writes one JSON document front to back, keys in the order given. Pure; one thread at a time. The caller
// keeps objects and arrays balanced; values of strangers are escaped, never trusted.
#pragma once

#include "shared/base/clock.h"

#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace penstock::http {

class JsonWriter {
public:
    void beginObject() { open('{'); }
    void endObject() { close('}'); }
    void beginArray() { open('['); }
    void endArray() { close(']'); }
    void key(std::string_view name);

    void value(std::string_view text);
    void value(const char* text) { value(std::string_view(text)); }
    void value(bool flag) { raw(flag ? "true" : "false"); }
    void value(double number); // not finite: null
    template <std::integral T>
        requires(!std::same_as<T, bool>)
    void value(T number)
    {
        raw(std::to_string(number));
    }
    void null() { raw("null"); }
    void raw(std::string_view json); // a value that is JSON already

    template <class T> void field(std::string_view name, const T& content)
    {
        key(name);
        value(content);
    }
    void fieldNull(std::string_view name)
    {
        key(name);
        null();
    }
    void fieldRaw(std::string_view name, std::string_view json)
    {
        key(name);
        raw(json);
    }
    void fieldTime(std::string_view name, std::optional<WallTime> at); // RFC 3339 or null
    // Text, or null when empty.
    void fieldText(std::string_view name, std::string_view text);
    void fieldList(std::string_view name, std::span<const std::string> texts);

    [[nodiscard]] std::string take() && { return std::move(m_out); }

private:
    void open(char bracket);
    void close(char bracket);
    void separate();

    std::string m_out;
    bool m_comma = false; // the next element needs one
};

} // namespace penstock::http
