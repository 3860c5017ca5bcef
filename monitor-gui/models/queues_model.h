// SPDX-License-Identifier: GPL-3.0-or-later
// The queues, one for each system and set of required features, as a table. GUI thread; follows a LiveFarm,
// which outlives it.
#pragma once

#include "monitor-gui/models/live_farm.h"
#include "monitor-gui/models/record_model.h"

namespace penstock::gui {

class QueuesModel final : public RecordModel<QueueRecord, std::string> {
    Q_OBJECT
public:
    enum Column : int {
        System,
        Features,
        Share,
        Queued,
        Running,
        Blocked,
        Oldest,
        Machines,
        FreeSlots,
        Groups,
        Sentence,
        kColumns
    };

    explicit QueuesModel(const LiveFarm& farm, QObject* parent = nullptr);

    void refresh();

protected:
    [[nodiscard]] QString display(const QueueRecord& queue, int column) const override;
    [[nodiscard]] QVariant cell(const QueueRecord& queue, int column, int role) const override;
    [[nodiscard]] std::string keyOf(const QueueRecord& record) const override { return record.key; }
    [[nodiscard]] bool matches(const QueueRecord& record, const QString& filter) const override;
    [[nodiscard]] bool lessThan(const QueueRecord& left, const QueueRecord& right, int column) const override;
    [[nodiscard]] bool ages() const override { return true; }

private:
    [[nodiscard]] QString toolTip(const QueueRecord& queue, int column) const;

    const LiveFarm& m_farm;
    double m_largest = 1; // steps of the fullest queue, for the bars
};

} // namespace penstock::gui
