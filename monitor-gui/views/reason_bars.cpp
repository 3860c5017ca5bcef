// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/reason_bars.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/replica/reason_words.h"
#include "monitor-gui/views/paint.h"

#include <algorithm>
#include <QPainter>

namespace penstock::gui {

namespace {

constexpr int kTitle = 22;
constexpr int kHead = 40;
constexpr int kRow = 36;
constexpr int kGlyph = 12;

// Only as much darker as there is a pattern to it: two kinds of one colour still differ.
Qt::BrushStyle patternOf(ReasonKind kind)
{
    switch (kind) {
    case ReasonKind::Inputs: return Qt::Dense6Pattern;
    case ReasonKind::Machines: return Qt::DiagCrossPattern;
    case ReasonKind::Pressure: return Qt::FDiagPattern;
    case ReasonKind::Order: return Qt::BDiagPattern;
    case ReasonKind::Operator: return Qt::VerPattern;
    case ReasonKind::Farm:
    case ReasonKind::Unknown: return Qt::HorPattern;
    case ReasonKind::Busy: break;
    }
    return Qt::SolidPattern;
}

void paintReason(QPainter& painter, const QRect& box, const ReasonCount& reason, double share, const Theme& theme)
{
    const ReasonWords words = wordsOfReason(reason.code);
    const Tone tone = toneOf(words.kind);
    paintGlyph(painter, QRectF(box.left(), box.top() + 3, kGlyph, kGlyph), tone, theme);
    const int left = box.left() + kGlyph + 8;
    painter.setPen(theme.ink);
    const QString count = formatCount(reason.steps);
    const int countWidth = painter.fontMetrics().horizontalAdvance(count) + 4;
    painter.drawText(QRect(box.right() - countWidth, box.top(), countWidth, 18), Qt::AlignRight | Qt::AlignVCenter,
                     count);
    const int room = box.right() - countWidth - 8 - left;
    painter.drawText(QRect(left, box.top(), room, 18), Qt::AlignLeft | Qt::AlignVCenter,
                     painter.fontMetrics().elidedText(text(words.words), Qt::ElideRight, room));
    const QRectF track(left, box.top() + 20, box.right() - left, 8);
    painter.fillRect(track, theme.track);
    const QRectF bar(track.left(), track.top(), std::max(2.0, track.width() * share), track.height());
    QColor colour = theme.tone(tone);
    if (patternOf(words.kind) != Qt::SolidPattern) {
        QColor pale = colour;
        pale.setAlpha(90);
        painter.fillRect(bar, pale);
    }
    painter.fillRect(bar, QBrush(colour, patternOf(words.kind)));
}

} // namespace

ReasonBars::ReasonBars(const ThemeSource& theme, QWidget* parent) : QWidget(parent), m_theme(theme)
{
    setAccessibleName(QStringLiteral("Why steps wait"));
    setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Expanding);
    connect(&theme, &ThemeSource::changed, this, qOverload<>(&QWidget::update));
}

void ReasonBars::show(const FarmTotals& totals, bool filled)
{
    m_reasons = totals.waiting;
    std::uint64_t steps = 0;
    QStringList spoken;
    for (const ReasonCount& reason : m_reasons) {
        steps += reason.steps;
        spoken << QStringLiteral("%1: %2").arg(text(wordsOfReason(reason.code).words), formatCount(reason.steps));
    }
    m_title = steps == 1  ? QStringLiteral("Why 1 step waits")
              : steps > 0 ? QStringLiteral("Why %1 steps wait").arg(formatCount(steps))
                          : QStringLiteral("Why steps wait");
    const std::uint64_t waiting = totals.stepsReady + totals.stepsBlocked + totals.stepsDelayed;
    m_sentence = !filled       ? QStringLiteral("Waiting for the server.")
                 : steps > 0   ? QString()
                 : waiting > 0 ? QStringLiteral("The server gives no reasons.")
                               : QStringLiteral("Nothing waits.");
    setAccessibleDescription(m_sentence.isEmpty() ? spoken.join(QStringLiteral("; ")) : m_sentence);
    setToolTip(spoken.join(QLatin1Char('\n')));
    update();
}

void ReasonBars::paintEvent(QPaintEvent*)
{
    QPainter painter(this);
    const Theme& theme = m_theme.theme();
    paintCard(painter, rect(), theme);
    painter.setFont(scaled(font(), 1.0, true));
    painter.setPen(theme.ink);
    const QRect inner = rect().adjusted(kSpace, 0, -kSpace, -kSpace / 2);
    painter.drawText(QRect(inner.left(), 6, inner.width(), kTitle), Qt::AlignLeft | Qt::AlignVCenter, m_title);
    painter.setFont(font());
    if (m_reasons.empty() || !m_sentence.isEmpty()) {
        painter.setPen(theme.mutedInk);
        painter.drawText(inner.adjusted(0, kHead, 0, 0), Qt::AlignLeft | Qt::AlignTop | Qt::TextWordWrap, m_sentence);
        return;
    }
    const auto most = static_cast<double>(std::max<std::uint64_t>(1, m_reasons.front().steps));
    const auto fits = static_cast<std::size_t>(std::max(1, (inner.bottom() - kHead) / kRow));
    const std::size_t shown = m_reasons.size() <= fits ? m_reasons.size() : fits - 1;
    int top = kHead;
    for (std::size_t place = 0; place < shown; ++place, top += kRow)
        paintReason(painter, QRect(inner.left(), top, inner.width(), kRow), m_reasons[place],
                    static_cast<double>(m_reasons[place].steps) / most, theme);
    if (shown == m_reasons.size())
        return;
    std::uint64_t rest = 0;
    for (std::size_t place = shown; place < m_reasons.size(); ++place)
        rest += m_reasons[place].steps;
    painter.setPen(theme.mutedInk);
    painter.drawText(QRect(inner.left(), top, inner.width(), 18), Qt::AlignLeft | Qt::AlignVCenter,
                     QStringLiteral("and %1 more reasons, %2 steps")
                         .arg(m_reasons.size() - shown)
                         .arg(formatCount(rest)));
}

} // namespace penstock::gui
