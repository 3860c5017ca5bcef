// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/row_writer.h"

#include "server/store/postgres/codec.h"
#include "server/store/postgres/sql.h"

#include <map>
#include <optional>
#include <span>
#include <utility>

namespace penstock::store::postgres {
namespace {

constexpr std::size_t kMaxSliceRows = 20'000;
constexpr std::size_t kMaxSliceBytes = 16 * 1024 * 1024; // passed by one row at most

using enum ArrayColumn::Element;

// The columns of one statement. Values are added row by row, left to right.
class Columns {
public:
    explicit Columns(std::initializer_list<ArrayColumn::Element> elements)
    {
        m_columns.reserve(elements.size());
        for (const auto element : elements)
            m_columns.emplace_back(element);
    }
    void id(std::uint64_t value) { next(8).int64(static_cast<std::int64_t>(value)); }
    void int64(std::int64_t value) { next(8).int64(value); }
    void uint64(std::uint64_t value) { next(8).int64(static_cast<std::int64_t>(value)); }
    void int32(std::int32_t value) { next(4).int32(value); }
    void uint32(std::uint32_t value) { next(4).int32(static_cast<std::int32_t>(value)); }
    void boolean(bool value) { next(1).boolean(value); }
    void text(std::string_view value) { next(value.size()).text(value); }
    void bytes(std::string_view value) { next(value.size()).bytes(value); }
    void null() { next(0).null(); }
    void time(WallTime value) { int64(value.micros()); }
    void time(const std::optional<WallTime>& value)
    {
        if (value)
            time(*value);
        else
            null();
    }
    template <class Enum> void word(Enum value) { text(toString(value)); }
    template <class Enum> void optionalWord(const std::optional<Enum>& value)
    {
        if (value)
            word(*value);
        else
            null();
    }
    [[nodiscard]] std::size_t size() const { return m_size; }
    [[nodiscard]] Parameters take()
    {
        Parameters parameters;
        for (ArrayColumn& column : m_columns)
            parameters.bytes(column.take());
        return parameters;
    }

private:
    ArrayColumn& next(std::size_t bytes)
    {
        m_size += bytes + 4;
        ArrayColumn& column = m_columns[m_next];
        m_next = (m_next + 1) % m_columns.size();
        return column;
    }
    std::vector<ArrayColumn> m_columns;
    std::size_t m_next = 0;
    std::size_t m_size = 0;
};

template <class Row, class Fill>
void slice(std::vector<Write>& writes, const std::vector<Row>& rows, const Statement& statement, const char* what,
           std::pair<Write::Expect, std::initializer_list<ArrayColumn::Element>> shape, Fill fill)
{
    for (std::size_t at = 0; at < rows.size();) {
        Columns columns(shape.second);
        std::uint64_t count = 0;
        for (; at < rows.size() && count < kMaxSliceRows && columns.size() < kMaxSliceBytes; ++at, ++count)
            fill(columns, rows[at]);
        writes.push_back({{&statement, columns.take()}, count, what, shape.first});
    }
}

void fill(Columns& c, const work::JobProgress& p)
{
    c.time(p.started);
    c.time(p.finished);
    c.int32(p.exitCode);
    c.int32(p.signal);
    c.word(p.state);
    c.optionalWord(p.result);
    c.text(p.error);
}

void fill(Columns& c, const work::StepProgress& p)
{
    c.time(p.readySince);
    c.time(p.retryAt);
    c.time(p.finished);
    if (p.failedDependency)
        c.id(p.failedDependency->value());
    else
        c.null();
    c.uint32(p.attempts);
    c.uint32(p.failures);
    c.uint32(p.infrastructureFailures);
    c.word(p.state);
    c.optionalWord(p.result);
    c.bytes(encodeAvoid(p.avoid));
    c.text(p.error);
}

void fill(Columns& c, const work::AttemptProgress& p)
{
    c.time(p.started);
    c.time(p.stopped);
    c.int64(p.cpuUser.count());
    c.int64(p.cpuSystem.count());
    c.uint64(p.maxRssBytes);
    c.uint64(p.logBytes);
    c.int32(p.exitCode);
    c.int32(p.signal);
    c.boolean(p.coreDumped);
    c.boolean(p.logTruncated);
    c.word(p.state);
    c.optionalWord(p.end);
    c.text(p.error);
    c.bytes(encodeOutputs(p.outputs));
}

void insertJob(Columns& c, const work::JobRow& row)
{
    c.id(row.id.value());
    c.time(row.created);
    c.int32(row.spec.priority);
    c.uint32(row.stepsTotal);
    fill(c, row.progress);
    c.text(row.spec.name);
    c.text(row.spec.user);
    c.text(row.spec.nameSpace);
    c.text(row.spec.shareGroup);
    c.text(row.spec.key);
    c.text(row.spec.definition);
}

void insertStep(Columns& c, const work::StepRow& row)
{
    c.id(row.id.value());
    c.time(row.created);
    fill(c, row.progress);
    c.text(row.spec.name);
    c.bytes(encodeSpec(row.spec));
    if (const auto* nix = std::get_if<work::NixWork>(row.spec.work.get()))
        c.bytes(nix->drv);
    else
        c.null();
}

void insertAttempt(Columns& c, const work::AttemptRow& row)
{
    c.id(row.id.value());
    c.id(row.step.value());
    c.id(row.job.value());
    c.id(row.machine.value());
    c.uint32(row.number);
    c.time(row.created);
    fill(c, row.progress);
}

void writeMachine(Columns& c, const work::MachineRow& row)
{
    c.id(row.id.value());
    c.text(row.identity);
    c.text(row.credential);
    c.text(row.name);
    c.boolean(row.drained);
    c.text(row.drainNote);
    c.time(row.firstSeen);
    c.time(row.lastSeen);
}

} // namespace

std::vector<Write> insertsOf(const work::Changes& changes)
{
    using enum Write::Expect;
    std::vector<Write> writes;
    slice(writes, changes.machines, sql::kWriteMachines, "machine",
          {All, {Int64, Text, Text, Text, Boolean, Text, Int64, Int64}}, writeMachine);
    slice(writes, changes.newJobs, sql::kInsertJobs, "job",
          {Any,
           {Int64, Int64, Int32, Int32, Int64, Int64, Int32, Int32, Text, Text, Text, Text, Text, Text, Text, Text,
            Text}},
          insertJob);
    slice(writes, changes.newSteps, sql::kInsertSteps, "step",
          {Any,
           {Int64, Int64, Int64, Int64, Int64, Int64, Int32, Int32, Int32, Text, Text, Bytes, Text, Text, Bytes,
            Bytes}},
          insertStep);
    slice(writes, changes.dependencies, sql::kInsertDependencies, "dependency", {Any, {Int64, Int64}},
          [](Columns& c, const work::DependencyRow& row) {
              c.id(row.step.value());
              c.id(row.dependsOn.value());
          });
    slice(writes, changes.jobSteps, sql::kInsertJobSteps, "step of a job", {Any, {Int64, Int64, Boolean}},
          [](Columns& c, const work::JobStepRow& row) {
              c.id(row.job.value());
              c.id(row.step.value());
              c.boolean(row.root);
          });
    slice(writes, changes.newAttempts, sql::kInsertAttempts, "attempt",
          {Any,
           {Int64, Int64, Int64, Int64, Int32, Int64, Int64, Int64, Int64, Int64, Int64, Int64, Int32, Int32,
            Boolean, Boolean, Text, Text, Text, Bytes}},
          insertAttempt);
    return writes;
}

std::vector<Write> updatesOf(const work::Changes& changes)
{
    using enum Write::Expect;
    std::vector<Write> writes;
    slice(writes, changes.steps, sql::kUpdateSteps, "step",
          {All, {Int64, Int64, Int64, Int64, Int64, Int32, Int32, Int32, Text, Text, Bytes, Text}},
          [](Columns& c, const work::StepUpdate& update) {
              c.id(update.id.value());
              fill(c, update.progress);
          });
    slice(writes, changes.attempts, sql::kUpdateAttempts, "attempt",
          {All,
           {Int64, Int64, Int64, Int64, Int64, Int64, Int64, Int32, Int32, Boolean, Boolean, Text, Text, Text, Bytes}},
          [](Columns& c, const work::AttemptUpdate& update) {
              c.id(update.id.value());
              fill(c, update.progress);
          });
    slice(writes, changes.jobs, sql::kUpdateJobs, "job",
          {All, {Int64, Int64, Int64, Int32, Int32, Text, Text, Text}},
          [](Columns& c, const work::JobUpdate& update) {
              c.id(update.id.value());
              fill(c, update.progress);
          });
    return writes;
}

std::vector<Write> keysOf(const work::Changes& changes)
{
    // One statement may not touch a key twice. A key given to two jobs here passes from a finished one to the later.
    std::map<std::pair<std::string_view, std::string_view>, const work::JobRow*> holders;
    std::vector<const work::JobRow*> rows;
    for (const work::JobRow& row : changes.newJobs) {
        if (row.spec.key.empty())
            continue;
        const auto [at, isNew] = holders.emplace(std::pair(std::string_view(row.spec.nameSpace),
                                                           std::string_view(row.spec.key)), &row);
        if (!isNew && isFinished(at->second->progress.state))
            at->second = &row;
        else if (!isNew)
            rows.push_back(&row); // refused by the database, as it must be
    }
    for (const auto& [key, row] : holders)
        rows.push_back(row);
    std::vector<Write> writes;
    slice(writes, rows, sql::kWriteKeys, "idempotency key", {Write::Expect::All, {Int64, Text, Text}},
          [](Columns& c, const work::JobRow* row) {
              c.id(row->id.value());
              c.text(row->spec.nameSpace);
              c.text(row->spec.key);
          });
    return writes;
}

} // namespace penstock::store::postgres
