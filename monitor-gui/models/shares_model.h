// SPDX-License-Identifier: GPL-3.0-or-later
// The groups that share the farm, their targets and what they use, as a table. GUI thread; follows a LiveFarm, which
// outlives it.
#pragma once

#include "monitor-gui/models/live_farm.h"
#include "monitor-gui/models/record_model.h"

namespace penstock::gui {

class SharesModel final : public RecordModel<ShareRecord, std::string> {
    Q_OBJECT
public:
    enum Column : int { Group, Shares, Target, Used, Time, Running, Queued, Sentence, kColumns };

    explicit SharesModel(const LiveFarm& farm, QObject* parent = nullptr);

    void refresh();

protected:
    [[nodiscard]] QString display(const ShareRecord& share, int column) const override;
    [[nodiscard]] QVariant cell(const ShareRecord& share, int column, int role) const override;
    [[nodiscard]] std::string keyOf(const ShareRecord& record) const override { return record.group; }
    [[nodiscard]] bool matches(const ShareRecord& record, const QString& filter) const override;
    [[nodiscard]] bool lessThan(const ShareRecord& left, const ShareRecord& right, int column) const override;

private:
    const LiveFarm& m_farm;
};

} // namespace penstock::gui
