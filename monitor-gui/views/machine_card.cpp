// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/machine_card.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/replica/freshness.h"
#include "monitor-gui/views/paint.h"

#include <algorithm>
#include <QMouseEvent>
#include <QPainter>

namespace penstock::gui {

namespace {

constexpr int kLine = 22;
constexpr int kLabel = 84;
constexpr int kHead = 58;
constexpr int kFacts = 272; // width of a column of facts
constexpr int kGates = 316; // width of the column of gates
constexpr int kGateBar = 64;
constexpr int kWide = 1080; // below it there is no room for what a machine is
constexpr int kStep = 40;
constexpr int kStepWidth = 230;

// A gate stands at three quarters of its bar, so that what is beyond it has room to be seen.
CellBar gateBar(double value, double gate, double scale)
{
    constexpr double kPlace = 0.75;
    const double full = gate > 0 ? gate / kPlace : scale;
    return {std::min(1.0, value / full), gate > 0 ? kPlace : 0.0, gate > 0 && value > gate, 0, Tone::Running};
}

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
    setAccessibleDescription(m_machine ? QStringLiteral("%1. %2").arg(text(m_machine->name), roomSentence())
                                       : QStringLiteral("none"));
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
    const MachineLook look = lookOf(*m_machine, m_farm.serverNow());
    paintGlyph(painter, QRectF(kSpace, 14, 14, 14), look.tone, theme);
    const int room = stepsLeft() - 3 * kSpace;
    painter.setFont(scaled(font(), 1.15, true));
    painter.setPen(theme.ink);
    painter.drawText(QRect(kSpace + 22, 6, room - 22, 30), Qt::AlignLeft | Qt::AlignVCenter,
                     painter.fontMetrics().elidedText(
                         QStringLiteral("%1: %2").arg(text(m_machine->name), look.word), Qt::ElideRight, room - 22));
    painter.setFont(font());
    painter.setPen(theme.ink);
    painter.drawText(QRect(kSpace, 34, room, 20), Qt::AlignLeft | Qt::AlignVCenter,
                     painter.fontMetrics().elidedText(roomSentence(), Qt::ElideRight, room));
    paintFacts(painter);
    paintGates(painter);
    paintSteps(painter);
}

// Why it takes no work, or that it does.
QString MachineCard::roomSentence() const
{
    const MachineRecord& machine = *m_machine;
    QStringList parts;
    if (machine.state == MachineState::Quarantined) {
        if (machine.health.until)
            parts << QStringLiteral("No work until %1, then one step to prove itself")
                         .arg(formatClock(*machine.health.until));
        if (!machine.health.reason.empty())
            parts << text(machine.health.reason);
    } else if (machine.state == MachineState::Draining || machine.state == MachineState::Disconnected) {
        parts << (machine.note.empty() ? QStringLiteral("Takes no new work") : text(machine.note));
    } else if (machine.room && machine.room->open) {
        parts << QStringLiteral("Has room for more");
    } else if (machine.room && !machine.room->closed.empty()) {
        parts << QStringLiteral("No room because %1").arg(text(machine.room->closed));
    }
    if (machine.health.state == HealthState::Parole)
        parts << QStringLiteral("its probe went well; one more good step and it is trusted again");
    return parts.join(QStringLiteral("; "));
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
    if (hasIdentity()) {
        const QString seen = machine.lastSeen
                                 ? QStringLiteral("%1 (%2 ago)")
                                       .arg(formatClock(*machine.lastSeen),
                                            formatAgeText(ageOf(machine.lastSeen, m_farm.serverNow())))
                                 : QStringLiteral("never");
        fact(QStringLiteral("Last seen"), seen);
        fact(QStringLiteral("Systems"), joined(machine.systems));
        fact(QStringLiteral("Features"), joined(machine.features));
        fact(QStringLiteral("Only for"), joined(machine.mandatoryFeatures));
        fact(QStringLiteral("Executors"), joined(machine.executors));
        fact(QStringLiteral("Tags"), joined(machine.tags));
        fact(QStringLiteral("Version"), machine.version.empty() ? dash() : text(machine.version));
        top = kHead;
        left += kFacts;
    }
    const Room room = machine.room.value_or(Room{});
    fact(QStringLiteral("CPUs"),
         machine.room ? QStringLiteral("%1 of %2 reserved").arg(room.cpus).arg(room.cpusCapacity)
                      : QString::number(machine.cores));
    fact(QStringLiteral("Busy"), QStringLiteral("%1 %").arg(formatDecimal(machine.cpuBusyPercent, 0)));
    fact(QStringLiteral("Memory"),
         machine.room ? QStringLiteral("%1 of %2 reserved")
                            .arg(formatBytes(room.memoryBytes), formatBytes(room.memoryCapacityBytes))
                      : dash());
    QStringList named;
    for (const NamedAmount& amount : room.named)
        named << QStringLiteral("%1 of %2 %3")
                     .arg(formatCount(amount.reserved), formatCount(amount.capacity), text(amount.name));
    fact(QStringLiteral("Resources"), named.isEmpty() ? dash() : named.join(QStringLiteral(", ")));
    fact(QStringLiteral("Attempts"), QStringLiteral("%1 finished, %2 failed")
                                         .arg(formatCount(machine.finished), formatCount(machine.failed)));
    fact(QStringLiteral("Faults"), machine.health.failuresInRow == 0
                                       ? QStringLiteral("none in a row")
                                       : QStringLiteral("%1 in a row, quarantined %2 times")
                                             .arg(machine.health.failuresInRow)
                                             .arg(machine.health.quarantines));
    fact(QStringLiteral("Score"), machine.room ? QString::number(room.score) : dash());
}

// Each gate with its value; "set" marks one that an operator has chosen.
void MachineCard::paintGates(QPainter& painter)
{
    const MachineRecord& machine = *m_machine;
    const Theme& theme = m_theme.theme();
    const int left = gatesLeft();
    int top = kHead;
    const auto row = [&](const QString& label, const char* key, const QString& value, const CellBar& bar) {
        const bool set = std::find(machine.gates.overridden.begin(), machine.gates.overridden.end(), key) !=
                         machine.gates.overridden.end();
        painter.setPen(theme.mutedInk);
        painter.drawText(QRect(left, top, kLabel, kLine), Qt::AlignLeft | Qt::AlignVCenter,
                         set ? label + QStringLiteral(" (set)") : label);
        paintBar(painter, QRectF(left + kLabel, top + 7, kGateBar, 8), bar, theme);
        painter.setPen(theme.ink);
        const QRect words(left + kLabel + kGateBar + 8, top, kGates - kLabel - kGateBar - 8 - kSpace, kLine);
        painter.drawText(words, Qt::AlignLeft | Qt::AlignVCenter,
                         painter.fontMetrics().elidedText(value, Qt::ElideRight, words.width()));
        top += kLine;
    };
    const QString percent = QStringLiteral(" %");
    const auto above = [&](const char* label, const char* key, std::optional<double> value, double gate,
                           const QString& unit) {
        const QString now = value ? formatDecimal(*value) + unit : dash();
        row(QLatin1String(label), key,
            gate > 0 ? QStringLiteral("%1 of %2").arg(now, formatDecimal(gate, gate < 10 ? 1 : 0) + unit)
                     : QStringLiteral("%1, no gate").arg(now),
            gateBar(value.value_or(0), gate, unit.isEmpty() ? std::max(1U, machine.cores) * 2.0 : 100.0));
    };
    const auto below = [&](const char* label, const char* key, std::uint64_t free, std::uint64_t total,
                           std::uint64_t gate) {
        const auto used = [total](std::uint64_t unused) {
            return total == 0 ? 0.0 : 1.0 - static_cast<double>(std::min(unused, total)) / static_cast<double>(total);
        };
        row(QLatin1String(label), key,
            gate > 0 ? QStringLiteral("%1, least %2").arg(formatBytes(free), formatBytes(gate))
                     : QStringLiteral("%1, no gate").arg(formatBytes(free)),
            {used(free), gate > 0 ? used(gate) : 0.0, gate > 0 && free < gate, 0, Tone::Running});
    };
    const auto pressure = [&](double Pressure::*field) {
        return machine.pressure ? std::optional((*machine.pressure).*field) : std::nullopt;
    };
    above("CPU some", "cpu_psi", pressure(&Pressure::cpuSome), machine.gates.cpuSome, percent);
    above("Mem full", "mem_psi", pressure(&Pressure::memoryFull), machine.gates.memoryFull, percent);
    above("IO full", "io_psi", pressure(&Pressure::ioFull), machine.gates.ioFull, percent);
    above("Load", "load1", machine.load1, machine.gates.load1, {});
    below("Free mem", "memory", machine.memoryAvailableBytes, machine.memoryBytes, machine.gates.memoryFree);
    below("Free disk", "disk", machine.diskFreeBytes, machine.diskTotalBytes, machine.gates.diskFree);
}

bool MachineCard::hasIdentity() const
{
    return width() >= kWide;
}

int MachineCard::gatesLeft() const
{
    return kSpace + (hasIdentity() ? 2 : 1) * kFacts;
}

int MachineCard::stepsLeft() const
{
    return gatesLeft() + kGates + kSpace;
}

// The running steps fill columns from top to bottom.
QRect MachineCard::stepBox(std::size_t place) const
{
    const auto rows = static_cast<std::size_t>(std::max(1, (height() - kHead - kSpace) / kStep));
    const int left = stepsLeft();
    return {left + static_cast<int>(place / rows) * kStepWidth,
            kHead + static_cast<int>(place % rows) * kStep, kStepWidth - kSpace, kStep};
}

void MachineCard::paintSteps(QPainter& painter)
{
    const Theme& theme = m_theme.theme();
    const int left = stepsLeft();
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

} // namespace penstock::gui
