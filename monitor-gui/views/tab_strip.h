// SPDX-License-Identifier: GPL-3.0-or-later
// A few words side by side, one of them chosen: the parts of a panel. GUI thread.
#pragma once

#include "monitor-gui/views/theme_source.h"

#include <QList>
#include <QStringList>
#include <QWidget>

class QAbstractButton;

namespace penstock::gui {

class TabStrip final : public QWidget {
    Q_OBJECT
public:
    TabStrip(const QStringList& words, const ThemeSource& theme, QWidget* parent = nullptr);

    void choose(int place);
    [[nodiscard]] int chosen() const;

Q_SIGNALS:
    void chosenChanged(int place);

private:
    void recolour();

    const ThemeSource& m_theme;
    QList<QAbstractButton*> m_buttons;
};

} // namespace penstock::gui
