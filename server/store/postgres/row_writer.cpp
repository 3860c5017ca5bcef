// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/row_writer.h"

#include "server/store/postgres/codec.h"
#include "server/store/postgres/columns.h"
#include "server/store/postgres/sql.h"

#include <map>
#include <string_view>
#include <utility>

namespace penstock::store::postgres {
namespace {

using enum ArrayColumn::Element;

void fill(Columns& c, const work::JobProgress& p)
{
    c.time(p.started);
    c.time(p.finished);
    c.int32(p.exitCode);
    c.int32(p.signal);
    c.word(p.state);
    c.optionalWord(p.result);
    c.text(p.error);
    c.time(p.bumped);
    c.boolean(p.held);
    c.text(p.holdNote);
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
    c.uint32(p.losses);
    c.word(p.state);
    c.optionalWord(p.result);
    c.bytes(encodeAvoid(p.avoid));
    c.text(p.error);
    c.bytes(encodeOutputs(p.revealed));
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
    c.bytes(encodeResults(p.results));
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
    c.bytes(encodeJobSpec(row.spec));
}

void insertStep(Columns& c, const work::StepRow& row)
{
    c.id(row.id.value());
    c.time(row.created);
    fill(c, row.progress);
    c.text(row.spec.name);
    c.bytes(encodeSpec(row.spec));
    if (const auto* nix = std::get_if<work::NixWork>(row.spec.work.get()); nix != nullptr && !nix->drv.empty())
        c.bytes(nix->drv);
    else
        c.null();
}

std::size_t weightOf(const work::StepRow& row)
{
    constexpr std::size_t kPerRow = 400;
    std::size_t weight = kPerRow;
    if (const auto* nix = std::get_if<work::NixWork>(row.spec.work.get())) {
        weight += nix->drv.size();
        for (const std::string& path : nix->inputPaths)
            weight += path.size();
    } else if (const auto* command = std::get_if<work::CommandWork>(row.spec.work.get())) {
        for (const std::string& word : command->argv)
            weight += word.size();
        for (const auto& [name, value] : command->env)
            weight += name.size() + value.size();
    }
    return weight;
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

} // namespace

std::vector<Write> insertsOf(const work::Changes& changes)
{
    using enum Write::Expect;
    std::vector<Write> writes;
    slice(writes, changes.newJobs, sql::kInsertJobs, "job",
          {Any,
           {Int64, Int64, Int32, Int32, Int64, Int64, Int32, Int32, Text, Text, Text, Int64, Boolean, Text, Text,
            Text, Text, Text, Text, Text, Bytes}},
          insertJob);
    sliceLate(writes, changes.newSteps, sql::kInsertSteps, "step",
              {Any,
               {Int64, Int64, Int64, Int64, Int64, Int64, Int32, Int32, Int32, Int32, Text, Text, Bytes, Text, Bytes,
                Text, Bytes, Bytes}},
              std::pair(&insertStep, &weightOf));
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
            Boolean, Boolean, Text, Text, Text, Bytes, Bytes}},
          insertAttempt);
    return writes;
}

std::vector<Write> updatesOf(const work::Changes& changes)
{
    using enum Write::Expect;
    std::vector<Write> writes;
    slice(writes, changes.steps, sql::kUpdateSteps, "step",
          {All, {Int64, Int64, Int64, Int64, Int64, Int32, Int32, Int32, Int32, Text, Text, Bytes, Text, Bytes}},
          [](Columns& c, const work::StepUpdate& update) {
              c.id(update.id.value());
              fill(c, update.progress);
          });
    slice(writes, changes.attempts, sql::kUpdateAttempts, "attempt",
          {All,
           {Int64, Int64, Int64, Int64, Int64, Int64, Int64, Int32, Int32, Boolean, Boolean, Text, Text, Text, Bytes,
            Bytes}},
          [](Columns& c, const work::AttemptUpdate& update) {
              c.id(update.id.value());
              fill(c, update.progress);
          });
    slice(writes, changes.jobs, sql::kUpdateJobs, "job",
          {All, {Int64, Int64, Int64, Int32, Int32, Text, Text, Text, Int64, Boolean, Text}},
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
