// SPDX-License-Identifier: GPL-3.0-or-later
// The table of the window: fixed row height, columns that a person may move and widen, our cell painting, and
// a sentence where there is nothing to list. GUI thread; the model outlives it or is its child.
#pragma once

#include "monitor-gui/views/theme_source.h"

#include <QList>
#include <QTableView>

namespace penstock::gui {

class RecordTable final : public QTableView {
    Q_OBJECT
public:
    RecordTable(QAbstractItemModel& model, const ThemeSource& theme, const QString& name,
                QWidget* parent = nullptr);

    // Widths in pixels; the last column takes what is left.
    void setWidths(const QList<int>& widths);
    void setEmptySentence(const QString& sentence);

protected:
    void paintEvent(QPaintEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;

private:
    void recolour();

    const ThemeSource& m_theme;
    QString m_sentence;
};

} // namespace penstock::gui
