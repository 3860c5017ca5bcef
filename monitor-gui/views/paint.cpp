// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/paint.h"

#include <algorithm>
#include <QPainterPath>

namespace penstock::gui {

namespace {

constexpr qreal kRadius = 6;

void strokeGlyph(QPainter& painter, const QRectF& box, const QColor& colour, const QPainterPath& path)
{
    QPen pen(colour, std::max(1.4, box.width() / 8.0));
    pen.setCapStyle(Qt::RoundCap);
    pen.setJoinStyle(Qt::RoundJoin);
    painter.setPen(pen);
    painter.setBrush(Qt::NoBrush);
    painter.drawPath(path);
}

QPainterPath clockPath(const QRectF& box)
{
    QPainterPath path;
    path.addEllipse(box);
    path.moveTo(box.center().x(), box.top() + box.height() * 0.22);
    path.lineTo(box.center());
    path.lineTo(box.left() + box.width() * 0.72, box.center().y());
    return path;
}

// Two links of a chain.
QPainterPath chainPath(const QRectF& box)
{
    QPainterPath path;
    const qreal height = box.height() * 0.42;
    const qreal width = box.width() * 0.62;
    const qreal top = box.center().y() - height / 2;
    path.addRoundedRect({box.left(), top, width, height}, height / 2, height / 2);
    path.addRoundedRect({box.right() - width, top, width, height}, height / 2, height / 2);
    return path;
}

QPainterPath linesPath(const QRectF& box, std::initializer_list<QPointF> points, bool pairs)
{
    QPainterPath path;
    bool move = true;
    for (const QPointF& point : points) {
        const QPointF place(box.left() + box.width() * point.x(), box.top() + box.height() * point.y());
        if (move)
            path.moveTo(place);
        else
            path.lineTo(place);
        move = pairs && !move;
    }
    return path;
}

// An arrow that goes up through a line.
QPainterPath gatePath(const QRectF& box)
{
    QPainterPath path = linesPath(box, {{0.5, 1}, {0.5, 0.02}, {0, 0.66}, {1, 0.66}}, true);
    path.addPath(linesPath(box, {{0.16, 0.36}, {0.5, 0.02}, {0.84, 0.36}}, false));
    return path;
}

} // namespace

void paintGlyph(QPainter& painter, const QRectF& box, Tone tone, const Theme& theme)
{
    painter.save();
    painter.setRenderHint(QPainter::Antialiasing);
    const QColor colour = theme.tone(tone);
    const QRectF inner = box.adjusted(1, 1, -1, -1);
    switch (tone) {
    case Tone::Running: {
        painter.setPen(Qt::NoPen);
        painter.setBrush(colour);
        QPainterPath path = linesPath(inner, {{0.14, 0.02}, {0.96, 0.5}, {0.14, 0.98}}, false);
        path.closeSubpath();
        painter.drawPath(path);
        break;
    }
    case Tone::Ready: strokeGlyph(painter, inner, colour, clockPath(inner)); break;
    case Tone::Blocked: strokeGlyph(painter, inner, colour, chainPath(inner)); break;
    case Tone::Succeeded:
        strokeGlyph(painter, inner, colour,
                    linesPath(inner, {{0.08, 0.55}, {0.38, 0.86}, {0.92, 0.16}}, false));
        break;
    case Tone::Failed:
        strokeGlyph(painter, inner, colour,
                    linesPath(inner, {{0.12, 0.12}, {0.88, 0.88}, {0.88, 0.12}, {0.12, 0.88}}, true));
        break;
    case Tone::Cancelled: {
        QPainterPath path;
        path.addEllipse(inner);
        path.addPath(linesPath(inner, {{0.18, 0.82}, {0.82, 0.18}}, true));
        strokeGlyph(painter, inner, colour, path);
        break;
    }
    case Tone::Lost: {
        QPainterPath path;
        path.addEllipse(inner);
        QPen pen(colour, 1.5, Qt::DotLine);
        painter.setPen(pen);
        painter.setBrush(Qt::NoBrush);
        painter.drawPath(path);
        break;
    }
    case Tone::Held: strokeGlyph(painter, inner, colour, gatePath(inner)); break;
    case Tone::Plain: break;
    }
    painter.restore();
}

void paintCard(QPainter& painter, const QRectF& box, const Theme& theme)
{
    painter.save();
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setPen(QPen(theme.border, 1));
    painter.setBrush(theme.card);
    painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), kRadius, kRadius);
    painter.restore();
}

