// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/log_view.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/views/paint.h"

#include <algorithm>
#include <QApplication>
#include <QClipboard>
#include <QFontDatabase>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QPainter>
#include <QScrollBar>
#include <QStringList>

namespace penstock::gui {

namespace {

constexpr int kTimeColumn = 68;
constexpr int kStreamColumn = 36;
constexpr int kWidestText = 20'000; // pixels the horizontal bar reaches at most

} // namespace

LogView::LogView(const LogBuffer& buffer, const ThemeSource& theme, QWidget* parent)
    : QAbstractScrollArea(parent), m_buffer(buffer), m_theme(theme)
{
    setAccessibleName(QStringLiteral("Log"));
    setFocusPolicy(Qt::StrongFocus);
    setFrameShape(QFrame::NoFrame);
    QFont fixed = QFontDatabase::systemFont(QFontDatabase::FixedFont);
    fixed.setPointSizeF(font().pointSizeF() * 0.95);
    viewport()->setFont(fixed);
    viewport()->setCursor(Qt::IBeamCursor);
    connect(verticalScrollBar(), &QScrollBar::valueChanged, this, &LogView::scrolled);
    connect(horizontalScrollBar(), &QScrollBar::valueChanged, viewport(), qOverload<>(&QWidget::update));
    connect(&theme, &ThemeSource::changed, viewport(), qOverload<>(&QWidget::update));
}

int LogView::lineHeight() const
{
    return viewport()->fontMetrics().height() + 2;
}

int LogView::visibleLines() const
{
    return std::max(1, viewport()->height() / lineHeight());
}

void LogView::refresh()
{
    const std::uint64_t end = m_buffer.firstLine() + m_buffer.lines().size();
    if (end < m_seenEnd || m_buffer.lines().empty()) { // another log
        m_selected.reset();
        m_following = true;
        m_firstShown = 0;
    }
    if (m_following)
        m_seenEnd = end;
    layoutBars();
    viewport()->update();
}

void LogView::layoutBars()
{
    const int total = static_cast<int>(m_buffer.lines().size());
    QScrollBar* bar = verticalScrollBar();
    const QSignalBlocker quiet(bar);
    bar->setRange(0, std::max(0, total - visibleLines()));
    bar->setPageStep(visibleLines());
    bar->setSingleStep(1);
    if (m_following)
        bar->setValue(bar->maximum());
    else // keep the same lines in view when old ones were let go
        bar->setValue(static_cast<int>(m_firstShown - std::min(m_firstShown, m_buffer.firstLine())));
    m_firstShown = m_buffer.firstLine() + static_cast<std::uint64_t>(bar->value());
    horizontalScrollBar()->setRange(0, std::max(0, kWidestText - viewport()->width()));
    horizontalScrollBar()->setPageStep(viewport()->width());
    horizontalScrollBar()->setSingleStep(20);
    setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
}

void LogView::scrolled()
{
    m_firstShown = m_buffer.firstLine() + static_cast<std::uint64_t>(verticalScrollBar()->value());
    setFollowing(verticalScrollBar()->value() == verticalScrollBar()->maximum());
    viewport()->update();
}

void LogView::setFollowing(bool following)
{
    const bool changed = following != m_following;
    m_following = following;
    m_seenEnd = m_buffer.firstLine() + m_buffer.lines().size();
    if (following)
        layoutBars();
    viewport()->update();
    if (changed)
        Q_EMIT followingChanged();
}

void LogView::setEmptySentence(const QString& sentence)
{
    m_sentence = sentence;
    viewport()->update();
}

void LogView::resizeEvent(QResizeEvent* event)
{
    QAbstractScrollArea::resizeEvent(event);
    layoutBars();
}

void LogView::paintEvent(QPaintEvent*)
{
    QPainter painter(viewport());
    const Theme& theme = m_theme.theme();
    painter.fillRect(viewport()->rect(), theme.card);
    const auto& lines = m_buffer.lines();
    if (lines.empty()) {
        painter.setFont(font());
        painter.setPen(theme.mutedInk);
        painter.drawText(viewport()->rect().adjusted(kSpace * 2, kSpace * 2, -kSpace * 2, -kSpace * 2),
                         Qt::AlignHCenter | Qt::AlignTop | Qt::TextWordWrap, m_sentence);
        return;
    }
    const auto first = static_cast<std::size_t>(verticalScrollBar()->value());
    const int shown = visibleLines() + 1;
    for (int row = 0; row < shown && first + static_cast<std::size_t>(row) < lines.size(); ++row) {
        const std::size_t at = first + static_cast<std::size_t>(row);
        paintLine(painter, lines[at], m_buffer.firstLine() + at, row * lineHeight() + 2);
    }
    if (!m_following)
        paintPill(painter);
}

void LogView::paintLine(QPainter& painter, const LogLine& line, std::uint64_t number, int top)
{
    const Theme& theme = m_theme.theme();
    const QRect row(0, top, viewport()->width(), lineHeight());
    const bool error = line.stream == LogStream::Err;
    if (m_selected && number >= std::min(m_selected->first, m_selected->second) &&
        number <= std::max(m_selected->first, m_selected->second)) {
        painter.fillRect(row, theme.selection);
    } else if (error) {
        QColor wash = theme.tone(Tone::Failed);
        wash.setAlpha(theme.dark ? 34 : 18);
        painter.fillRect(row, wash);
    }
    if (error)
        painter.fillRect(QRect(0, top, 3, lineHeight()), theme.tone(Tone::Failed));
    painter.setPen(theme.mutedInk);
    if (line.time.micros() > 0)
        painter.drawText(QRect(kSpace, top, kTimeColumn, lineHeight()), Qt::AlignLeft | Qt::AlignVCenter,
                         formatClock(line.time));
    const int left = kSpace + kTimeColumn;
    if (error) {
        painter.setPen(theme.tone(Tone::Failed));
        painter.drawText(QRect(left, top, kStreamColumn, lineHeight()), Qt::AlignLeft | Qt::AlignVCenter,
                         QStringLiteral("err"));
    }
    QFont font = viewport()->font();
    font.setItalic(line.stream == LogStream::System);
    painter.setFont(font);
    painter.setPen(line.stream == LogStream::System ? theme.mutedInk : theme.ink);
    painter.setClipRect(
        QRect(left + kStreamColumn, top, viewport()->width() - left - kStreamColumn, lineHeight()));
    painter.drawText(
        QRect(left + kStreamColumn - horizontalScrollBar()->value(), top, kWidestText, lineHeight()),
        Qt::AlignLeft | Qt::AlignVCenter | Qt::TextSingleLine, text(line.text));
    painter.setClipping(false);
    painter.setFont(viewport()->font());
}

QRect LogView::pillBox() const
{
    constexpr int kWidth = 170;
    return {viewport()->width() - kWidth - kSpace, viewport()->height() - 26 - kSpace, kWidth, 26};
}

void LogView::paintPill(QPainter& painter)
{
    const Theme& theme = m_theme.theme();
    const std::uint64_t fresh = m_buffer.firstLine() + m_buffer.lines().size() - m_seenEnd;
    const QRect box = pillBox();
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setBrush(theme.card);
    painter.setPen(QPen(theme.tone(Tone::Running), 1.5));
    painter.drawRoundedRect(box, 13, 13);
    painter.setFont(scaled(font(), 0.9));
    painter.setPen(theme.ink);
    painter.drawText(box, Qt::AlignCenter,
                     fresh > 0 ? QStringLiteral("%1 new, End to follow").arg(formatCount(fresh))
                               : QStringLiteral("paused, End to follow"));
}

std::uint64_t LogView::lineAt(int y) const
{
    const std::uint64_t last = m_buffer.firstLine() + m_buffer.lines().size() - 1;
    return std::min(m_firstShown + static_cast<std::uint64_t>(std::max(0, y) / lineHeight()), last);
}

void LogView::mousePressEvent(QMouseEvent* event)
{
    if (m_buffer.lines().empty() || event->button() != Qt::LeftButton)
        return;
    if (!m_following && pillBox().contains(event->pos())) {
        setFollowing(true);
        return;
    }
    const std::uint64_t line = lineAt(event->pos().y());
    m_selected = std::pair(line, line);
    viewport()->update();
}

void LogView::mouseMoveEvent(QMouseEvent* event)
{
    if (!m_selected || m_buffer.lines().empty())
        return;
    m_selected->second = lineAt(event->pos().y());
    viewport()->update();
}

void LogView::keyPressEvent(QKeyEvent* event)
{
    QScrollBar* bar = verticalScrollBar();
    if (event->matches(QKeySequence::Copy)) {
        copy();
    } else if (event->key() == Qt::Key_End || event->key() == Qt::Key_F) {
        setFollowing(true);
    } else if (event->key() == Qt::Key_Home || event->key() == Qt::Key_PageUp || event->key() == Qt::Key_Up ||
               event->key() == Qt::Key_PageDown || event->key() == Qt::Key_Down) {
        const int page = std::max(1, visibleLines() - 1);
        const int step = event->key() == Qt::Key_Home       ? -bar->value()
                         : event->key() == Qt::Key_PageUp   ? -page
                         : event->key() == Qt::Key_PageDown ? page
                         : event->key() == Qt::Key_Up       ? -1
                                                            : 1;
        bar->setValue(bar->value() + step);
    } else if (event->key() == Qt::Key_Left || event->key() == Qt::Key_Right) {
        QScrollBar* across = horizontalScrollBar();
        across->setValue(across->value() + (event->key() == Qt::Key_Left ? -80 : 80));
    } else {
        QAbstractScrollArea::keyPressEvent(event);
    }
}

void LogView::copy() const
{
    if (!m_selected)
        return;
    const std::uint64_t first =
        std::max(std::min(m_selected->first, m_selected->second), m_buffer.firstLine());
    const std::uint64_t last = std::max(m_selected->first, m_selected->second);
    QStringList chosen;
    for (std::uint64_t line = first; line <= last && line - m_buffer.firstLine() < m_buffer.lines().size();
         ++line)
        chosen << text(m_buffer.lines()[line - m_buffer.firstLine()].text);
    QApplication::clipboard()->setText(chosen.join(QLatin1Char('\n')));
}

} // namespace penstock::gui
