// SPDX-License-Identifier: GPL-3.0-or-later
// Small painters shared by widgets: state glyphs, bars, hatching, rounded cards. They draw shapes, not
// characters, so no font can lack them. GUI thread.
#pragma once

#include "monitor-gui/views/palette.h"

#include <QFont>
#include <QPainter>

namespace penstock::gui {

inline constexpr int kSpace = 12; // between cards, and inside them

void paintGlyph(QPainter& painter, const QRectF& box, Tone tone, const Theme& theme);
void paintCard(QPainter& painter, const QRectF& box, const Theme& theme);
void paintBar(QPainter& painter, const QRectF& box, const CellBar& bar, const Theme& theme);
void paintParts(QPainter& painter, const QRectF& box, const CellParts& parts, const Theme& theme);
// Diagonal lines over what is not of the present.
void paintHatch(QPainter& painter, const QRectF& box, const Theme& theme);

[[nodiscard]] QFont scaled(QFont font, double factor, bool bold = false);

} // namespace penstock::gui
