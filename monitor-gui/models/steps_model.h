// SPDX-License-Identifier: GPL-3.0-or-later
// The steps of the watched job as a table. GUI thread; follows a LiveFarm, which outlives it.
#pragma once

#include "monitor-gui/models/live_farm.h"
#include "monitor-gui/models/record_model.h"

namespace penstock::gui {

class StepsModel final : public RecordModel<StepRecord, StepId> {
    Q_OBJECT
public:
    enum Column : int { Name, State, Machine, Tries, Time, Waited, Why, kColumns };

    explicit StepsModel(const LiveFarm& farm, QObject* parent = nullptr);

    void refresh();

protected:
    [[nodiscard]] QString display(const StepRecord& step, int column) const override;
    [[nodiscard]] QVariant cell(const StepRecord& step, int column, int role) const override;
    [[nodiscard]] StepId keyOf(const StepRecord& record) const override { return record.id; }
    [[nodiscard]] bool matches(const StepRecord& record, const QString& filter) const override;
    [[nodiscard]] bool lessThan(const StepRecord& left, const StepRecord& right, int column) const override;
    [[nodiscard]] bool ages() const override { return true; }

private:
    [[nodiscard]] QString reason(const StepRecord& step) const;
    [[nodiscard]] std::optional<Duration> runTime(const StepRecord& step) const;
    [[nodiscard]] std::optional<Duration> waitTime(const StepRecord& step) const;

    const LiveFarm& m_farm;
};

} // namespace penstock::gui
