// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/machines_page.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/replica/freshness.h"
#include "monitor-gui/views/paint.h"

#include <QMouseEvent>
#include <QPainter>
#include <QSplitter>
#include <QVBoxLayout>

namespace penstock::gui {

namespace {

constexpr int kLine = 22;
constexpr int kLabel = 92;
constexpr int kStep = 40;

} // namespace

MachineCard::MachineCard(const LiveFarm& farm, const ThemeSource& theme, QWidget* parent)
    : QWidget(parent), m_farm(farm), m_theme(theme)
{
    setMinimumWidth(250);
    setAccessibleName(QStringLiteral("Selected machine"));
    connect(&theme, &ThemeSource::changed, this, qOverload<>(&QWidget::update));
}

void MachineCard::show(MachinePtr machine)
{
    m_machine = std::move(machine);
    setAccessibleDescription(m_machine ? text(m_machine->name) : QStringLiteral("none"));
    update();
}

void MachineCard::paintEvent(QPaintEvent*)
{
    QPainter painter(this);
    const Theme& theme = m_theme.theme();
    paintCard(painter, rect(), theme);
    if (!m_machine) {
        painter.setPen(theme.mutedInk);
        painter.drawText(rect().adjusted(kSpace, kSpace * 2, -kSpace, -kSpace), Qt::AlignHCenter | Qt::AlignTop | Qt::TextWordWrap,
                         QStringLiteral("Select a machine to see its facts and what it runs."));
        return;
    }
    paintGlyph(painter, QRectF(kSpace, 14, 14, 14), toneOf(m_machine->state), theme);
    painter.setFont(scaled(font(), 1.15, true));
    painter.setPen(theme.ink);
    painter.drawText(QRect(kSpace + 22, 6, width() - 2 * kSpace - 22, 30), Qt::AlignLeft | Qt::AlignVCenter,
                     painter.fontMetrics().elidedText(text(m_machine->name), Qt::ElideRight, width() - 60));
    painter.setFont(font());
    paintSteps(painter, paintFacts(painter, 42));
}

int MachineCard::paintFacts(QPainter& painter, int top)
{
    const MachineRecord& machine = *m_machine;
    const auto fact = [&](const QString& label, const QString& value) {
        painter.setPen(m_theme.theme().mutedInk);
        painter.drawText(QRect(kSpace, top, kLabel, kLine), Qt::AlignLeft | Qt::AlignVCenter, label);
        painter.setPen(m_theme.theme().ink);
        const int room = width() - kLabel - 2 * kSpace;
        painter.drawText(QRect(kSpace + kLabel, top, room, kLine), Qt::AlignLeft | Qt::AlignVCenter,
                         painter.fontMetrics().elidedText(value, Qt::ElideRight, room));
        top += kLine;
    };
    fact(QStringLiteral("State"), machine.note.empty() ? wordOf(machine.state)
                                                       : wordOf(machine.state) + QStringLiteral(", ") + text(machine.note));
    fact(QStringLiteral("Last seen"), machine.lastSeen ? QStringLiteral("%1 (%2 ago)").arg(formatClock(*machine.lastSeen), formatAgeText(ageOf(machine.lastSeen, m_farm.serverNow())))
                                                       : QStringLiteral("never"));
    fact(QStringLiteral("Systems"), joined(machine.systems));
    fact(QStringLiteral("Features"), joined(machine.features));
    if (!machine.mandatoryFeatures.empty())
        fact(QStringLiteral("Only for"), joined(machine.mandatoryFeatures));
    fact(QStringLiteral("Executors"), joined(machine.executors));
    fact(QStringLiteral("Cores"), QString::number(machine.cores));
    fact(QStringLiteral("CPU busy"), formatDecimal(machine.cpuBusyPercent, 0) + QStringLiteral(" %"));
    fact(QStringLiteral("Memory"), QStringLiteral("%1 free of %2").arg(formatBytes(machine.memoryAvailableBytes), formatBytes(machine.memoryBytes)));
    fact(QStringLiteral("Disk"), QStringLiteral("%1 free of %2").arg(formatBytes(machine.diskFreeBytes), formatBytes(machine.diskTotalBytes)));
    fact(QStringLiteral("Attempts"), QStringLiteral("%1 finished, %2 failed").arg(formatCount(machine.finished), formatCount(machine.failed)));
    fact(QStringLiteral("Version"), machine.version.empty() ? dash() : text(machine.version));
    return top + 10;
}

void MachineCard::paintSteps(QPainter& painter, int top)
{
    const Theme& theme = m_theme.theme();
    painter.setPen(QPen(theme.border, 1));
    painter.drawLine(kSpace, top, width() - kSpace, top);
    painter.setFont(scaled(font(), 1.0, true));
    painter.setPen(theme.ink);
    painter.drawText(QRect(kSpace, top + 8, width() - 2 * kSpace, kLine), Qt::AlignLeft | Qt::AlignVCenter,
                     QStringLiteral("Running steps, %1 of %2 slots").arg(m_machine->used).arg(m_machine->slots));
    painter.setFont(font());
    top += 8 + kLine + 4;
    m_stepsTop = top;
    const int room = width() - 2 * kSpace - 20;
    std::size_t left = m_machine->running.size();
    for (const RunningStep& step : m_machine->running) {
        if (top + kStep > height() - kLine && left > 1) {
            painter.setPen(theme.mutedInk);
            painter.drawText(QRect(kSpace, top, width() - 2 * kSpace, kLine), Qt::AlignLeft | Qt::AlignVCenter,
                             QStringLiteral("and %1 more").arg(left));
            return;
        }
        paintGlyph(painter, QRectF(kSpace, top + 5, 10, 10), Tone::Running, theme);
        painter.setPen(theme.ink);
        painter.drawText(QRect(kSpace + 20, top, room, 20), Qt::AlignLeft | Qt::AlignVCenter,
                         painter.fontMetrics().elidedText(text(step.name), Qt::ElideRight, room));
        painter.setPen(theme.mutedInk);
        const QString detail = QStringLiteral("job %1, %2%3")
                                   .arg(step.job.value())
                                   .arg(formatAgeText(ageOf(step.since, m_farm.serverNow())),
                                        step.phase.empty() ? QString() : QStringLiteral(", ") + text(step.phase));
        painter.drawText(QRect(kSpace + 20, top + 18, room, 18), Qt::AlignLeft | Qt::AlignVCenter,
                         painter.fontMetrics().elidedText(detail, Qt::ElideRight, room));
        top += kStep;
        --left;
    }
    if (m_machine->running.empty()) {
        painter.setPen(theme.mutedInk);
        painter.drawText(QRect(kSpace, top, width() - 2 * kSpace, kLine), Qt::AlignLeft | Qt::AlignVCenter,
                         QStringLiteral("Nothing runs here."));
    }
}

void MachineCard::mousePressEvent(QMouseEvent* event)
{
    if (!m_machine || event->pos().y() < m_stepsTop)
        return;
    const auto place = static_cast<std::size_t>((event->pos().y() - m_stepsTop) / kStep);
    if (place < m_machine->running.size())
        Q_EMIT jobOpened(m_machine->running[place].job.value());
}

MachinesPage::MachinesPage(const LiveFarm& farm, const ThemeSource& theme, QWidget* parent)
    : Page(parent), m_farm(farm), m_model(farm),
      m_table(new RecordTable(m_model, theme, QStringLiteral("Machines"))),
      m_panel(new Panel(QStringLiteral("Machines"), m_table, theme)), m_card(new MachineCard(farm, theme))
{
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(kSpace, kSpace, kSpace, kSpace);
    auto* splitter = new QSplitter(Qt::Horizontal, this);
    splitter->setHandleWidth(kSpace);
    splitter->setChildrenCollapsible(false);
    splitter->addWidget(m_panel);
    splitter->addWidget(m_card);
    splitter->setStretchFactor(0, 1);
    splitter->setSizes({1000, 280});
    layout->addWidget(splitter);
    m_table->setWidths({128, 112, 150, 118, 122, 122, 122, 122, 84, 76});
    m_table->sortByColumn(MachinesModel::Name, Qt::AscendingOrder);
    connect(&m_panel->filterField(QStringLiteral("Filter machines (Ctrl+K)")), &QLineEdit::textChanged, this,
            [this](const QString& text) {
                m_model.setFilter(text);
                refresh();
            });
    connect(m_table->selectionModel(), &QItemSelectionModel::currentChanged, this, &MachinesPage::showSelected);
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
        m_table->setEmptySentence(QStringLiteral("0 of %1 machines match. Clear the filter to see them.").arg(total));
    else
        m_table->setEmptySentence(QStringLiteral("No machine has joined yet. Start penstock-builder on one; it dials in by itself."));
    const FarmTotals& totals = m_farm.farm().totals();
    m_panel->setRemark(QStringLiteral("%1 of %2 connected, %3 of %4 slots in use")
                           .arg(formatCount(totals.machinesConnected), formatCount(totals.machinesTotal),
                                formatCount(totals.slotsUsed), formatCount(totals.slotsTotal)));
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
