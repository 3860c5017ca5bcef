// SPDX-License-Identifier: GPL-3.0-or-later
// Builds whose outputs are there already.
#include "server/hydra/cached_results_transaction.h"

#include <map>
#include <set>
#include <utility>

namespace penstock::hydra {
namespace {

using store::postgres::ArrayColumn;
using store::postgres::Connection;
using store::postgres::Parameters;
using store::postgres::Request;
using store::postgres::RowReader;
using store::postgres::Rows;
using store::postgres::Statement;

constexpr std::int32_t kSucceeded = 0;
constexpr std::int32_t kSaysFailed = 6;

constexpr Statement kEarlier{
    "hydra_earlier_builds",
    "SELECT DISTINCT ON (w.build) w.build, b.id, b.buildstatus, b.size, b.closuresize, b.releasename "
    "FROM unnest($1::int[], $2::text[]) w(build, path) JOIN buildoutputs o ON o.path = w.path "
    "JOIN builds b ON b.id = o.build WHERE b.finished = 1 AND b.buildstatus IN (0, 6) ORDER BY w.build, b.id DESC"};
constexpr Statement kFinish{
    "hydra_finish_cached",
    "UPDATE builds b SET finished = 1, buildstatus = w.status, starttime = $6::bigint::int, "
    "stoptime = $6::bigint::int, size = w.size, closuresize = w.closuresize, releasename = w.releasename, "
    "iscachedbuild = 1, notificationpendingsince = $6::bigint::int FROM unnest($1::int[], $2::int[], $3::bigint[], "
    "$4::bigint[], $5::text[]) w(build, status, size, closuresize, releasename) "
    "WHERE b.id = w.build AND b.finished = 0"};
constexpr Statement kOutputs{
    "hydra_cached_outputs",
    "UPDATE buildoutputs o SET path = w.path FROM unnest($1::int[], $2::text[], $3::text[]) w(build, name, path) "
    "WHERE o.build = w.build AND o.name = w.name AND o.path IS DISTINCT FROM w.path"};
// Of a build that was restarted: from its former run.
constexpr Statement kDropProducts{"hydra_drop_products", "DELETE FROM buildproducts WHERE build = ANY ($1::int[])"};
constexpr Statement kDropMetrics{"hydra_drop_metrics", "DELETE FROM buildmetrics WHERE build = ANY ($1::int[])"};
constexpr Statement kCopyProducts{
    "hydra_copy_products",
    "INSERT INTO buildproducts (build, productnr, type, subtype, filesize, sha256hash, path, name, defaultpath) "
    "SELECT w.build, p.productnr, p.type, p.subtype, p.filesize, p.sha256hash, p.path, p.name, p.defaultpath "
    "FROM unnest($1::int[], $2::int[]) w(build, origin) JOIN buildproducts p ON p.build = w.origin"};
constexpr Statement kCopyMetrics{
    "hydra_copy_metrics",
    "INSERT INTO buildmetrics (build, name, unit, value, project, jobset, job, timestamp) "
    "SELECT w.build, m.name, m.unit, m.value, j.project, j.name, b.job, b.timestamp "
    "FROM unnest($1::int[], $2::int[]) w(build, origin) JOIN buildmetrics m ON m.build = w.origin "
    "JOIN builds b ON b.id = w.build JOIN jobsets j ON j.id = b.jobset_id"};
constexpr Statement kInsertProducts{
    "hydra_insert_products",
    "INSERT INTO buildproducts (build, productnr, type, subtype, filesize, sha256hash, path, name, defaultpath) "
    "SELECT $1::bigint::int, w.nr, w.type, w.subtype, w.size, nullif(w.hash, ''), w.path, w.name, w.defaultpath "
    "FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[]) "
    "WITH ORDINALITY w(type, subtype, size, hash, path, name, defaultpath, nr)"};
constexpr Statement kInsertMetrics{
    "hydra_insert_metrics",
    "INSERT INTO buildmetrics (build, name, unit, value, project, jobset, job, timestamp) "
    "SELECT b.id, w.name, nullif(w.unit, ''), w.value, j.project, j.name, b.job, b.timestamp "
    "FROM unnest($2::text[], $3::text[], $4::float8[]) w(name, unit, value), builds b "
    "JOIN jobsets j ON j.id = b.jobset_id WHERE b.id = $1::bigint::int"};

struct Earlier {
    BuildId origin = 0;
    std::int32_t status = kSucceeded;
    std::optional<std::int64_t> size;
    std::optional<std::int64_t> closureSize;
    std::optional<std::string> releaseName;
};
using EarlierBuilds = std::map<BuildId, Earlier>;

Result<EarlierBuilds> readEarlier(Connection& connection, std::span<const CachedSuccess> builds)
{
    ArrayColumn ids(ArrayColumn::Element::Int32);
    ArrayColumn paths(ArrayColumn::Element::Text);
    for (const CachedSuccess& build : builds) {
        for (const work::NixOutput& output : build.outputs) {
            ids.int32(build.build.id);
            paths.text(output.path);
        }
    }
    Parameters parameters;
    parameters.bytes(ids.take());
    parameters.bytes(paths.take());
    PENSTOCK_TRY(const Rows rows, connection.run(kEarlier, parameters));
    EarlierBuilds all;
    for (int index = 0; index < rows.count(); ++index) {
        RowReader row(rows, index);
        const BuildId id = row.int32();
        Earlier earlier;
        earlier.origin = row.int32();
        earlier.status = row.int32() == kSucceeded ? kSucceeded : kSaysFailed;
        earlier.size = row.optionalInt64();
        earlier.closureSize = row.optionalInt64();
        if (const auto name = row.optionalBytes())
            earlier.releaseName = std::string(*name);
        PENSTOCK_TRY_VOID(row.finish("finished build"));
        all.emplace(id, std::move(earlier));
    }
    return all;
}

// The build's own row and its outputs.
class RowUpdates {
public:
    void add(const CachedSuccess& build, const Earlier& result)
    {
        m_ids.int32(build.build.id);
        m_statuses.int32(result.status);
        addOptional(m_sizes, result.size);
        addOptional(m_closureSizes, result.closureSize);
        if (result.releaseName)
            m_releaseNames.text(*result.releaseName);
        else
            m_releaseNames.null();
        for (const work::NixOutput& output : build.outputs) {
            m_outputBuilds.int32(build.build.id);
            m_outputNames.text(output.name);
            m_outputPaths.text(output.path);
        }
    }
    void take(std::int64_t now, std::vector<Request>& into)
    {
        Parameters outputs;
        outputs.bytes(m_outputBuilds.take());
        outputs.bytes(m_outputNames.take());
        outputs.bytes(m_outputPaths.take());
        into.push_back({&kOutputs, std::move(outputs)});
        Parameters rows;
        rows.bytes(m_ids.take());
        rows.bytes(m_statuses.take());
        rows.bytes(m_sizes.take());
        rows.bytes(m_closureSizes.take());
        rows.bytes(m_releaseNames.take());
        rows.int64(now);
        into.push_back({&kFinish, std::move(rows)});
    }

private:
    static void addOptional(ArrayColumn& column, std::optional<std::int64_t> value)
    {
        if (value)
            column.int64(*value);
        else
            column.null();
    }
    ArrayColumn m_ids{ArrayColumn::Element::Int32};
    ArrayColumn m_statuses{ArrayColumn::Element::Int32};
    ArrayColumn m_sizes{ArrayColumn::Element::Int64};
    ArrayColumn m_closureSizes{ArrayColumn::Element::Int64};
    ArrayColumn m_releaseNames{ArrayColumn::Element::Text};
    ArrayColumn m_outputBuilds{ArrayColumn::Element::Int32};
    ArrayColumn m_outputNames{ArrayColumn::Element::Text};
    ArrayColumn m_outputPaths{ArrayColumn::Element::Text};
};

std::vector<Request> copyRequests(std::span<const CachedSuccess> builds, const EarlierBuilds& earlier,
                                  std::span<const BuildId> locked, std::int64_t now)
{
    const std::set<BuildId> wanted(locked.begin(), locked.end());
    RowUpdates updates;
    ArrayColumn ids(ArrayColumn::Element::Int32);
    ArrayColumn origins(ArrayColumn::Element::Int32);
    for (const CachedSuccess& build : builds) {
        if (!wanted.contains(build.build.id))
            continue;
        const Earlier& result = earlier.at(build.build.id);
        updates.add(build, result);
        ids.int32(build.build.id);
        origins.int32(result.origin);
    }
    Parameters pairs;
    pairs.bytes(ids.take());
    pairs.bytes(origins.take());
    std::vector<Request> requests{{&kDropProducts, onlyIds(locked)},
                                  {&kDropMetrics, onlyIds(locked)},
                                  {&kCopyProducts, pairs},
                                  {&kCopyMetrics, std::move(pairs)}};
    updates.take(now, requests);
    requests.push_back(notifyFinished(locked));
    return requests;
}

Parameters productRows(BuildId build, const std::vector<ResultProduct>& products)
{
    ArrayColumn types(ArrayColumn::Element::Text);
    ArrayColumn subtypes(ArrayColumn::Element::Text);
    ArrayColumn sizes(ArrayColumn::Element::Int64);
    ArrayColumn hashes(ArrayColumn::Element::Text);
    ArrayColumn paths(ArrayColumn::Element::Text);
    ArrayColumn names(ArrayColumn::Element::Text);
    ArrayColumn defaults(ArrayColumn::Element::Text);
    for (const ResultProduct& product : products) {
        types.text(product.type);
        subtypes.text(product.subtype);
        if (product.size)
            sizes.int64(static_cast<std::int64_t>(*product.size));
        else
            sizes.null();
        hashes.text(product.sha256);
        paths.text(product.path);
        names.text(product.name);
        defaults.text(product.defaultPath);
    }
    Parameters parameters;
    parameters.int64(std::int64_t{build});
    for (ArrayColumn* column : {&types, &subtypes, &sizes, &hashes, &paths, &names, &defaults})
        parameters.bytes(column->take());
    return parameters;
}

Parameters metricRows(BuildId build, const std::vector<ResultMetric>& metrics)
{
    ArrayColumn names(ArrayColumn::Element::Text);
    ArrayColumn units(ArrayColumn::Element::Text);
    ArrayColumn values(ArrayColumn::Element::Float64);
    for (const ResultMetric& metric : metrics) {
        names.text(metric.name);
        units.text(metric.unit);
        values.float64(metric.value);
    }
    Parameters parameters;
    parameters.int64(std::int64_t{build});
    for (ArrayColumn* column : {&names, &units, &values})
        parameters.bytes(column->take());
    return parameters;
}

} // namespace

Result<Copied> finishFromEarlier(Finishing at, std::span<const CachedSuccess> builds)
{
    Copied copied;
    if (builds.empty())
        return copied;
    PENSTOCK_TRY(const EarlierBuilds earlier, readEarlier(at.connection, builds));
    std::vector<CachedSuccess> known;
    for (const CachedSuccess& build : builds)
        (earlier.contains(build.build.id) ? known : copied.others).push_back(build);
    PENSTOCK_TRY(copied.finished, finishLocked(at, refsOf(known), [&](std::span<const BuildId> locked) {
                     return copyRequests(known, earlier, locked, at.now);
                 }));
    return copied;
}

Result<bool> finishComputed(Finishing at, const CachedSuccess& build, const ComputedResult& result)
{
    const std::vector<BuildRef> refs{build.build};
    Earlier row;
    row.status = result.hasFailed ? kSaysFailed : kSucceeded;
    row.size = static_cast<std::int64_t>(result.size);
    row.closureSize = static_cast<std::int64_t>(result.closureSize);
    if (!result.releaseName.empty())
        row.releaseName = result.releaseName;
    PENSTOCK_TRY(const auto finished,
                 finishLocked(at, refs, [&](std::span<const BuildId> locked) {
                     RowUpdates updates;
                     updates.add(build, row);
                     std::vector<Request> requests{
                         {&kDropProducts, onlyIds(locked)},
                         {&kDropMetrics, onlyIds(locked)},
                         {&kInsertProducts, productRows(build.build.id, result.products)},
                         {&kInsertMetrics, metricRows(build.build.id, result.metrics)}};
                     updates.take(at.now, requests);
                     requests.push_back(notifyFinished(locked));
                     return requests;
                 }));
    return !finished.empty();
}

} // namespace penstock::hydra
