// SPDX-License-Identifier: GPL-3.0-or-later
// The colours of the window. The state colours were chosen against four kinds of colour vision (least ΔE2000
// between two of them 10) and for contrast (light on white 3.2, dark on #1E1E1E 4.5); a test computes both
// again. Colour never stands alone: each state has a glyph and a line pattern of its own. Values, any thread.
#pragma once

#include "monitor-gui/models/roles.h"

#include <array>
#include <QColor>
#include <QPen>

namespace penstock::gui {

struct StateColour {
    Tone tone;
    QRgb light; // on white
    QRgb dark;  // on #1E1E1E
    Qt::PenStyle line;
    qreal width;
};

inline constexpr QRgb kLightCard = 0xFFFFFFFF;
inline constexpr QRgb kDarkCard = 0xFF1E1E1E;

inline constexpr std::array<StateColour, 6> kStateColours = {{
    {Tone::Running, 0xFF08519C, 0xFF4FA8F0, Qt::SolidLine, 2},
    {Tone::Ready, 0xFFB97F00, 0xFFFFD166, Qt::DashLine, 2},
    {Tone::Blocked, 0xFF6A6A6A, 0xFF8C8C8C, Qt::DotLine, 2},
    {Tone::Succeeded, 0xFF33A17E, 0xFF7FE3C4, Qt::SolidLine, 1},
    {Tone::Failed, 0xFF8C1A0A, 0xFFE8512A, Qt::SolidLine, 3},
    {Tone::Cancelled, 0xFFC173B8, 0xFFC77DBB, Qt::DashDotLine, 2},
}};

// Everything else that is drawn.
struct Theme {
    bool dark = false;
    QColor window;
    QColor card;
    QColor border;
    QColor ink;
    QColor mutedInk;
    QColor grid;
    QColor track; // of bars
    QColor selection;
    QColor banner; // behind the sentence about a lost link

    [[nodiscard]] QColor tone(Tone tone) const; // Plain gives ink, Lost gives muted ink
    [[nodiscard]] QPen linePen(Tone tone) const;

    [[nodiscard]] static Theme light();
    [[nodiscard]] static Theme darkTheme();
};

} // namespace penstock::gui
