// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/why_view.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/views/paint.h"

#include <algorithm>
#include <QClipboard>
#include <QGuiApplication>
#include <QKeyEvent>
#include <QPainter>
#include <QScrollBar>
#include <utility>

namespace penstock::gui {

namespace {

constexpr int kGlyph = 14;
constexpr int kIndent = kGlyph + 10;
constexpr int kCount = 52;       // room for the number of machines left
constexpr int kLost = 70;        // room for "1,204 out"
constexpr int kLeastWords = 120; // room for what a stage asks
constexpr int kMostWords = 176;
constexpr int kStageHeight = 22;
constexpr int kWide = 700;       // from here on in two columns
constexpr int kTallest = 100'000;

// Draws from top to bottom, or only measures when there is nothing to draw on.
class Column {
public:
    // Between left and right with a margin, from top on.
    Column(QPainter* painter, const Theme& theme, const QFont& font, QPoint leftTop, int right)
        : m_painter(painter), m_theme(theme), m_font(font), m_left(leftTop.x() + kSpace), m_right(right - kSpace),
          m_top(leftTop.y())
    {}

    void space(int height) { m_top += height; }
    [[nodiscard]] int bottom() const { return m_top; }

    void glyph(Tone tone)
    {
        if (m_painter != nullptr && tone != Tone::Plain)
            paintGlyph(*m_painter, QRectF(m_left, m_top + 2, kGlyph, kGlyph), tone, m_theme);
    }

    void words(const QString& text, int indent, const QColor& ink, double scale = 1, bool bold = false)
    {
        if (text.isEmpty())
            return;
        const QFont font = scaled(m_font, scale, bold);
        constexpr int kFlags = Qt::AlignLeft | Qt::AlignTop | Qt::TextWordWrap;
        const QRect room(m_left + indent, m_top, std::max(40, m_right - m_left - indent), kTallest);
        const QRect used = QFontMetrics(font).boundingRect(room, kFlags, text);
        if (m_painter != nullptr) {
            m_painter->setFont(font);
            m_painter->setPen(ink);
            m_painter->drawText(QRect(room.left(), m_top, room.width(), used.height() + 2), kFlags, text);
        }
        m_top += used.height() + 3;
    }

    void heading(const QString& text)
    {
        space(12);
        if (m_painter != nullptr) {
            m_painter->setPen(QPen(m_theme.border, 1));
            m_painter->drawLine(m_left, m_top, m_right, m_top);
        }
        space(8);
        words(text, 0, m_theme.mutedInk, 0.95, true);
        space(2);
    }

    void stage(const WhyStage& stage)
    {
        const int wordRoom = std::clamp((m_right - m_left) * 35 / 100, kLeastWords, kMostWords);
        if (m_painter != nullptr)
            paintStage(stage, wordRoom);
        m_top += kStageHeight;
        for (const QString& removed : stage.removed)
            words(removed, kCount + (hasLongBar(wordRoom) ? wordRoom + 8 : 0), m_theme.mutedInk, 0.9);
    }

private:
    // Long enough that what is said below it needs no wrapping, mostly.
    [[nodiscard]] bool hasLongBar(int wordRoom) const { return m_right - m_left - kCount - wordRoom >= 320; }

    void paintStage(const WhyStage& stage, int wordRoom)
    {
        const QFont bold = scaled(m_font, 1, true);
        const int left = m_left;
        m_painter->setFont(bold);
        m_painter->setPen(stage.left == 0 ? m_theme.tone(Tone::Failed) : m_theme.ink);
        m_painter->drawText(QRect(left, m_top, kCount - 8, kStageHeight), Qt::AlignRight | Qt::AlignVCenter,
                            formatCount(stage.left));
        m_painter->setFont(m_font);
        m_painter->setPen(m_theme.ink);
        m_painter->drawText(QRect(left + kCount, m_top, wordRoom, kStageHeight), Qt::AlignLeft | Qt::AlignVCenter,
                            QFontMetrics(m_font).elidedText(stage.words, Qt::ElideRight, wordRoom));
        const int barLeft = left + kCount + wordRoom + 8;
        const QRectF bar(barLeft, m_top + 5, std::max(20, m_right - barLeft - kLost), kStageHeight - 10);
        m_painter->fillRect(bar, m_theme.track);
        const qreal kept = bar.width() * std::clamp(stage.kept, 0.0, 1.0);
        m_painter->fillRect(QRectF(bar.left(), bar.top(), kept, bar.height()), m_theme.tone(Tone::Running));
        if (stage.out > 0) { // what this stage takes out: hatched, so that it shows without colour
            const qreal width = std::clamp(bar.width() * stage.out, 3.0, std::max(3.0, bar.width() - kept));
            const QRectF gone(bar.left() + kept, bar.top(), width, bar.height());
            m_painter->fillRect(gone, QBrush(m_theme.tone(Tone::Failed), Qt::BDiagPattern));
            m_painter->setPen(QPen(m_theme.tone(Tone::Failed), 1));
            m_painter->setBrush(Qt::NoBrush);
            m_painter->drawRect(gone.adjusted(0, 0, -1, -1));
        }
        m_painter->setFont(scaled(m_font, 0.9));
        m_painter->setPen(m_theme.mutedInk);
        m_painter->drawText(QRectF(bar.right() + 8, m_top, kLost - 8, kStageHeight),
                            Qt::AlignLeft | Qt::AlignVCenter, stage.lost);
    }

