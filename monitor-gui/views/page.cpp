// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/page.h"

#include "monitor-gui/views/paint.h"

#include <QPainter>
#include <QVBoxLayout>

namespace penstock::gui {

namespace {

constexpr int kHead = 40;
constexpr int kFilterWidth = 220;

} // namespace

Panel::Panel(const QString& title, QWidget* body, const ThemeSource& theme, QWidget* parent)
    : QWidget(parent), m_theme(theme), m_title(title)
{
    setAccessibleName(title);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(1, kHead, 1, 6);
    layout->addWidget(body);
    connect(&theme, &ThemeSource::changed, this, qOverload<>(&QWidget::update));
}

void Panel::setTitle(const QString& title)
{
    m_title = title;
    update();
}

void Panel::setRemark(const QString& remark)
{
    m_remark = remark;
    update();
}

QLineEdit& Panel::filterField(const QString& hint)
{
    if (m_filter == nullptr) {
        m_filter = new QLineEdit(this);
        m_filter->setPlaceholderText(hint);
        m_filter->setAccessibleName(hint);
        m_filter->setClearButtonEnabled(true);
    }
    return *m_filter;
}

void Panel::setCorner(QWidget* corner)
{
    m_corner = corner;
    corner->setParent(this);
    corner->show();
    update();
}

void Panel::paintEvent(QPaintEvent*)
{
    QPainter painter(this);
    const Theme& theme = m_theme.theme();
    paintCard(painter, rect(), theme);
    int right = width() - kSpace;
    if (m_filter != nullptr) {
        const int wanted = std::min(kFilterWidth, width() / 2);
        m_filter->setGeometry(right - wanted, 7, wanted, 26);
        right -= wanted + kSpace;
    }
    if (m_corner != nullptr) {
        const int wanted = m_corner->sizeHint().width();
        m_corner->setGeometry(right - wanted, 7, wanted, 26);
        right -= wanted + kSpace;
    }
    painter.setFont(scaled(font(), 1.05, true));
    painter.setPen(theme.ink);
    const QRect head(kSpace, 0, right - kSpace, kHead);
    const QString title = painter.fontMetrics().elidedText(m_title, Qt::ElideRight, head.width());
    painter.drawText(head, Qt::AlignLeft | Qt::AlignVCenter, title);
    const int used = painter.fontMetrics().horizontalAdvance(title) + kSpace;
    painter.setFont(scaled(font(), 0.95));
    painter.setPen(theme.mutedInk);
    const QRect rest = head.adjusted(used, 1, 0, 1);
    painter.drawText(rest, Qt::AlignLeft | Qt::AlignVCenter,
                     painter.fontMetrics().elidedText(m_remark, Qt::ElideRight, rest.width()));
}

} // namespace penstock::gui
