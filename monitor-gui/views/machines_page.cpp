// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/machines_page.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/views/paint.h"

#include <QSplitter>
#include <QVBoxLayout>

namespace penstock::gui {

MachinesPage::MachinesPage(const LiveFarm& farm, const ThemeSource& theme, QWidget* parent)
    : Page(parent),
      m_farm(farm),
      m_model(farm),
      m_table(new RecordTable(m_model, theme, QStringLiteral("Machines"))),
      m_panel(new Panel(QStringLiteral("Machines"), m_table, theme)),
      m_card(new MachineCard(farm, theme))
{
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(kSpace, kSpace, kSpace, kSpace);
    auto* splitter = new QSplitter(Qt::Vertical, this);
    splitter->setHandleWidth(kSpace);
    splitter->setChildrenCollapsible(false);
    splitter->addWidget(m_panel);
    splitter->addWidget(m_card);
    splitter->setStretchFactor(0, 1);
    splitter->setSizes({540, 256});
    layout->addWidget(splitter);
    m_table->setWidths({90, 152, 104, 120, 120, 112, 116, 114, 114, 194, 122, 128, 110, 84, 70, 76});
    m_table->sortByColumn(MachinesModel::Name, Qt::AscendingOrder);
    connect(&m_panel->filterField(QStringLiteral("Filter machines (Ctrl+K)")), &QLineEdit::textChanged, this,
            [this](const QString& text) {
                m_model.setFilter(text);
                refresh();
            });
    connect(m_table->selectionModel(), &QItemSelectionModel::currentChanged, this,
            &MachinesPage::showSelected);
    connect(m_card, &MachineCard::jobOpened, this, &MachinesPage::jobOpened);
    connect(&farm, &LiveFarm::refreshed, this, &MachinesPage::refresh);
    connect(&farm, &LiveFarm::secondPassed, this, &MachinesPage::showSelected);
}

void MachinesPage::find()
{
    m_panel->filterField({}).setFocus();
    m_panel->filterField({}).selectAll();
}

void MachinesPage::select(const QString& machine)
{
    m_wanted = machine;
    refresh();
}

void MachinesPage::refresh()
{
    const int total = m_model.totalRows();
    if (!m_farm.farm().filled())
        m_table->setEmptySentence(QStringLiteral("Waiting for the server."));
    else if (total > 0)
        m_table->setEmptySentence(
            QStringLiteral("0 of %1 machines match. Clear the filter to see them.").arg(total));
    else
        m_table->setEmptySentence(QStringLiteral(
            "No machine has joined yet. Start penstock-builder on one; it dials in by itself."));
    const FarmTotals& totals = m_farm.farm().totals();
    QString remark = QStringLiteral("%1 of %2 connected, %3 of %4 slots in use")
                         .arg(formatCount(totals.machinesConnected), formatCount(totals.machinesTotal),
                              formatCount(totals.slotsUsed), formatCount(totals.slotsTotal));
    if (totals.machinesQuarantined > 0)
        remark += QStringLiteral(", %1 quarantined").arg(formatCount(totals.machinesQuarantined));
    m_panel->setRemark(remark);
    if (!m_wanted.isEmpty()) {
        for (int row = 0; row < m_model.rowCount(); ++row) {
            if (const MachinePtr machine = m_model.at(row); machine && text(machine->name) == m_wanted) {
                m_table->setCurrentIndex(m_model.index(row, 0));
                m_wanted.clear();
                break;
            }
        }
    } else if (!m_table->currentIndex().isValid() && m_model.rowCount() > 0) {
        m_table->setCurrentIndex(m_model.index(0, 0));
    }
    showSelected();
}

void MachinesPage::showSelected()
{
    m_card->show(m_model.at(m_table->currentIndex().row()));
}

} // namespace penstock::gui
