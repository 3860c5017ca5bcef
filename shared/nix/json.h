// SPDX-License-Identifier: GPL-3.0-or-later
// A small strict JSON reader for what Nix writes: structured attributes, realisations, `nix show-config
// --json`. Pure. Bounded: text size and nesting are checked; errors are Corrupt or Exhausted and name the
// offset.
#pragma once

#include "shared/base/result.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace penstock::nix {

inline constexpr std::size_t kMaxJsonBytes = 64U << 20U;
inline constexpr unsigned kMaxJsonNesting = 64;

class JsonValue {
public:
    struct Number {
        std::string text; // as written, so that no digit is lost
        friend bool operator==(const Number&, const Number&) = default;
    };
    using Array = std::vector<JsonValue>;
    using Object = std::vector<std::pair<std::string, JsonValue>>; // in file order
    using Value = std::variant<std::nullptr_t, bool, Number, std::string, Array, Object>;

    explicit JsonValue(Value value) : m_value(std::move(value)) {}

    [[nodiscard]] const bool* asBool() const { return std::get_if<bool>(&m_value); }
    [[nodiscard]] const Number* asNumber() const { return std::get_if<Number>(&m_value); }
    [[nodiscard]] const std::string* asString() const { return std::get_if<std::string>(&m_value); }
    [[nodiscard]] const Array* asArray() const { return std::get_if<Array>(&m_value); }
    [[nodiscard]] const Object* asObject() const { return std::get_if<Object>(&m_value); }
    // The last member of that name (as Nix's reader decides), or null when absent or not an object.
    [[nodiscard]] const JsonValue* member(std::string_view name) const;

private:
    Value m_value;
};

[[nodiscard]] Result<JsonValue> parseJson(std::string_view text);

} // namespace penstock::nix