void paintBar(QPainter& painter, const QRectF& box, const CellBar& bar, const Theme& theme)
{
    painter.save();
    painter.setPen(Qt::NoPen);
    const QColor fill = theme.tone(bar.pastGate ? Tone::Failed : bar.tone);
    const double fraction = std::clamp(bar.fraction, 0.0, 1.0);
    // Segments only where each keeps at least three pixels; below that the bar is plain.
    if (bar.segments > 1 && box.width() / bar.segments >= 4) {
        const qreal width = box.width() / bar.segments;
        const int full = static_cast<int>(fraction * bar.segments + 0.5);
        for (int segment = 0; segment < bar.segments; ++segment)
            painter.fillRect(QRectF(box.left() + segment * width, box.top(), width - 1, box.height()),
                             segment < full ? fill : theme.track);
    } else {
        painter.fillRect(box, theme.track);
        painter.fillRect(QRectF(box.left(), box.top(), box.width() * fraction, box.height()), fill);
    }
    if (bar.gate > 0) {
        const qreal gate = box.left() + box.width() * std::min(bar.gate, 1.0);
        painter.fillRect(QRectF(gate - 0.5, box.top() - 3, 1.5, box.height() + 6), theme.ink);
        if (bar.pastGate) { // a hard outline, so that it shows without colour
            painter.setPen(QPen(theme.ink, 1));
            painter.setBrush(Qt::NoBrush);
            painter.drawRect(box.adjusted(-0.5, -0.5, -0.5, 0.5));
        }
    }
    painter.restore();
}

void paintParts(QPainter& painter, const QRectF& box, const CellParts& parts, const Theme& theme)
{
    painter.save();
    painter.setPen(Qt::NoPen);
    qreal left = box.left();
    const auto part = [&](double share, Tone tone, Qt::BrushStyle pattern) {
        if (share <= 0)
            return;
        const qreal width = std::max(2.0, box.width() * share);
        const QRectF place(left, box.top(), std::min(width, box.right() - left), box.height());
        QColor colour = theme.tone(tone);
        if (pattern != Qt::SolidPattern) {
            QColor pale = colour;
            pale.setAlpha(70);
            painter.fillRect(place, pale);
        }
        painter.fillRect(place, QBrush(colour, pattern));
        left += width + 1;
    };
    part(parts.running, Tone::Running, Qt::SolidPattern);
    part(parts.ready, Tone::Ready, Qt::BDiagPattern);
    part(parts.blocked, Tone::Blocked, Qt::Dense6Pattern);
    painter.restore();
}

void paintHatch(QPainter& painter, const QRectF& box, const Theme& theme)
{
    painter.save();
    painter.setClipRect(box);
    painter.setRenderHint(QPainter::Antialiasing);
    QColor colour = theme.mutedInk;
    colour.setAlpha(theme.dark ? 60 : 50);
    painter.setPen(QPen(colour, 1));
    constexpr qreal kStep = 10;
    for (qreal at = box.left() - box.height(); at < box.right(); at += kStep)
        painter.drawLine(QPointF(at, box.bottom()), QPointF(at + box.height(), box.top()));
    painter.restore();
}

QFont scaled(QFont font, double factor, bool bold)
{
    font.setPointSizeF(font.pointSizeF() * factor);
    font.setBold(bold);
    return font;
}

} // namespace penstock::gui
