// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/output/table.h"

#include "shared/base/check.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::client {

namespace {

constexpr std::size_t kGap = 2;        // blanks between columns
constexpr std::size_t kLeastShort = 8; // a shortened column keeps at least this

void appendPadded(std::string& line, const Cell& cell, Align align, std::size_t width, const Style& style)
{
    const auto used = displayWidth(cell.text);
    const std::string blanks(width > used ? width - used : 0, ' ');
    const auto text = paint(style, cell.colour, cell.text);
    line += align == Align::Right ? blanks + text : text + blanks;
}

void endLine(std::string& out, std::string& line)
{
    while (!line.empty() && line.back() == ' ')
        line.pop_back();
    out += line;
    out += '\n';
    line.clear();
}

} // namespace

Cell stateCell(std::string_view word, const Style& style)
{
    if (word.empty())
        return {};
    const auto glyph = glyphFor(word);
    return {fmt::format("{} {}", style.unicode ? glyph.unicode : glyph.ascii, word), glyph.colour};
}

void Table::add(std::vector<Cell> row)
{
    PENSTOCK_CHECK(row.size() == m_columns.size());
    for (auto& cell : row)
        cell.text = printable(cell.text);
    m_rows.push_back(std::move(row));
}

std::vector<std::size_t> Table::columnWidths(std::size_t width) const
{
    std::vector<std::size_t> widths;
    std::size_t total = 0;
    std::size_t flexible = m_columns.size();
    for (std::size_t column = 0; column < m_columns.size(); ++column) {
        auto widest = displayWidth(m_columns[column].title);
        for (const auto& row : m_rows)
            widest = std::max(widest, displayWidth(row[column].text));
        widths.push_back(widest);
        total += widest + (column == 0 ? 0 : kGap);
        if (m_columns[column].flexible)
            flexible = column;
    }
    if (width != 0 && total > width && flexible < m_columns.size()) {
        const auto excess = total - width;
        const auto old = widths[flexible];
        widths[flexible] = std::min(old, std::max(kLeastShort, old > excess ? old - excess : 0));
    }
    return widths;
}

std::string Table::render(const Style& style, std::size_t width) const
{
    const auto widths = columnWidths(width);
    std::string out;
    std::string line;
    for (std::size_t column = 0; column < m_columns.size(); ++column) {
        line += column == 0 ? "" : std::string(kGap, ' ');
        appendPadded(line, {std::string(m_columns[column].title), Colour::Bold}, m_columns[column].align,
                     widths[column], style);
    }
    endLine(out, line);
    for (const auto& row : m_rows) {
        for (std::size_t column = 0; column < m_columns.size(); ++column) {
            line += column == 0 ? "" : std::string(kGap, ' ');
            const Cell cell{elide(row[column].text, widths[column], style), row[column].colour};
            appendPadded(line, cell, m_columns[column].align, widths[column], style);
        }
        endLine(out, line);
    }
    return out;
}

std::string renderFields(const std::vector<std::pair<std::string, Cell>>& fields, const Style& style)
{
    std::size_t widest = 0;
    for (const auto& [name, cell] : fields)
        widest = std::max(widest, displayWidth(name));
    std::string out;
    for (const auto& [name, cell] : fields) {
        auto line = fmt::format("{}{}", paint(style, Colour::Bold, name + ":"),
                                std::string(widest - displayWidth(name) + kGap, ' '));
        line += paint(style, cell.colour, printable(cell.text));
        endLine(out, line);
    }
    return out;
}

} // namespace penstock::client
