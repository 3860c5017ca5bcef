// SPDX-License-Identifier: GPL-3.0-or-later
// What is sent with a statement: values in PostgreSQL's binary format, single ones and one-dimensional arrays. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::store::postgres {

class Parameters {
public:
    void int64(std::int64_t value);
    void int64(std::optional<std::int64_t> value);
    void text(std::string_view value); // any bytes: goes through toColumnText()
    void text(std::optional<std::string_view> value);
    void boolean(bool value);
    void bytes(std::string value); // already in the binary format of its type
    void null();

    [[nodiscard]] int count() const { return static_cast<int>(m_values.size()); }
    [[nodiscard]] std::size_t size() const { return m_size; } // bytes
    // For libpq; valid until the next change.
    [[nodiscard]] std::vector<const char*> pointers() const;
    [[nodiscard]] std::vector<int> lengths() const;

private:
    std::vector<std::optional<std::string>> m_values;
    std::size_t m_size = 0;
};

// One column of many rows, for unnest($1::…[]).
class ArrayColumn {
public:
    enum class Element : std::uint32_t { // type oids
        Boolean = 16,
        Bytes = 17,
        Int64 = 20,
        Int32 = 23,
        Text = 25,
        Float64 = 701,
    };

    explicit ArrayColumn(Element element);
    void int64(std::int64_t value);
    void int32(std::int32_t value);
    void float64(double value);
    void boolean(bool value);
    void text(std::string_view value); // any bytes: goes through toColumnText()
    void bytes(std::string_view value);
    void null();
    [[nodiscard]] std::string take();

private:
    void raw(std::string_view value);

    std::string m_out;
    std::uint32_t m_count = 0;
    bool m_hasNull = false;
};

} // namespace penstock::store::postgres
