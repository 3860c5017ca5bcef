// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/tile.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/views/paint.h"

#include <algorithm>
#include <QPainter>
#include <utility>

namespace penstock::gui {

Tile::Tile(QString title, Tone tone, const ThemeSource& theme, QWidget* parent)
    : QFrame(parent), m_title(std::move(title)), m_tone(tone), m_theme(theme), m_value(dash())
{
    setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
    setAccessibleName(m_title);
    connect(&theme, &ThemeSource::changed, this, qOverload<>(&QWidget::update));
}

void Tile::show(const QString& value, const QString& remark, bool outdated)
{
    m_value = value;
    m_remark = remark;
    m_outdated = outdated;
    setAccessibleDescription(QStringLiteral("%1. %2").arg(value, remark));
    setToolTip(remark);
    update();
}

void Tile::setTone(Tone tone)
{
    m_tone = tone;
}

void Tile::setCompact(bool compact)
{
    if (compact == m_compact)
        return;
    m_compact = compact;
    updateGeometry();
    update();
}

void Tile::setSpark(QList<QPointF> points)
{
    m_spark = std::move(points);
    update();
}

void Tile::paintEvent(QPaintEvent*)
{
    QPainter painter(this);
    const Theme& theme = m_theme.theme();
    paintCard(painter, rect(), theme);
    if (m_outdated) {
        paintHatch(painter, QRectF(rect()).adjusted(1, 1, -1, -1), theme);
        painter.setOpacity(0.6);
    }
    const QRect inner = rect().adjusted(kSpace, 8, -kSpace, -8);
    constexpr int kGlyph = 11;
    int left = inner.left();
    if (m_tone != Tone::Plain) {
        paintGlyph(painter, QRectF(left, inner.top() + 4, kGlyph, kGlyph), m_tone, theme);
        left += kGlyph + 6;
    }
    painter.setFont(scaled(font(), 0.9));
    painter.setPen(theme.mutedInk);
    painter.drawText(QRect(left, inner.top(), inner.right() - left, 18), Qt::AlignLeft | Qt::AlignVCenter,
                     painter.fontMetrics().elidedText(m_title, Qt::ElideRight, inner.right() - left));
    painter.setFont(scaled(font(), 1.7, true));
    painter.setPen(theme.ink);
    painter.drawText(QRect(inner.left(), inner.top() + 18, inner.width(), 32),
                     Qt::AlignLeft | Qt::AlignVCenter,
                     painter.fontMetrics().elidedText(m_value, Qt::ElideRight, inner.width()));
    painter.setFont(scaled(font(), 0.85));
    painter.setPen(theme.mutedInk);
    painter.drawText(QRect(inner.left(), inner.top() + 50, inner.width(), 16),
                     Qt::AlignLeft | Qt::AlignVCenter,
                     painter.fontMetrics().elidedText(m_remark, Qt::ElideRight, inner.width()));
    if (!m_compact)
        paintSpark(painter, QRectF(inner.left(), inner.top() + 70, inner.width(), inner.height() - 70));
}

void Tile::paintSpark(QPainter& painter, const QRectF& box)
{
    if (m_spark.size() < 2)
        return;
    double highest = 0;
    for (const QPointF& point : m_spark)
        highest = std::max(highest, point.y());
    const double from = m_spark.first().x();
    const double span = std::max(1e-9, m_spark.last().x() - from);
    const double scale = highest > 0 ? box.height() / highest : 0.0;
    QList<QPointF> line;
    line.reserve(m_spark.size());
    for (const QPointF& point : m_spark)
        line.push_back(
            {box.left() + (point.x() - from) / span * box.width(), box.bottom() - point.y() * scale});
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setPen(QPen(m_theme.theme().tone(m_tone == Tone::Plain ? Tone::Blocked : m_tone), 1.5));
    painter.drawPolyline(line.constData(), static_cast<int>(line.size()));
}

} // namespace penstock::gui
