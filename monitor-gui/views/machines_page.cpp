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
constexpr int kLabel = 84;
constexpr int kHead = 42;
constexpr int kFacts = 300; // width of a column of facts
constexpr int kStep = 40;
constexpr int kStepWidth = 230;

} // namespace

MachineCard::MachineCard(const LiveFarm& farm, const ThemeSource& theme, QWidget* parent)
    : QWidget(parent), m_farm(farm), m_theme(theme)
{
    setMinimumHeight(190);
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
        painter.drawText(rect().adjusted(kSpace, kSpace * 2, -kSpace, -kSpace),
                         Qt::AlignHCenter | Qt::AlignTop | Qt::TextWordWrap,
                         QStringLiteral("Select a machine to see its facts and what it runs."));
        return;
    }
    paintGlyph(painter, QRectF(kSpace, 14, 14, 14), toneOf(m_machine->state), theme);
    painter.setFont(scaled(font(), 1.15, true));
    painter.setPen(theme.ink);
    painter.drawText(QRect(kSpace + 22, 6, width() - 2 * kSpace - 22, 30), Qt::AlignLeft | Qt::AlignVCenter,
                     painter.fontMetrics().elidedText(text(m_machine->name), Qt::ElideRight, width() - 60));
    painter.setFont(font());
    paintFacts(painter);
    paintSteps(painter);
}

void MachineCard::paintFacts(QPainter& painter)
{
    const MachineRecord& machine = *m_machine;
    int top = kHead;
    int left = kSpace;
    const auto fact = [&](const QString& label, const QString& value) {
        painter.setPen(m_theme.theme().mutedInk);
        painter.drawText(QRect(left, top, kLabel, kLine), Qt::AlignLeft | Qt::AlignVCenter, label);
        painter.setPen(m_theme.theme().ink);
        const int room = kFacts - kLabel - kSpace;
        painter.drawText(QRect(left + kLabel, top, room, kLine), Qt::AlignLeft | Qt::AlignVCenter,
                         painter.fontMetrics().elidedText(value, Qt::ElideRight, room));
        top += kLine;
    };
    const QString seen = machine.lastSeen
                             ? QStringLiteral("%1 (%2 ago)")
                                   .arg(formatClock(*machine.lastSeen),
                                        formatAgeText(ageOf(machine.lastSeen, m_farm.serverNow())))
                             : QStringLiteral("never");
    fact(QStringLiteral("State"), machine.note.empty()
                                      ? wordOf(machine.state)
                                      : wordOf(machine.state) + QStringLiteral(", ") + text(machine.note));
    fact(QStringLiteral("Last seen"), seen);
    fact(QStringLiteral("Systems"), joined(machine.systems));
    fact(QStringLiteral("Features"), joined(machine.features));
    fact(QStringLiteral("Only for"), joined(machine.mandatoryFeatures));
    fact(QStringLiteral("Executors"), joined(machine.executors));
    top = kHead;
    left += kFacts;
    fact(QStringLiteral("Cores"),
         QStringLiteral("%1, %2 % busy").arg(machine.cores).arg(formatDecimal(machine.cpuBusyPercent, 0)));
    fact(QStringLiteral("Memory"),
         QStringLiteral("%1 free of %2")
             .arg(formatBytes(machine.memoryAvailableBytes), formatBytes(machine.memoryBytes)));
    fact(QStringLiteral("Disk"),
         QStringLiteral("%1 free of %2")
             .arg(formatBytes(machine.diskFreeBytes), formatBytes(machine.diskTotalBytes)));
    fact(QStringLiteral("Attempts"), QStringLiteral("%1 finished, %2 failed")
                                         .arg(formatCount(machine.finished), formatCount(machine.failed)));
    fact(QStringLiteral("Tags"), joined(machine.tags));
    fact(QStringLiteral("Version"), machine.version.empty() ? dash() : text(machine.version));
}

// The running steps fill columns from top to bottom.
QRect MachineCard::stepBox(std::size_t place) const
{
    const auto rows = static_cast<std::size_t>(std::max(1, (height() - kHead - kSpace) / kStep));
    const int left = 2 * kSpace + 2 * kFacts;
    return {left + static_cast<int>(place / rows) * kStepWidth,
            kHead + static_cast<int>(place % rows) * kStep, kStepWidth - kSpace, kStep};
}

void MachineCard::paintSteps(QPainter& painter)
{
    const Theme& theme = m_theme.theme();
    const int left = 2 * kSpace + 2 * kFacts;
    painter.setPen(QPen(theme.border, 1));
    painter.drawLine(left - kSpace, kSpace, left - kSpace, height() - kSpace);
    painter.setFont(scaled(font(), 1.0, true));
    painter.setPen(theme.ink);
    painter.drawText(
        QRect(left, 6, width() - left, 30), Qt::AlignLeft | Qt::AlignVCenter,
        QStringLiteral("Running steps, %1 of %2 slots").arg(m_machine->used).arg(m_machine->slots));
    painter.setFont(font());
    if (m_machine->running.empty()) {
        painter.setPen(theme.mutedInk);
        painter.drawText(stepBox(0), Qt::AlignLeft | Qt::AlignTop, QStringLiteral("Nothing runs here."));
    }
    for (std::size_t place = 0; place < m_machine->running.size(); ++place) {
        const RunningStep& step = m_machine->running[place];
        const QRect box = stepBox(place);
        const std::size_t more = m_machine->running.size() - place;
        if (more > 1 && stepBox(place + 1).right() > width()) {
            painter.setPen(theme.mutedInk);
            painter.drawText(box, Qt::AlignLeft | Qt::AlignTop, QStringLiteral("and %1 more").arg(more));
            return;
        }
        paintGlyph(painter, QRectF(box.left(), box.top() + 5, 10, 10), Tone::Running, theme);
        const QRect words = box.adjusted(20, 0, 0, 0);
        painter.setPen(theme.ink);
        painter.drawText(QRect(words.left(), words.top(), words.width(), 20),
                         Qt::AlignLeft | Qt::AlignVCenter,
                         painter.fontMetrics().elidedText(text(step.name), Qt::ElideRight, words.width()));
        painter.setPen(theme.mutedInk);
        const QString detail =
            QStringLiteral("job %1, %2%3")
                .arg(step.job.value())
                .arg(formatAgeText(ageOf(step.since, m_farm.serverNow())),
                     step.phase.empty() ? QString() : QStringLiteral(", ") + text(step.phase));
        painter.drawText(QRect(words.left(), words.top() + 18, words.width(), 18),
                         Qt::AlignLeft | Qt::AlignVCenter,
                         painter.fontMetrics().elidedText(detail, Qt::ElideRight, words.width()));
    }
}

void MachineCard::mousePressEvent(QMouseEvent* event)
{
    if (!m_machine)
        return;
    for (std::size_t place = 0; place < m_machine->running.size(); ++place) {
        if (stepBox(place).contains(event->pos())) {
            Q_EMIT jobOpened(m_machine->running[place].job.value());
            return;
        }
    }
}

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
    splitter->setSizes({560, 236});
    layout->addWidget(splitter);
    m_table->setWidths({112, 108, 132, 104, 114, 114, 114, 122, 80, 76});
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
