// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/stale_veil.h"

#include "monitor-gui/views/paint.h"

#include <QEvent>
#include <QPainter>

namespace penstock::gui {

StaleVeil::StaleVeil(const ThemeSource& theme, QWidget& covered) : QWidget(&covered), m_theme(theme)
{
    setAttribute(Qt::WA_TransparentForMouseEvents);
    setFocusPolicy(Qt::NoFocus);
    covered.installEventFilter(this);
    setGeometry(covered.rect());
    hide();
}

bool StaleVeil::eventFilter(QObject* watched, QEvent* event)
{
    if (event->type() == QEvent::Resize)
        setGeometry(parentWidget()->rect());
    return QWidget::eventFilter(watched, event);
}

void StaleVeil::paintEvent(QPaintEvent*)
{
    QPainter painter(this);
    QColor wash = m_theme.theme().window;
    wash.setAlpha(90);
    painter.fillRect(rect(), wash);
    paintHatch(painter, rect(), m_theme.theme());
}

Banner::Banner(const ThemeSource& theme, QWidget* parent) : QWidget(parent), m_theme(theme)
{
    setFixedHeight(34);
    hide();
}

void Banner::show(const QString& sentence)
{
    m_sentence = sentence;
    setAccessibleName(sentence);
    setVisible(!sentence.isEmpty());
    update();
}

void Banner::paintEvent(QPaintEvent*)
{
    QPainter painter(this);
    const Theme& theme = m_theme.theme();
    painter.fillRect(rect(), theme.banner);
    paintGlyph(painter, QRectF(kSpace, (height() - 14) / 2.0, 14, 14), Tone::Ready, theme);
    painter.setPen(theme.ink);
    const QRect words = rect().adjusted(kSpace + 24, 0, -kSpace, 0);
    painter.drawText(words, Qt::AlignLeft | Qt::AlignVCenter,
                     painter.fontMetrics().elidedText(m_sentence, Qt::ElideRight, words.width()));
}

} // namespace penstock::gui
