// SPDX-License-Identifier: GPL-3.0-or-later
// A table of replica records that keeps its own order and filter, and turns a new state of the table into the
// row operations a view needs (never a reset, so selection and scroll stay). GUI thread. One dataChanged a
// refresh at most. Records are shared with the replica; a changed record is another pointer. What a model adds is its
// headings, its cells and their order.
#pragma once

#include "shared/base/check.h"

#include <algorithm>
#include <memory>
#include <QAbstractTableModel>
#include <QString>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace penstock::gui {

struct Heading { // of a column; the texts live as long as the program
    const char* title;
    const char* tip;
    bool isNumber = false; // it and its cells stand at the right
};

template <class Record, class Key> class RecordModel : public QAbstractTableModel {
public:
    using Pointer = std::shared_ptr<const Record>;

    explicit RecordModel(std::span<const Heading> headings, QObject* parent = nullptr)
        : QAbstractTableModel(parent), m_headings(headings)
    {
    }

    [[nodiscard]] int rowCount(const QModelIndex& parent = {}) const override
    {
        return parent.isValid() ? 0 : static_cast<int>(m_rows.size());
    }
    [[nodiscard]] int columnCount(const QModelIndex& parent = {}) const override
    {
        return parent.isValid() ? 0 : static_cast<int>(m_headings.size());
    }
    [[nodiscard]] QVariant headerData(int section, Qt::Orientation orientation, int role) const override
    {
        if (orientation != Qt::Horizontal || section < 0 || section >= columnCount())
            return {};
        const Heading& heading = m_headings[static_cast<std::size_t>(section)];
        switch (role) {
        case Qt::DisplayRole: return QString::fromLatin1(heading.title);
        case Qt::ToolTipRole: return QString::fromLatin1(heading.tip);
        case Qt::TextAlignmentRole: return alignment(section);
        default: return {};
        }
    }
    [[nodiscard]] QVariant data(const QModelIndex& index, int role) const override
    {
        const Pointer record = at(index.row());
        if (!index.isValid() || !record)
            return {};
        switch (role) {
        case Qt::DisplayRole:
        case Qt::AccessibleTextRole: return display(*record, index.column());
        case Qt::TextAlignmentRole: return alignment(index.column());
        default: return cell(*record, index.column(), role);
        }
    }

    void sort(int column, Qt::SortOrder order) override
    {
        m_sortColumn = column;
        m_sortOrder = order;
        arrange();
    }
    void setFilter(const QString& text)
    {
        m_filter = text.trimmed();
        arrange();
    }
    [[nodiscard]] const QString& filter() const { return m_filter; }
    [[nodiscard]] int totalRows() const { return static_cast<int>(m_all.size()); } // before the filter

    // The table is this now.
    void assign(std::vector<Pointer> all)
    {
        m_all = std::move(all);
        arrange();
    }

    [[nodiscard]] Pointer at(int row) const
    {
        return row >= 0 && row < rowCount() ? m_rows[static_cast<std::size_t>(row)] : nullptr;
    }
    [[nodiscard]] QModelIndex indexOf(const Key& key) const
    {
        for (std::size_t row = 0; row < m_rows.size(); ++row) {
            if (keyOf(*m_rows[row]) == key)
                return index(static_cast<int>(row), 0);
        }
        return {};
    }

protected:
    [[nodiscard]] virtual QString display(const Record& record, int column) const = 0;
    // All else of a cell: its tool tip and our own roles.
    [[nodiscard]] virtual QVariant cell(const Record& record, int column, int role) const = 0;
    [[nodiscard]] virtual Key keyOf(const Record& record) const = 0;
    [[nodiscard]] virtual bool matches(const Record& record, const QString& filter) const = 0;
    // Ascending by the column; equal ones are ordered by key.
    [[nodiscard]] virtual bool lessThan(const Record& left, const Record& right, int column) const = 0;
    // Cells that change with time alone (ages): all rows are announced as changed at each refresh.
    [[nodiscard]] virtual bool ages() const { return false; }

private:
    [[nodiscard]] int alignment(int column) const
    {
        const bool isNumber = m_headings[static_cast<std::size_t>(column)].isNumber;
        return static_cast<int>(Qt::AlignVCenter | (isNumber ? Qt::AlignRight : Qt::AlignLeft));
    }

    void arrange()
    {
        std::vector<Pointer> next;
        next.reserve(m_all.size());
        for (const Pointer& record : m_all) {
            if (m_filter.isEmpty() || matches(*record, m_filter))
                next.push_back(record);
        }
        std::sort(next.begin(), next.end(), [this](const Pointer& left, const Pointer& right) {
            const Record& a = m_sortOrder == Qt::AscendingOrder ? *left : *right;
            const Record& b = m_sortOrder == Qt::AscendingOrder ? *right : *left;
            if (lessThan(a, b, m_sortColumn))
                return true;
            if (lessThan(b, a, m_sortColumn))
                return false;
            return keyOf(*left) < keyOf(*right);
        });
        become(next);
    }

    using Places = std::unordered_map<Key, std::size_t>;

    void become(const std::vector<Pointer>& next)
    {
        Places places;
        places.reserve(next.size());
        for (std::size_t place = 0; place < next.size(); ++place)
            places.emplace(keyOf(*next[place]), place);
        removeMissing(places);
        reorder(places);
        insertNew(next);
        update(next);
    }

    void removeMissing(const Places& places)
    {
        for (std::size_t end = m_rows.size(); end > 0;) {
            if (places.contains(keyOf(*m_rows[end - 1]))) {
                --end;
                continue;
            }
            std::size_t begin = end - 1;
            while (begin > 0 && !places.contains(keyOf(*m_rows[begin - 1])))
                --begin;
            beginRemoveRows({}, static_cast<int>(begin), static_cast<int>(end) - 1);
            m_rows.erase(m_rows.begin() + static_cast<std::ptrdiff_t>(begin),
                         m_rows.begin() + static_cast<std::ptrdiff_t>(end));
            endRemoveRows();
            end = begin;
        }
    }

    void reorder(const Places& places)
    {
        const auto earlier = [&](const Pointer& left, const Pointer& right) {
            return places.at(keyOf(*left)) < places.at(keyOf(*right));
        };
        if (std::is_sorted(m_rows.begin(), m_rows.end(), earlier))
            return;
        Q_EMIT layoutAboutToBeChanged({}, QAbstractItemModel::VerticalSortHint);
        std::vector<std::pair<Pointer, int>> order;
        order.reserve(m_rows.size());
        for (std::size_t row = 0; row < m_rows.size(); ++row)
            order.emplace_back(m_rows[row], static_cast<int>(row));
        std::sort(order.begin(), order.end(),
                  [&](const auto& left, const auto& right) { return earlier(left.first, right.first); });
        std::vector<int> newRow(order.size());
        for (std::size_t row = 0; row < order.size(); ++row) {
            m_rows[row] = order[row].first;
            newRow[static_cast<std::size_t>(order[row].second)] = static_cast<int>(row);
        }
        const QModelIndexList before = persistentIndexList();
        QModelIndexList after;
        after.reserve(before.size());
        for (const QModelIndex& old : before)
            after.push_back(index(newRow[static_cast<std::size_t>(old.row())], old.column()));
        changePersistentIndexList(before, after);
        Q_EMIT layoutChanged({}, QAbstractItemModel::VerticalSortHint);
    }

    void insertNew(const std::vector<Pointer>& next)
    {
        // The rows kept are in next's order, so one walk finds every run of new ones.
        std::size_t row = 0;
        while (row < next.size()) {
            const bool known = row < m_rows.size() && keyOf(*m_rows[row]) == keyOf(*next[row]);
            if (known) {
                ++row;
                continue;
            }
            std::size_t end = row + 1;
            while (end < next.size() && (row >= m_rows.size() || keyOf(*m_rows[row]) != keyOf(*next[end])))
                ++end;
            beginInsertRows({}, static_cast<int>(row), static_cast<int>(end) - 1);
            m_rows.insert(m_rows.begin() + static_cast<std::ptrdiff_t>(row),
                          next.begin() + static_cast<std::ptrdiff_t>(row),
                          next.begin() + static_cast<std::ptrdiff_t>(end));
            endInsertRows();
            row = end;
        }
    }

    void update(const std::vector<Pointer>& next)
    {
        PENSTOCK_CHECK(m_rows.size() == next.size());
        int first = -1;
        int last = -1;
        for (std::size_t row = 0; row < next.size(); ++row) {
            if (m_rows[row] == next[row] && !ages())
                continue;
            m_rows[row] = next[row];
            first = first < 0 ? static_cast<int>(row) : first;
            last = static_cast<int>(row);
        }
        if (first >= 0)
            Q_EMIT dataChanged(index(first, 0), index(last, columnCount() - 1));
    }

    std::span<const Heading> m_headings;
    std::vector<Pointer> m_all;
    std::vector<Pointer> m_rows; // filtered, in order
    QString m_filter;
    int m_sortColumn = 0;
    Qt::SortOrder m_sortOrder = Qt::AscendingOrder;
};

} // namespace penstock::gui
