// SPDX-License-Identifier: GPL-3.0-or-later
// The machines of the farm as a table. GUI thread; follows a LiveFarm, which outlives it.
#pragma once

#include "monitor-gui/models/live_farm.h"
#include "monitor-gui/models/record_model.h"

namespace penstock::gui {

class MachinesModel final : public RecordModel<MachineRecord, MachineId> {
    Q_OBJECT
public:
    enum Column : int {
        Name,
        State,
        Systems,
        Slots,
        Cpus, // reserved
        Load,
        Cpu,
        Memory,
        Io,
        Room,
        FreeMemory,
        Reserved, // memory
        Named,
        FreeDisk,
        Score,
        Seen,
        Running,
        kColumns
    };

    explicit MachinesModel(const LiveFarm& farm, QObject* parent = nullptr);

    void refresh();

protected:
    [[nodiscard]] QString display(const MachineRecord& machine, int column) const override;
    [[nodiscard]] QVariant cell(const MachineRecord& machine, int column, int role) const override;
    [[nodiscard]] MachineId keyOf(const MachineRecord& record) const override { return record.id; }
    [[nodiscard]] bool matches(const MachineRecord& record, const QString& filter) const override;
    [[nodiscard]] bool lessThan(const MachineRecord& left, const MachineRecord& right,
                                int column) const override;
    [[nodiscard]] bool ages() const override { return true; }

private:
    [[nodiscard]] QVariant bar(const MachineRecord& machine, int column) const;
    [[nodiscard]] QString toolTip(const MachineRecord& machine, int column) const;

    const LiveFarm& m_farm;
};

} // namespace penstock::gui