    QPainter* m_painter;
    const Theme& m_theme;
    QFont m_font;
    int m_left;
    int m_right;
    int m_top;
};

void putReasons(Column& column, const WhyPage& page, const Theme& theme)
{
    column.heading(page.reasons.size() == 1 ? QStringLiteral("The reason")
                                            : QStringLiteral("All reasons, the binding one first"));
    for (const WhyReason& reason : page.reasons) {
        column.glyph(reason.tone);
        QString words = reason.words;
        words.replace(0, 1, words.at(0).toUpper());
        column.words(words, kIndent, theme.ink, 1, true);
        column.words(reason.text, kIndent, theme.ink);
        column.words(reason.numbers, kIndent, theme.mutedInk, 0.92);
        column.words(reason.names, kIndent, theme.mutedInk, 0.92);
        if (!reason.remedy.isEmpty())
            column.words(QStringLiteral("What helps: %1").arg(reason.remedy), kIndent, theme.ink);
        column.space(8);
    }
}

void putFunnel(Column& column, const WhyPage& page)
{
    column.heading(QStringLiteral("Machines, stage by stage"));
    for (const WhyStage& stage : page.funnel)
        column.stage(stage);
}

// Returns the height of all of it. Where there is width enough the reasons stand beside the funnel.
int put(QPainter* painter, const WhyPage& page, const Theme& theme, const QFont& font, int width)
{
    Column head(painter, theme, font, {0, 2}, width);
    const int indent = page.tone == Tone::Plain ? 0 : kIndent;
    head.glyph(page.tone);
    head.words(page.sentence, indent, theme.ink, 1.1, true);
    head.words(page.next, indent, theme.ink);
    for (const QString& fact : page.facts)
        head.words(fact, indent, theme.mutedInk);
    head.words(page.foot, indent, theme.mutedInk, 0.92);
    const bool wide = width >= kWide && !page.funnel.empty();
    const int middle = wide ? width * 52 / 100 : width;
    Column funnel(painter, theme, font, {0, head.bottom()}, middle);
    if (!page.funnel.empty())
        putFunnel(funnel, page);
    Column reasons(painter, theme, font, wide ? QPoint(middle, head.bottom()) : QPoint(0, funnel.bottom()), width);
    if (!page.reasons.empty())
        putReasons(reasons, page, theme);
    return std::max(funnel.bottom(), reasons.bottom()) + 6;
}

} // namespace

WhyView::WhyView(const ThemeSource& theme, QWidget* parent) : QAbstractScrollArea(parent), m_theme(theme)
{
    setAccessibleName(QStringLiteral("Why it is not running"));
    setFrameShape(QFrame::NoFrame);
    setFocusPolicy(Qt::StrongFocus);
    setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    setMinimumWidth(280);
    viewport()->setAutoFillBackground(false);
    connect(&theme, &ThemeSource::changed, this, [this] { viewport()->update(); });
}

void WhyView::show(WhyPage page)
{
    m_page = std::move(page);
    setAccessibleDescription(m_page.plainText());
    layoutBar();
    viewport()->update();
}

int WhyView::contentHeight() const
{
    return put(nullptr, m_page, m_theme.theme(), font(), viewport()->width());
}

void WhyView::layoutBar()
{
    verticalScrollBar()->setSingleStep(kStageHeight);
    verticalScrollBar()->setPageStep(viewport()->height());
    verticalScrollBar()->setRange(0, std::max(0, contentHeight() - viewport()->height()));
}

void WhyView::resizeEvent(QResizeEvent*)
{
    layoutBar();
}

void WhyView::paintEvent(QPaintEvent*)
{
    QPainter painter(viewport());
    painter.fillRect(viewport()->rect(), m_theme.theme().card);
    painter.translate(0, -verticalScrollBar()->value());
    put(&painter, m_page, m_theme.theme(), font(), viewport()->width());
}

void WhyView::keyPressEvent(QKeyEvent* event)
{
    if (event->matches(QKeySequence::Copy))
        QGuiApplication::clipboard()->setText(m_page.plainText());
    else
        QAbstractScrollArea::keyPressEvent(event);
}

} // namespace penstock::gui
