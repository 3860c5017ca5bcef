// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/connection_chip.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/views/paint.h"

#include <QPainter>

namespace penstock::gui {

namespace {

constexpr int kHeight = 26;
constexpr int kGlyph = 12;
constexpr int kWidest = 460;

Tone toneOf(ChipKind kind)
{
    switch (kind) {
    case ChipKind::Live: return Tone::Succeeded;
    case ChipKind::Idle:
    case ChipKind::Connecting: return Tone::Blocked;
    case ChipKind::Lagging:
    case ChipKind::Stale:
    case ChipKind::Reconnecting: return Tone::Ready;
    case ChipKind::Refused: return Tone::Failed;
    }
    return Tone::Plain;
}

} // namespace

ConnectionChip::ConnectionChip(const ThemeSource& theme, QWidget* parent)
    : QAbstractButton(parent), m_theme(theme)
{
    setFocusPolicy(Qt::TabFocus);
    setCursor(Qt::PointingHandCursor);
    setSizePolicy(QSizePolicy::Fixed, QSizePolicy::Fixed);
    connect(&theme, &ThemeSource::changed, this, qOverload<>(&QWidget::update));
}

void ConnectionChip::show(const Chip& chip, const QString& detail)
{
    const bool changed = chip != m_chip;
    m_chip = chip;
    setText(gui::text(chip.text));
    setAccessibleName(QStringLiteral("Connection: %1").arg(text()));
    setToolTip(detail + QStringLiteral("\nClick or press F5 to connect anew"));
    if (changed)
        updateGeometry();
    update();
}

QSize ConnectionChip::sizeHint() const
{
    const int wanted = fontMetrics().horizontalAdvance(text()) + kGlyph + 3 * 10;
    return {std::min(wanted, kWidest), kHeight};
}

void ConnectionChip::paintEvent(QPaintEvent*)
{
    QPainter painter(this);
    const Theme& theme = m_theme.theme();
    const QColor colour = theme.tone(toneOf(m_chip.kind));
    painter.setRenderHint(QPainter::Antialiasing);
    QColor fill = colour;
    fill.setAlpha(isDown() ? 90 : 36);
    painter.setBrush(fill);
    painter.setPen(QPen(colour, hasFocus() ? 2 : 1, isOutdated(m_chip.kind) ? Qt::DashLine : Qt::SolidLine));
    const QRectF box = QRectF(rect()).adjusted(1, 1, -1, -1);
    painter.drawRoundedRect(box, box.height() / 2, box.height() / 2);
    paintGlyph(painter, QRectF(10, (height() - kGlyph) / 2.0, kGlyph, kGlyph), toneOf(m_chip.kind), theme);
    painter.setPen(theme.ink);
    const QRect words = rect().adjusted(10 + kGlyph + 7, 0, -10, 0);
    painter.drawText(words, Qt::AlignLeft | Qt::AlignVCenter,
                     fontMetrics().elidedText(text(), Qt::ElideRight, words.width()));
}

} // namespace penstock::gui
