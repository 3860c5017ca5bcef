// SPDX-License-Identifier: GPL-3.0-or-later
// Columns: the array parameters of one statement that writes many rows, and slice(), which makes as many statements as
// the rows need. Used by row_writer.cpp and farm_writer.cpp alone. Pure.
#pragma once

#include "server/store/postgres/parameters.h"
#include "server/store/postgres/row_writer.h"
#include "shared/base/clock.h"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::store::postgres {

constexpr std::size_t kMaxSliceRows = 20'000;
constexpr std::size_t kMaxSliceBytes = 16 * 1024 * 1024; // passed by one row at most

// The columns of one statement. Values are added row by row, left to right.
class Columns {
public:
    explicit Columns(const std::vector<ArrayColumn::Element>& elements)
    {
        m_columns.reserve(elements.size());
        for (const auto element : elements)
            m_columns.emplace_back(element);
    }
    void id(std::uint64_t value) { next(8).int64(static_cast<std::int64_t>(value)); }
    void int64(std::int64_t value) { next(8).int64(value); }
    void uint64(std::uint64_t value) { next(8).int64(static_cast<std::int64_t>(value)); }
    void int32(std::int32_t value) { next(4).int32(value); }
    void uint32(std::uint32_t value) { next(4).int32(static_cast<std::int32_t>(value)); }
    void boolean(bool value) { next(1).boolean(value); }
    void text(std::string_view value) { next(value.size()).text(value); }
    void bytes(std::string_view value) { next(value.size()).bytes(value); }
    void float64(double value) { next(8).float64(value); }
    void null() { next(0).null(); }
    void time(WallTime value) { int64(value.micros()); }
    void time(const std::optional<WallTime>& value)
    {
        if (value)
            time(*value);
        else
            null();
    }
    void optional(const std::optional<double>& value)
    {
        if (value)
            float64(*value);
        else
            null();
    }
    void optional(const std::optional<std::uint64_t>& value)
    {
        if (value)
            uint64(*value);
        else
            null();
    }
    template <class Enum> void word(Enum value) { text(toString(value)); }
    template <class Enum> void optionalWord(const std::optional<Enum>& value)
    {
        if (value)
            word(*value);
        else
            null();
    }
    [[nodiscard]] std::size_t size() const { return m_size; }
    [[nodiscard]] Parameters take()
    {
        Parameters parameters;
        for (ArrayColumn& column : m_columns)
            parameters.bytes(column.take());
        return parameters;
    }

private:
    ArrayColumn& next(std::size_t bytes)
    {
        m_size += bytes + 4;
        ArrayColumn& column = m_columns[m_next];
        m_next = (m_next + 1) % m_columns.size();
        return column;
    }

    std::vector<ArrayColumn> m_columns;
    std::size_t m_next = 0;
    std::size_t m_size = 0;
};

// The same for rows that are large: each slice is made when it is sent, and once more when it is sent again. rows
// outlives the writes; weigh says about how many bytes a row takes.
template <class Row, class Fill, class Weigh>
void sliceLate(std::vector<Write>& writes, const std::vector<Row>& rows, const Statement& statement, const char* what,
               std::pair<Write::Expect, std::vector<ArrayColumn::Element>> shape, std::pair<Fill, Weigh> how)
{
    for (std::size_t at = 0; at < rows.size();) {
        const std::size_t from = at;
        std::size_t bytes = 0;
        for (; at < rows.size() && at - from < kMaxSliceRows && bytes < kMaxSliceBytes; ++at)
            bytes += how.second(rows[at]);
        auto make = [&rows, elements = shape.second, fill = how.first, from, to = at] {
            Columns columns(elements);
            for (std::size_t row = from; row < to; ++row)
                fill(columns, rows[row]);
            return columns.take();
        };
        writes.push_back({{&statement, {}, std::move(make)}, at - from, what, shape.first});
    }
}

template <class Row, class Fill>
void slice(std::vector<Write>& writes, const std::vector<Row>& rows, const Statement& statement, const char* what,
           std::pair<Write::Expect, std::initializer_list<ArrayColumn::Element>> shape, Fill fill)
{
    for (std::size_t at = 0; at < rows.size();) {
        Columns columns(shape.second);
        std::uint64_t count = 0;
        for (; at < rows.size() && count < kMaxSliceRows && columns.size() < kMaxSliceBytes; ++at, ++count)
            fill(columns, rows[at]);
        writes.push_back({{&statement, columns.take()}, count, what, shape.first});
    }
}

} // namespace penstock::store::postgres
