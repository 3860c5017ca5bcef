// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/models/machines_model.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/replica/freshness.h"

#include <array>
#include <QLocale>

namespace penstock::gui {

namespace {

constexpr std::array kHeadings{
    Heading{"Machine", "Name of the machine"},
    Heading{"State", "Whether it takes work, and how long a quarantine lasts"},
    Heading{"System", "Systems it can build for"},
    Heading{"Slots", "Slots in use of all its slots"},
    Heading{"CPUs", "CPUs reserved by what runs, of those that may be reserved"},
    Heading{"Load", "One-minute load; the mark is the gate above which nothing starts"},
    Heading{"CPU some",
            "Share of the last 10 s in which some task waited for a processor "
            "(PSI); the mark is this machine's gate"},
    Heading{"Mem full",
            "Share of the last 10 s in which all tasks waited for memory (PSI); "
            "the mark is this machine's gate"},
    Heading{"IO full",
            "Share of the last 10 s in which all tasks waited for disks (PSI); the "
            "mark is this machine's gate"},
    Heading{"Room for more", "Whether it would take another small step now, and why not"},
    Heading{"Memory", "Memory in use; the mark is the gate above which nothing starts"},
    Heading{"Mem reserved", "Memory reserved by what runs, of what may be reserved"},
    Heading{"Resources", "Named resources, reserved of all: GPUs, licences"},
    Heading{"Disk free", "Free space where steps run", true},
    Heading{"Score", "By the scheduler's sort function; larger is chosen first", true},
    Heading{"Last seen", "Age of its last report", true},
    Heading{"Running steps", "What it runs now"}};
static_assert(kHeadings.size() == MachinesModel::kColumns);

// A gate stands at three quarters of its bar, so that what is beyond it has room to be seen.
constexpr double kGatePlace = 0.75;

CellBar pressureBar(double value, double gate, double scale)
{
    const double full = gate > 0 ? gate / kGatePlace : scale;
    return {std::min(1.0, value / full), gate > 0 ? kGatePlace : 0.0, gate > 0 && value > gate, 0,
            Tone::Running};
}

double shareUsed(std::uint64_t total, std::uint64_t left)
{
    return total == 0 ? 0.0 : 1.0 - static_cast<double>(std::min(left, total)) / static_cast<double>(total);
}

QVariant reservedBar(std::uint64_t reserved, std::uint64_t capacity)
{
    if (capacity == 0)
        return {};
    return QVariant::fromValue(CellBar{
        std::min(1.0, static_cast<double>(reserved) / static_cast<double>(capacity)), 0, false, 0, Tone::Running});
}

CellBar memoryBar(const MachineRecord& machine)
{
    const std::uint64_t gate = machine.gates.memoryFree;
    const bool past = gate > 0 && machine.memoryAvailableBytes < gate;
    return {shareUsed(machine.memoryBytes, machine.memoryAvailableBytes),
            gate > 0 ? shareUsed(machine.memoryBytes, gate) : 0.0, past, 0, Tone::Running};
}

QString roomText(const MachineRecord& machine)
{
    if (!machine.room)
        return dash();
    if (machine.room->open)
        return QStringLiteral("has room");
    return machine.room->closed.empty() ? QStringLiteral("no room")
                                        : QStringLiteral("no room: %1").arg(text(machine.room->closed));
}

QString namedText(const MachineRecord& machine)
{
    if (!machine.room || machine.room->named.empty())
        return dash();
    QStringList amounts;
    for (const NamedAmount& amount : machine.room->named)
        amounts << QStringLiteral("%1 %2/%3")
                       .arg(text(amount.name), formatCount(amount.reserved), formatCount(amount.capacity));
    return amounts.join(QStringLiteral(", "));
}

double namedShare(const MachineRecord& machine)
{
    double share = -1;
    if (machine.room) {
        for (const NamedAmount& amount : machine.room->named)
            share = std::max(share, amount.capacity == 0 ? 0.0
                                                         : static_cast<double>(amount.reserved) /
                                                               static_cast<double>(amount.capacity));
    }
    return share;
}

QString stateTip(const MachineRecord& machine, WallTime serverNow)
{
    QStringList lines{lookOf(machine, serverNow).word};
    if (!machine.note.empty())
        lines << text(machine.note);
    if (machine.health.until)
        lines << QStringLiteral("until %1, then one step to prove itself").arg(formatClock(*machine.health.until));
    if (machine.health.failuresInRow > 0)
        lines << QStringLiteral("%1 steps in a row failed by its own fault").arg(machine.health.failuresInRow);
    if (!machine.health.reason.empty())
        lines << text(machine.health.reason);
    if (machine.room && !machine.room->closed.empty())
        lines << QStringLiteral("no room because %1").arg(text(machine.room->closed));
    return lines.join(QLatin1Char('\n'));
}

QString gateText(const char* name, double value, double gate)
{
    const QString head = QStringLiteral("%1: %2 %").arg(QLatin1String(name), formatDecimal(value));
    if (gate <= 0)
        return head + QStringLiteral(", no gate");
    return head + (value > gate ? QStringLiteral(", above its gate of %1 %: nothing new starts here")
                                : QStringLiteral(", gate %1 %"))
                      .arg(formatDecimal(gate));
}

} // namespace

MachinesModel::MachinesModel(const LiveFarm& farm, QObject* parent) : RecordModel(kHeadings, parent), m_farm(farm)
{
    connect(&farm, &LiveFarm::refreshed, this, &MachinesModel::refresh);
    connect(&farm, &LiveFarm::secondPassed, this, &MachinesModel::refresh);
}

void MachinesModel::refresh()
{
    std::vector<MachinePtr> all;
    all.reserve(m_farm.farm().machines().size());
    for (const auto& [id, machine] : m_farm.farm().machines())
        all.push_back(machine);
    assign(std::move(all));
}

QVariant MachinesModel::cell(const MachineRecord& machine, int column, int role) const
{
    switch (role) {
    case Qt::ToolTipRole: return toolTip(machine, column);
    case kToneRole:
        return column == State ? QVariant(static_cast<int>(lookOf(machine, m_farm.serverNow()).tone)) : QVariant();
    case kBarRole: return bar(machine, column);
    case kFreshnessRole:
        return static_cast<int>(freshnessOf(machine, m_farm.serverNow(), m_farm.link().machinePeriod));
    case kIdRole: return QVariant::fromValue(static_cast<quint64>(machine.id.value()));
    default: return {};
    }
}

QString MachinesModel::display(const MachineRecord& machine, int column) const
{
    const auto percent = [&](double Pressure::*field) {
        return machine.pressure ? formatDecimal((*machine.pressure).*field) + QStringLiteral(" %") : dash();
    };
    switch (column) {
    case Name: return text(machine.name);
    case State: return lookOf(machine, m_farm.serverNow()).word;
    case Systems: return joined(machine.systems);
    case Slots: return QStringLiteral("%1 / %2").arg(machine.used).arg(machine.slots);
    case Cpus:
        return machine.room ? QStringLiteral("%1 / %2").arg(machine.room->cpus).arg(machine.room->cpusCapacity)
                            : dash();
    case Load: return formatDecimal(machine.load1);
    case Cpu: return percent(&Pressure::cpuSome);
    case Memory: return percent(&Pressure::memoryFull);
    case Io: return percent(&Pressure::ioFull);
    case FreeMemory: return formatBytes(machine.memoryBytes - machine.memoryAvailableBytes);
    case FreeDisk: return formatBytes(machine.diskFreeBytes);
    case Room: return roomText(machine);
    case Reserved: return machine.room ? formatBytes(machine.room->memoryBytes) : dash();
    case Named: return namedText(machine);
    case Score: return machine.room ? QLocale::c().toString(qlonglong{machine.room->score}) : dash();
    case Seen: {
        const std::optional<Duration> age = ageOf(machine.lastSeen, m_farm.serverNow());
        return age && *age < std::chrono::seconds(2) ? QStringLiteral("now") : formatAgeText(age);
    }
    default: break;
    }
    if (machine.state == MachineState::Disconnected)
        return machine.lastSeen ? QStringLiteral("last seen %1").arg(formatClock(*machine.lastSeen))
                                : QStringLiteral("never seen");
    if (machine.state == MachineState::Draining && machine.running.empty())
        return machine.note.empty() ? QStringLiteral("draining")
                                    : QStringLiteral("draining: %1").arg(text(machine.note));
    QStringList names;
    for (const RunningStep& step : machine.running)
        names.push_back(text(step.name));
    return names.isEmpty() ? QStringLiteral("idle") : names.join(QStringLiteral(", "));
}

QVariant MachinesModel::bar(const MachineRecord& machine, int column) const
{
    const double cores = std::max(1.0, static_cast<double>(machine.cores));
    const Pressure none;
    const Pressure& psi = machine.pressure ? *machine.pressure : none;
    switch (column) {
    case Slots:
        return QVariant::fromValue(
            CellBar{machine.slots == 0 ? 0.0 : std::min(1.0, double(machine.used) / machine.slots), 0, false,
                    static_cast<int>(std::min(machine.slots, 64U)), Tone::Running});
    case Load: return QVariant::fromValue(pressureBar(machine.load1, machine.gates.load1, cores * 2));
    case Cpu:
        return machine.pressure ? QVariant::fromValue(pressureBar(psi.cpuSome, machine.gates.cpuSome, 100))
                                : QVariant();
    case Memory:
        return machine.pressure
                   ? QVariant::fromValue(pressureBar(psi.memoryFull, machine.gates.memoryFull, 100))
                   : QVariant();
    case Io:
        return machine.pressure ? QVariant::fromValue(pressureBar(psi.ioFull, machine.gates.ioFull, 100))
                                : QVariant();
    case FreeMemory: return QVariant::fromValue(memoryBar(machine));
    case Cpus: return machine.room ? reservedBar(machine.room->cpus, machine.room->cpusCapacity) : QVariant();
    case Reserved:
        return machine.room ? reservedBar(machine.room->memoryBytes, machine.room->memoryCapacityBytes) : QVariant();
    default: return {};
    }
}

QString MachinesModel::toolTip(const MachineRecord& machine, int column) const
{
    if ((column == Cpu || column == Memory || column == Io) && !machine.pressure)
        return QStringLiteral("This machine reports no pressure (its kernel has no PSI)");
    switch (column) {
    case Name:
    case State: return stateTip(machine, m_farm.serverNow());
    case Reserved:
        return machine.room ? QStringLiteral("%1 of %2 reserved")
                                  .arg(formatBytes(machine.room->memoryBytes),
                                       formatBytes(machine.room->memoryCapacityBytes))
                            : dash();
    case Systems:
        return QStringLiteral("%1\nfeatures: %2").arg(joined(machine.systems), joined(machine.features));
    case Load:
        return QStringLiteral("load %1 on %2 cores, gate %3")
            .arg(formatDecimal(machine.load1))
            .arg(machine.cores)
            .arg(machine.gates.load1 > 0 ? formatDecimal(machine.gates.load1) : QStringLiteral("none"));
    case Cpu: return gateText("cpu some", machine.pressure->cpuSome, machine.gates.cpuSome);
    case Memory: return gateText("memory full", machine.pressure->memoryFull, machine.gates.memoryFull);
    case Io: return gateText("io full", machine.pressure->ioFull, machine.gates.ioFull);
    case FreeMemory:
        return QStringLiteral("%1 free of %2")
            .arg(formatBytes(machine.memoryAvailableBytes), formatBytes(machine.memoryBytes));
    case FreeDisk:
        return QStringLiteral("%1 free of %2")
            .arg(formatBytes(machine.diskFreeBytes), formatBytes(machine.diskTotalBytes));
    default: return display(machine, column);
    }
}

bool MachinesModel::matches(const MachineRecord& record, const QString& filter) const
{
    const auto has = [&](const std::string& value) {
        return text(value).contains(filter, Qt::CaseInsensitive);
    };
    const auto any = [&](const std::vector<std::string>& values) {
        return std::any_of(values.begin(), values.end(), has);
    };
    return has(record.name) || any(record.systems) || any(record.features) || any(record.tags) ||
           lookOf(record, m_farm.serverNow()).word.contains(filter, Qt::CaseInsensitive) ||
           wordOf(record.state).contains(filter, Qt::CaseInsensitive) ||
           roomText(record).contains(filter, Qt::CaseInsensitive) ||
           namedText(record).contains(filter, Qt::CaseInsensitive);
}

bool MachinesModel::lessThan(const MachineRecord& left, const MachineRecord& right, int column) const
{
    const auto pressure = [](const MachineRecord& record, double Pressure::*field) {
        return record.pressure ? (*record.pressure).*field : -1.0;
    };
    const auto room = [](const MachineRecord& record, auto value) {
        return record.room ? static_cast<double>(value(*record.room)) : -1e18;
    };
    switch (column) {
    case State: {
        const int leftRank = lookOf(left, m_farm.serverNow()).rank;
        const int rightRank = lookOf(right, m_farm.serverNow()).rank;
        return leftRank != rightRank ? leftRank < rightRank : left.health.until < right.health.until;
    }
    case Cpus: {
        const auto cpus = [](const gui::Room& of) { return of.cpus; };
        return room(left, cpus) < room(right, cpus);
    }
    case Reserved: {
        const auto memory = [](const gui::Room& of) { return of.memoryBytes; };
        return room(left, memory) < room(right, memory);
    }
    case Score: {
        const auto score = [](const gui::Room& of) { return of.score; };
        return room(left, score) < room(right, score);
    }
    case Named: return namedShare(left) < namedShare(right);
    case Room: return roomText(left) < roomText(right);
    case Systems: return left.systems < right.systems;
    case Slots: return left.used < right.used;
    case Load: return left.load1 < right.load1;
    case Cpu: return pressure(left, &Pressure::cpuSome) < pressure(right, &Pressure::cpuSome);
    case Memory: return pressure(left, &Pressure::memoryFull) < pressure(right, &Pressure::memoryFull);
    case Io: return pressure(left, &Pressure::ioFull) < pressure(right, &Pressure::ioFull);
    case FreeMemory:
        return left.memoryBytes - left.memoryAvailableBytes < right.memoryBytes - right.memoryAvailableBytes;
    case FreeDisk: return left.diskFreeBytes < right.diskFreeBytes;
    case Seen: return left.lastSeen > right.lastSeen; // the youngest report first
    case Running: return left.running.size() < right.running.size();
    default: return left.name < right.name;
    }
}

} // namespace penstock::gui
