// SPDX-License-Identifier: GPL-3.0-or-later
// Draws every table cell of the window: glyph, bar or parts, elided text, and the look of old data. GUI
// thread.
#pragma once

#include "monitor-gui/views/theme_source.h"

#include <QStyledItemDelegate>

namespace penstock::gui {

class CellDelegate final : public QStyledItemDelegate {
    Q_OBJECT
public:
    explicit CellDelegate(const ThemeSource& theme, QObject* parent = nullptr);

    void paint(QPainter* painter, const QStyleOptionViewItem& option,
               const QModelIndex& index) const override;

private:
    void paintText(QPainter& painter, const QStyleOptionViewItem& option, const QRect& box,
                   const QModelIndex& index, const QColor& ink) const;

    const ThemeSource& m_theme;
};

} // namespace penstock::gui
