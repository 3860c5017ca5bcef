// SPDX-License-Identifier: GPL-3.0-or-later
// Open and lately finished jobs as a table. GUI thread; follows a LiveFarm, which outlives it.
#pragma once

#include "monitor-gui/models/live_farm.h"
#include "monitor-gui/models/record_model.h"

namespace penstock::gui {

class JobsModel final : public RecordModel<JobRecord, JobId> {
    Q_OBJECT
public:
    enum Column : int { Number, Name, Steps, Age, kColumns };

    explicit JobsModel(const LiveFarm& farm, QObject* parent = nullptr);

    void refresh();

protected:
    [[nodiscard]] QString display(const JobRecord& job, int column) const override;
    [[nodiscard]] QVariant cell(const JobRecord& job, int column, int role) const override;
    [[nodiscard]] JobId keyOf(const JobRecord& record) const override { return record.id; }
    [[nodiscard]] bool matches(const JobRecord& record, const QString& filter) const override;
    [[nodiscard]] bool lessThan(const JobRecord& left, const JobRecord& right, int column) const override;
    [[nodiscard]] bool ages() const override { return true; }

private:
    const LiveFarm& m_farm;
};

} // namespace penstock::gui
