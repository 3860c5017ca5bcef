// SPDX-License-Identifier: GPL-3.0-or-later
// A table for people: columns as wide as their content, numbers to the right, and on a terminal at most one
// column shortened so that a row stays on one line. Pure, callable from any thread.
#pragma once

#include "client/output/style.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::client {

enum class Align : std::uint8_t { Left, Right };

struct Cell {
    std::string text;
    Colour colour = Colour::None;
};

// The word with its glyph, in its colour.
[[nodiscard]] Cell stateCell(std::string_view word, const Style& style);

struct TableColumn {
    std::string_view title;
    Align align = Align::Left;
    bool flexible = false; // may be shortened to fit; one per table
};

class Table {
public:
    explicit Table(std::vector<TableColumn> columns) : m_columns(std::move(columns)) {}

    // As many cells as columns; control characters in them are replaced here.
    void add(std::vector<Cell> row);
    [[nodiscard]] bool empty() const { return m_rows.empty(); }
    // width: of the terminal, 0 for none. Lines end in \n and carry no blanks at the end.
    [[nodiscard]] std::string render(const Style& style, std::size_t width) const;

private:
    [[nodiscard]] std::vector<std::size_t> columnWidths(std::size_t width) const;

    std::vector<TableColumn> m_columns;
    std::vector<std::vector<Cell>> m_rows;
};

// "Name:  value" lines, values in one column; the page of one record.
[[nodiscard]] std::string renderFields(const std::vector<std::pair<std::string, Cell>>& fields,
                                       const Style& style);

} // namespace penstock::client
