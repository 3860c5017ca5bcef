// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/status_reader.h"

#include "server/store/postgres/rows.h"

#include <utility>

namespace penstock::hydra {
namespace {

using store::postgres::ArrayColumn;
using store::postgres::Connection;
using store::postgres::Parameters;
using store::postgres::RowReader;
using store::postgres::Rows;
using store::postgres::Statement;

constexpr Statement kBuilds{
    "hydra_status_builds",
    "SELECT id, drvpath, jobset_id, job, timestamp, maxsilent, timeout, priority, globalpriority FROM builds "
    "WHERE finished = 0 AND id > $1::bigint ORDER BY id LIMIT $2::bigint"};
constexpr Statement kCount{"hydra_status_count", "SELECT count(*) FROM builds WHERE finished = 0"};
constexpr Statement kUnfinished{"hydra_status_unfinished",
                                "SELECT EXISTS (SELECT FROM builds WHERE id = $1::bigint AND finished = 0)"};
constexpr Statement kOwners{"hydra_status_owners",
                            "SELECT step, min(build), max(globalpriority) FROM penstock.hydra_builds "
                            "WHERE step = ANY ($1::bigint[]) GROUP BY step"};
// Far more than there are; a bound all the same.
constexpr Statement kJobsets{"hydra_status_jobsets",
                             "SELECT id, project, name FROM jobsets ORDER BY id DESC LIMIT 50000"};

Parameters number(std::int64_t value)
{
    Parameters parameters;
    parameters.int64(value);
    return parameters;
}

Result<ShownBuilds> readBuilds(Connection& connection, std::int64_t after, std::uint32_t limit)
{
    Parameters parameters = number(after);
    parameters.int64(static_cast<std::int64_t>(limit));
    PENSTOCK_TRY(const Rows rows, connection.runPlanned(kBuilds, parameters));
    ShownBuilds queued;
    for (int index = 0; index < rows.count(); ++index) {
        RowReader row(rows, index);
        ShownBuild& build = queued.builds.emplace_back();
        build.id = row.int64();
        build.drvPath = row.text();
        build.jobset = row.int64();
        build.job = row.text();
        build.timestamp = row.int64();
        build.maxSilent = row.optionalInt64();
        build.timeout = row.optionalInt64();
        build.priority = row.int64();
        build.globalPriority = row.int64();
        PENSTOCK_TRY_VOID(row.finish("builds"));
    }
    PENSTOCK_TRY(const Rows counted, connection.run(kCount));
    RowReader count(counted, 0);
    queued.total = count.uint64();
    PENSTOCK_TRY_VOID(count.finish("number of builds"));
    return queued;
}

Result<std::map<StepId, StepOwner>> readOwners(Connection& connection, std::string steps)
{
    Parameters parameters;
    parameters.bytes(std::move(steps));
    PENSTOCK_TRY(const Rows rows, connection.run(kOwners, parameters));
    std::map<StepId, StepOwner> owners;
    for (int index = 0; index < rows.count(); ++index) {
        RowReader row(rows, index);
        const StepId step(row.uint64());
        StepOwner& owner = owners[step];
        owner.lowestBuild = row.int64();
        owner.globalPriority = row.int64();
        PENSTOCK_TRY_VOID(row.finish("hydra_builds"));
    }
    return owners;
}

Result<std::map<std::string, std::int64_t>> readJobsets(Connection& connection)
{
    PENSTOCK_TRY(const Rows rows, connection.run(kJobsets));
    std::map<std::string, std::int64_t> ids;
    for (int index = 0; index < rows.count(); ++index) {
        RowReader row(rows, index);
        const std::int64_t id = row.int64();
        std::string name = row.text();
        name += ':' + row.text();
        PENSTOCK_TRY_VOID(row.finish("jobsets"));
        ids.emplace(std::move(name), id);
    }
    return ids;
}

} // namespace

StatusReader::StatusReader(std::string databaseUrl) : m_pool(std::move(databaseUrl), 1) {}

void StatusReader::builds(std::int64_t after, std::uint32_t limit, store::Answer<ShownBuilds> answer)
{
    m_pool.ask<ShownBuilds>(
        [after, limit](Connection& connection) { return readBuilds(connection, after, limit); }, std::move(answer));
}

void StatusReader::isUnfinished(std::int64_t build, store::Answer<bool> answer)
{
    m_pool.ask<bool>(
        [build](Connection& connection) -> Result<bool> {
            PENSTOCK_TRY(const Rows rows, connection.run(kUnfinished, number(build)));
            RowReader row(rows, 0);
            const bool isUnfinished = row.boolean();
            PENSTOCK_TRY_VOID(row.finish("builds"));
            return isUnfinished;
        },
        std::move(answer));
}

void StatusReader::owners(const std::vector<StepId>& steps, store::Answer<std::map<StepId, StepOwner>> answer)
{
    ArrayColumn column(ArrayColumn::Element::Int64);
    for (const StepId step : steps)
        column.int64(static_cast<std::int64_t>(step.value()));
    m_pool.ask<std::map<StepId, StepOwner>>(
        [array = column.take()](Connection& connection) { return readOwners(connection, array); }, std::move(answer));
}

void StatusReader::jobsets(store::Answer<std::map<std::string, std::int64_t>> answer)
{
    m_pool.ask<std::map<std::string, std::int64_t>>([](Connection& connection) { return readJobsets(connection); },
                                                    std::move(answer));
}

} // namespace penstock::hydra
