// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/cell_delegate.h"

#include "monitor-gui/replica/freshness.h"
#include "monitor-gui/views/paint.h"

#include <QPainter>

namespace penstock::gui {

namespace {

constexpr int kPadding = 8;
constexpr int kGlyph = 12;
constexpr int kBarText = 58; // room for "100.0 %" right of a bar
constexpr double kStaleInk = 0.6;

} // namespace

CellDelegate::CellDelegate(const ThemeSource& theme, QObject* parent)
    : QStyledItemDelegate(parent), m_theme(theme)
{}

void CellDelegate::paint(QPainter* painter, const QStyleOptionViewItem& option,
                         const QModelIndex& index) const
{
    const Theme& theme = m_theme.theme();
    painter->save();
    if (option.state.testFlag(QStyle::State_Selected))
        painter->fillRect(option.rect, theme.selection);
    const QVariant freshness = index.data(kFreshnessRole);
    const auto fresh = freshness.isValid() ? static_cast<Freshness>(freshness.toInt()) : Freshness::Fresh;
    if (fresh == Freshness::Stale || fresh == Freshness::Lost)
        paintHatch(*painter, option.rect, theme);
    if (fresh != Freshness::Fresh)
        painter->setOpacity(kStaleInk);

    QRect box = option.rect.adjusted(kPadding, 0, -kPadding, 0);
    const QVariant tone = index.data(kToneRole);
    if (tone.isValid()) {
        const QRectF glyph(box.left(), box.center().y() - kGlyph / 2.0 + 0.5, kGlyph, kGlyph);
        paintGlyph(*painter, glyph, static_cast<Tone>(tone.toInt()), theme);
        box.setLeft(box.left() + kGlyph + kPadding);
    }
    const QVariant parts = index.data(kPartsRole);
    const QVariant bar = index.data(kBarRole);
    const QRect barBox(box.left(), box.center().y() - 3,
                       box.width() - (parts.isValid() ? 0 : kBarText + kPadding), 8);
    if (parts.isValid()) {
        paintParts(*painter, barBox.adjusted(0, -2, 0, 2), parts.value<CellParts>(), theme);
    } else if (bar.isValid() && fresh != Freshness::Lost && barBox.width() > 16) {
        paintBar(*painter, barBox, bar.value<CellBar>(), theme);
        box.setLeft(barBox.right() + kPadding);
    }
    paintText(*painter, option, box, index, theme.ink);
    if (option.state.testFlag(QStyle::State_HasFocus)) {
        painter->setOpacity(1);
        painter->setPen(QPen(theme.tone(Tone::Running), 1));
        painter->drawLine(option.rect.bottomLeft(), option.rect.bottomRight());
    }
    painter->restore();
}

void CellDelegate::paintText(QPainter& painter, const QStyleOptionViewItem& option, const QRect& box,
                             const QModelIndex& index, const QColor& ink) const
{
    const QString text = index.data(Qt::DisplayRole).toString();
    if (text.isEmpty())
        return;
    painter.setFont(option.font);
    painter.setPen(text == QStringLiteral("\u2014") ? m_theme.theme().mutedInk : ink);
    const QVariant alignment = index.data(Qt::TextAlignmentRole);
    const int flags =
        alignment.isValid() ? alignment.toInt() : static_cast<int>(Qt::AlignLeft | Qt::AlignVCenter);
    painter.drawText(box, flags | Qt::TextSingleLine,
                     option.fontMetrics.elidedText(text, Qt::ElideRight, box.width()));
}

} // namespace penstock::gui
