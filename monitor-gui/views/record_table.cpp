// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/record_table.h"

#include "monitor-gui/views/cell_delegate.h"
#include "monitor-gui/views/paint.h"

#include <QHeaderView>
#include <QKeyEvent>
#include <QPainter>

namespace penstock::gui {

namespace {

constexpr int kRowHeight = 28;

} // namespace

RecordTable::RecordTable(QAbstractItemModel& model, const ThemeSource& theme, const QString& name,
                         QWidget* parent)
    : QTableView(parent), m_theme(theme)
{
    setAccessibleName(name);
    setModel(&model);
    setItemDelegate(new CellDelegate(theme, this));
    setShowGrid(false);
    setFrameShape(QFrame::NoFrame);
    setSelectionBehavior(QAbstractItemView::SelectRows);
    setSelectionMode(QAbstractItemView::SingleSelection);
    setEditTriggers(QAbstractItemView::NoEditTriggers);
    setHorizontalScrollMode(QAbstractItemView::ScrollPerPixel);
    setWordWrap(false);
    setTabKeyNavigation(false);
    setSortingEnabled(true);
    verticalHeader()->hide();
    verticalHeader()->setSectionResizeMode(QHeaderView::Fixed);
    verticalHeader()->setDefaultSectionSize(kRowHeight);
    QHeaderView* header = horizontalHeader();
    header->setSectionResizeMode(QHeaderView::Interactive);
    header->setHighlightSections(false);
    header->setStretchLastSection(true);
    header->setSectionsMovable(true);
    header->setMinimumSectionSize(40);
    header->setFixedHeight(kRowHeight);
    connect(&theme, &ThemeSource::changed, this, &RecordTable::recolour);
    recolour();
}

void RecordTable::setWidths(const QList<int>& widths)
{
    for (int column = 0; column < widths.size(); ++column)
        setColumnWidth(column, widths.at(column));
}

void RecordTable::setEmptySentence(const QString& sentence)
{
    if (sentence == m_sentence)
        return;
    m_sentence = sentence;
    viewport()->update();
}

void RecordTable::recolour()
{
    const Theme& theme = m_theme.theme();
    // Fusion draws headers as raised buttons; these are flat lines of text.
    horizontalHeader()->setStyleSheet(
        QStringLiteral(
            "QHeaderView{background:%1;border:0}"
            "QHeaderView::section{background:%1;color:%2;border:0;border-bottom:1px solid %3;padding:0 8px}")
            .arg(theme.card.name(), theme.mutedInk.name(), theme.border.name()));
    viewport()->update();
}

void RecordTable::paintEvent(QPaintEvent* event)
{
    QTableView::paintEvent(event);
    if (model()->rowCount() > 0 || m_sentence.isEmpty())
        return;
    QPainter painter(viewport());
    painter.setPen(m_theme.theme().mutedInk);
    painter.drawText(viewport()->rect().adjusted(kSpace * 2, kSpace * 2, -kSpace * 2, -kSpace * 2),
                     Qt::AlignHCenter | Qt::AlignTop | Qt::TextWordWrap, m_sentence);
}

void RecordTable::keyPressEvent(QKeyEvent* event)
{
    // As in other list-minded programs: j and k move, g and G jump.
    const auto go = [this](int row) {
        if (row >= 0 && row < model()->rowCount())
            setCurrentIndex(model()->index(row, std::max(0, currentIndex().column())));
    };
    const int row = currentIndex().row();
    if (event->key() == Qt::Key_J)
        go(row + 1);
    else if (event->key() == Qt::Key_K && event->modifiers() == Qt::NoModifier)
        go(row - 1);
    else if (event->key() == Qt::Key_G)
        go(event->modifiers() == Qt::ShiftModifier ? model()->rowCount() - 1 : 0);
    else
        QTableView::keyPressEvent(event);
}

} // namespace penstock::gui
