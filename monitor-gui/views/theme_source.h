// SPDX-License-Identifier: GPL-3.0-or-later
// The one place that knows which theme is on, and tells widgets when it changes. GUI thread; outlives its
// widgets.
#pragma once

#include "monitor-gui/views/palette.h"

#include <QObject>
#include <QPalette>

namespace penstock::gui {

enum class ThemeChoice : quint8 { System, Light, Dark };

class ThemeSource final : public QObject {
    Q_OBJECT
public:
    explicit ThemeSource(ThemeChoice choice);

    [[nodiscard]] const Theme& theme() const { return m_theme; }
    [[nodiscard]] ThemeChoice choice() const { return m_choice; }
    void choose(ThemeChoice choice);
    // Qt 6.4 tells no colour scheme, so dark is read from the desktop's palette as it was at start.
    [[nodiscard]] static bool systemIsDark(const QPalette& desktop);

Q_SIGNALS:
    void changed();

private:
    void apply();

    QPalette m_desktop;
    ThemeChoice m_choice;
    Theme m_theme;
};

} // namespace penstock::gui
