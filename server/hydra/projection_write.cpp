// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/projection_write.h"

#include "server/hydra/projection_sql.h"
#include "server/store/postgres/columns.h"

#include <initializer_list>

namespace penstock::hydra {
namespace {

using store::postgres::ArrayColumn;
using store::postgres::Columns;
using store::postgres::Request;
using enum ArrayColumn::Element;

std::int32_t numberOf(Status status)
{
    return static_cast<std::int32_t>(status);
}

void optional(Columns& columns, const std::optional<std::int32_t>& value)
{
    value ? columns.int32(*value) : columns.null();
}
void optional(Columns& columns, const std::optional<std::string>& value)
{
    value ? columns.text(*value) : columns.null();
}
void optional(Columns& columns, const std::optional<bool>& value)
{
    value ? columns.boolean(*value) : columns.null();
}
void effort(Columns& columns, const StepEffort& value)
{
    optional(columns, value.overhead);
    optional(columns, value.timesBuilt);
    optional(columns, value.isNondeterministic);
}
void textOrNull(Columns& columns, const std::string& value)
{
    value.empty() ? columns.null() : columns.text(value);
}

class Writing {
public:
    template <class Row, class Fill>
    void add(const std::vector<Row>& rows, const sql::Statement& statement,
             std::initializer_list<ArrayColumn::Element> shape, Fill fill)
    {
        if (rows.empty())
            return;
        Columns columns(shape);
        for (const Row& row : rows)
            fill(columns, row);
        m_requests.push_back({&statement, columns.take()});
    }
    void addBuilds(const std::vector<BuildId>& builds, const sql::Statement& statement)
    {
        add(builds, statement, {Int32}, [](Columns& c, BuildId build) { c.int32(build); });
    }
    void addAttempts(const std::vector<AttemptId>& attempts, const sql::Statement& statement)
    {
        add(attempts, statement, {Int64}, [](Columns& c, AttemptId attempt) { c.id(attempt.value()); });
    }
    void addSteps(const Rows& rows);
    void addBuildResults(const Rows& rows);
    void addSideRows(const Rows& rows);
    void addNotifications(const Rows& rows)
    {
        add(rows.notifications, sql::kNotify, {Text, Text}, [](Columns& c, const Notification& notification) {
            c.text(notification.channel);
            c.text(notification.payload);
        });
    }
    [[nodiscard]] std::vector<Request> take() { return std::move(m_requests); }

private:
    std::vector<Request> m_requests;
};

void Writing::addSteps(const Rows& rows)
{
    std::vector<StepRow> plain;
    std::vector<StepRow> resolved;
    for (const StepRow& row : rows.steps)
        (row.resolved ? resolved : plain).push_back(row);
    add(resolved, sql::kInsertResolvedSteps, {Int32, Int32, Text, Int32, Int32, Text, Text},
        [](Columns& c, const StepRow& row) {
            c.int32(row.build);
            c.int32(row.stepnr);
            c.text(row.drvPath);
            optional(c, row.start);
            optional(c, row.stop);
            c.text(row.system);
            optional(c, row.resolved);
        });
    add(plain, sql::kInsertSteps,
        {Int32, Int32, Text, Int32, Int32, Text, Int32, Int32, Text, Text, Int32, Int32, Int32, Boolean},
        [](Columns& c, const StepRow& row) {
            c.int32(row.build);
            c.int32(row.stepnr);
            c.text(row.drvPath);
            c.int32(row.busy);
            row.status ? c.int32(numberOf(*row.status)) : c.null();
            optional(c, row.error);
            optional(c, row.start);
            optional(c, row.stop);
            c.text(row.machine);
            c.text(row.system);
            optional(c, row.propagatedFrom);
            effort(c, row.effort);
        });
    const auto fillOutput = [](Columns& c, const StepOutputRow& row) {
        c.int32(row.build);
        c.int32(row.stepnr);
        c.text(row.name);
        textOrNull(c, row.path);
    };
    add(rows.stepOutputs, sql::kInsertStepOutputs, {Int32, Int32, Text, Text}, fillOutput);
    addAttempts(rows.running, sql::kSetConnecting);
    add(rows.stepEnds, sql::kEndSteps, {Int32, Int32, Int32, Text, Int32, Int32, Int32, Int32, Boolean},
        [](Columns& c, const StepEnd& row) {
            c.int32(row.build);
            c.int32(row.stepnr);
            c.int32(numberOf(row.status));
            optional(c, row.error);
            optional(c, row.start);
            c.int32(row.stop);
            effort(c, row.effort);
        });
    add(rows.stepPaths, sql::kSetStepPaths, {Int32, Int32, Text, Text}, fillOutput);
    add(rows.failedPaths, sql::kInsertFailedPaths, {Text}, [](Columns& c, const std::string& path) { c.text(path); });
}

void Writing::addBuildResults(const Rows& rows)
{
    add(rows.outputPaths, sql::kSetOutputPaths, {Int32, Text, Text}, [](Columns& c, const OutputPathRow& row) {
        c.int32(row.build);
        c.text(row.name);
        c.text(row.path);
    });
    addBuilds(rows.built, sql::kDropProducts);
    add(rows.products, sql::kInsertProducts, {Int32, Int32, Text, Text, Int64, Text, Text, Text, Text},
        [](Columns& c, const ProductRow& row) {
            c.int32(row.build);
            c.int32(row.number);
            c.text(row.type);
            c.text(row.subtype);
            c.optional(row.size);
            optional(c, row.sha256);
            c.text(row.path);
            c.text(row.name);
            c.text(row.defaultPath);
        });
    addBuilds(rows.built, sql::kDropMetrics);
    add(rows.metrics, sql::kInsertMetrics, {Int32, Text, Text, Float64},
        [](Columns& c, const MetricRow& row) {
            c.int32(row.build);
            c.text(row.name);
            textOrNull(c, row.unit);
            c.float64(row.value);
        });
    // Last of Hydra's rows: from here to the commit the one row of nrbuilds is held.
    add(rows.buildEnds, sql::kEndBuilds, {Int32, Int32, Int32, Int32, Boolean, Boolean, Int64, Int64, Text},
        [](Columns& c, const BuildEnd& row) {
            c.int32(row.build);
            c.int32(numberOf(row.status));
            c.int32(row.start);
            c.int32(row.stop);
            c.boolean(row.isCached);
            c.boolean(row.isPending);
            c.optional(row.size);
            c.optional(row.closureSize);
            optional(c, row.releaseName);
        });
}

void Writing::addSideRows(const Rows& rows)
{
    if (rows.newest) {
        Request raise{&sql::kRaiseNewest};
        raise.parameters.int64(static_cast<std::int64_t>(rows.newest->value()));
        m_requests.push_back(std::move(raise));
    }
    add(rows.places, sql::kInsertPlaces, {Int64, Int64, Int32, Int32}, [](Columns& c, const AttemptPlace& place) {
        c.id(place.attempt.value());
        c.id(place.step.value());
        c.int32(place.build);
        c.int32(place.stepnr);
    });
    addAttempts(rows.overAttempts, sql::kDropPlaces);
    addAttempts(rows.deferredAttempts, sql::kDeferPlaces);
    addBuilds(rows.startedBuilds, sql::kSetStarted);
    addBuilds(rows.overBuilds, sql::kDropBuilds);
    add(rows.deferredBuilds, sql::kDeferBuilds, {Int32, Int32}, [](Columns& c, const DeferredBuild& row) {
        c.int32(row.build);
        optional(c, row.accounted);
    });
}

} // namespace

std::vector<Request> requestsOf(const Rows& rows)
{
    Writing writing;
    writing.addSteps(rows);
    writing.addSideRows(rows);
    writing.addBuildResults(rows);
    writing.addNotifications(rows);
    return writing.take();
}

} // namespace penstock::hydra
