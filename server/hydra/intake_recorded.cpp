// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/intake_recorded.h"

#include <string_view>
#include <utility>

namespace penstock::hydra {
namespace {

using store::postgres::ArrayColumn;
using store::postgres::Parameters;
using store::postgres::RowReader;
using store::postgres::Rows;
using store::postgres::Statement;

// The column of what was built instead is there from schema 87 on; a row as JSON may be asked for it in any.
constexpr Statement kRecorded{
    "hydra_recorded_outputs",
    "WITH RECURSIVE chain (asked, drvpath, depth) AS (SELECT d, d, 0 FROM unnest($1::text[]) d UNION ALL "
    "SELECT c.asked, $2 || '/' || r.base, c.depth + 1 FROM chain c, LATERAL (SELECT to_jsonb(s) ->> 'resolveddrvpath' "
    "AS base FROM buildsteps s WHERE s.drvpath = c.drvpath AND s.status = 13 ORDER BY s.build DESC, s.stepnr DESC "
    "LIMIT 1) r WHERE r.base IS NOT NULL AND c.depth < 3) "
    "SELECT DISTINCT ON (c.asked, o.name) c.asked, o.name, o.path FROM chain c "
    "JOIN buildsteps s ON s.drvpath = c.drvpath AND s.status = 0 "
    "JOIN buildstepoutputs o ON o.build = s.build AND o.stepnr = s.stepnr AND o.path IS NOT NULL "
    "ORDER BY c.asked, o.name, s.build DESC, s.stepnr DESC"};

} // namespace

Result<RecordedOutputs> readRecorded(store::postgres::Connection& connection, const nix::StoreDir& dir,
                                     std::span<const std::string> drvPaths)
{
    ArrayColumn column(ArrayColumn::Element::Text);
    for (const std::string& path : drvPaths)
        column.text(path);
    Parameters parameters;
    parameters.bytes(column.take());
    parameters.text(std::string_view(dir.text()));
    PENSTOCK_TRY(const Rows rows, connection.run(kRecorded, parameters));
    RecordedOutputs all;
    for (int index = 0; index < rows.count(); ++index) {
        RowReader row(rows, index);
        std::string drvPath = row.text();
        std::string name = row.text();
        all[std::move(drvPath)].push_back({std::move(name), row.text()});
        PENSTOCK_TRY_VOID(row.finish("recorded output"));
    }
    return all;
}

} // namespace penstock::hydra
