// SPDX-License-Identifier: GPL-3.0-or-later
// Turns answers into rows of the domain, column by column in the order of sql_read.cpp. Corrupt for what cannot be
// read.
#pragma once

#include "server/store/postgres/former_limits.h"
#include "server/store/postgres/rows.h"
#include "server/store/store.h"

namespace penstock::store::postgres {

// Each reads the columns of one row and leaves the reader behind them.
// former: takes note of what was stored when limits were the steps'. A step read with it is one that the core takes
// over, without its input paths.
[[nodiscard]] work::JobRow readJob(RowReader& row, FormerLimits* former = nullptr);
[[nodiscard]] work::StepRow readStep(RowReader& row, FormerLimits* former = nullptr);
[[nodiscard]] std::optional<StoredDerivation> readDerivation(RowReader& row);
[[nodiscard]] work::AttemptRow readAttempt(RowReader& row);
[[nodiscard]] work::MachineRow readMachine(RowReader& row);
[[nodiscard]] TokenRow readToken(RowReader& row);
[[nodiscard]] work::DependencyRow readDependency(RowReader& row);
[[nodiscard]] work::JobStepRow readJobStep(RowReader& row);
[[nodiscard]] work::ShareGroupRow readShareGroup(RowReader& row);
[[nodiscard]] work::NamespaceRow readNamespace(RowReader& row);
[[nodiscard]] work::UsageRow readUsage(RowReader& row);
[[nodiscard]] work::HistoryRow readHistory(RowReader& row);
[[nodiscard]] work::DispatchPause readPause(RowReader& row);

// All rows of an answer, each read by `read`, appended to `into`.
template <class Row, class Read>
[[nodiscard]] Result<void> readAll(const Rows& rows, const char* what, std::vector<Row>& into, Read read)
{
    into.reserve(into.size() + static_cast<std::size_t>(rows.count()));
    for (int index = 0; index < rows.count(); ++index) {
        RowReader row(rows, index);
        into.push_back(read(row));
        PENSTOCK_TRY_VOID(row.finish(what));
    }
    return {};
}

} // namespace penstock::store::postgres
