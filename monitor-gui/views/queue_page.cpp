// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/queue_page.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/views/paint.h"

#include <QVBoxLayout>

namespace penstock::gui {

QueuePage::QueuePage(const LiveFarm& farm, const ThemeSource& theme, QWidget* parent)
    : Page(parent), m_farm(farm), m_model(farm),
      m_table(new RecordTable(m_model, theme, QStringLiteral("Queues"))),
      m_panel(new Panel(QStringLiteral("Queues"), m_table, theme, this))
{
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(kSpace, kSpace, kSpace, kSpace);
    layout->addWidget(m_panel);
    m_table->setWidths({150, 130, 200, 70, 76, 76, 100, 84, 84});
    m_table->sortByColumn(QueuesModel::Sentence, Qt::AscendingOrder);
    connect(&m_panel->filterField(QStringLiteral("Filter queues (Ctrl+K)")), &QLineEdit::textChanged, this,
            [this](const QString& text) {
                m_model.setFilter(text);
                showSummary();
            });
    connect(&farm, &LiveFarm::refreshed, this, &QueuePage::showSummary);
}

void QueuePage::find()
{
    m_panel->filterField({}).setFocus();
    m_panel->filterField({}).selectAll();
}

void QueuePage::showSummary()
{
    const FarmTotals& totals = m_farm.farm().totals();
    m_panel->setRemark(QStringLiteral("%1 running, %2 ready, %3 blocked in %4 queues")
                           .arg(formatCount(totals.stepsRunning), formatCount(totals.stepsReady + totals.stepsDelayed),
                                formatCount(totals.stepsBlocked))
                           .arg(m_model.totalRows()));
    if (!m_farm.farm().filled())
        m_table->setEmptySentence(QStringLiteral("Waiting for the server."));
    else if (m_model.totalRows() > 0)
        m_table->setEmptySentence(QStringLiteral("0 of %1 queues match. Clear the filter to see them.").arg(m_model.totalRows()));
    else
        m_table->setEmptySentence(QStringLiteral("Nothing is queued and nothing runs. Submit work with penstock run or penstock build."));
}

} // namespace penstock::gui
