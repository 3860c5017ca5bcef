// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/palette.h"

namespace penstock::gui {

QColor Theme::tone(Tone tone) const
{
    if (tone == Tone::Held)
        tone = Tone::Failed;
    for (const StateColour& colour : kStateColours) {
        if (colour.tone == tone)
            return QColor::fromRgb(dark ? colour.dark : colour.light);
    }
    return tone == Tone::Lost ? mutedInk : ink;
}

QPen Theme::linePen(Tone wanted) const
{
    for (const StateColour& colour : kStateColours) {
        if (colour.tone == wanted) {
            QPen pen(tone(wanted), colour.width, colour.line);
            pen.setCapStyle(Qt::FlatCap);
            pen.setJoinStyle(Qt::RoundJoin);
            return pen;
        }
    }
    return QPen(tone(wanted), 1);
}

Theme Theme::light()
{
    Theme theme;
    theme.window = QColor(0xF1, 0xF3, 0xF5);
    theme.card = QColor::fromRgb(kLightCard);
    theme.border = QColor(0xD8, 0xDC, 0xE1);
    theme.ink = QColor(0x1B, 0x1F, 0x24);
    theme.mutedInk = QColor(0x5B, 0x64, 0x6E);
    theme.grid = QColor(0xE4, 0xE7, 0xEB);
    theme.track = QColor(0xE3, 0xE7, 0xEC);
    theme.selection = QColor(0xD6, 0xE6, 0xF7);
    theme.banner = QColor(0xFF, 0xF1, 0xD0);
    return theme;
}

Theme Theme::darkTheme()
{
    Theme theme;
    theme.dark = true;
    theme.window = QColor(0x14, 0x15, 0x17);
    theme.card = QColor::fromRgb(kDarkCard);
    theme.border = QColor(0x35, 0x38, 0x3D);
    theme.ink = QColor(0xE6, 0xE8, 0xEB);
    theme.mutedInk = QColor(0x9C, 0xA4, 0xAE);
    theme.grid = QColor(0x2E, 0x31, 0x36);
    theme.track = QColor(0x34, 0x37, 0x3D);
    theme.selection = QColor(0x24, 0x3C, 0x55);
    theme.banner = QColor(0x4A, 0x3A, 0x10);
    return theme;
}

} // namespace penstock::gui
