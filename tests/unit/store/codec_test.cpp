// SPDX-License-Identifier: GPL-3.0-or-later
// Values on their way to the database and back: binary forms, texts, arrays, merged batches, SQLSTATEs.
#include "server/store/postgres/codec.h"
#include "server/store/postgres/connection.h"
#include "server/store/postgres/merged_batch.h"
#include "server/store/postgres/parameters.h"
#include "server/store/postgres/row_writer.h"
#include "server/store/postgres/text.h"
#include "tests/support/store_rows.h"

#include <gtest/gtest.h>

namespace penstock::store::postgres {
namespace {

using namespace std::string_literals;

TEST(StoreCodec, ReadsBackEverySpec)
{
    for (const work::StepRow& row : {fullStep(1), commandStep(2), nixStep(3)}) {
        const auto* nix = std::get_if<work::NixWork>(row.spec.work.get());
        auto spec = decodeSpec(encodeSpec(row.spec), nix == nullptr ? std::string() : nix->drv);
        ASSERT_TRUE(spec.has_value()) << spec.error().message;
        work::StepRow again = row;
        again.spec = spec->spec;
        EXPECT_FALSE(spec->formerLimits.has_value());
        again.spec.name = row.spec.name; // a column of its own
        EXPECT_EQ(show(again), show(row));
    }
}

TEST(StoreCodec, PassesOverInputPaths)
{
    work::NixWork nix = std::get<work::NixWork>(*nixStep(1).spec.work);
    ASSERT_FALSE(nix.inputPaths.empty());
    const std::string bytes = encodeSpec(nixStep(1).spec);
    const auto spec = decodeSpec(bytes, "", Inputs::Skipped);
    ASSERT_TRUE(spec.has_value()) << spec.error().message;
    nix.drv.clear();
    nix.inputPaths.clear();
    EXPECT_EQ(std::get<work::NixWork>(*spec->spec.work), nix);
    for (std::size_t size = 0; size < bytes.size(); ++size)
        EXPECT_FALSE(decodeSpec(bytes.substr(0, size), "", Inputs::Skipped).has_value()) << size;
}

TEST(StoreCodec, RefusesEveryTruncationAndSurplus)
{
    const std::string whole = encodeSpec(fullStep(1).spec);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const auto cut = decodeSpec(whole.substr(0, size), "");
        ASSERT_FALSE(cut.has_value()) << size;
        EXPECT_EQ(cut.error().code, ErrorCode::Corrupt);
    }
    EXPECT_FALSE(decodeSpec(whole + "x", "").has_value());
    EXPECT_FALSE(decodeSpec("\x03" + whole.substr(1), "").has_value()); // of a later version
    EXPECT_FALSE(decodeAvoid("\x01\x05\x01").has_value());
    EXPECT_FALSE(decodeOutputs("\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01").has_value());
    EXPECT_FALSE(decodeOutputs("\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF").has_value());
}

TEST(StoreCodec, NeverReadsPastDamage)
{
    const std::string whole = encodeSpec(fullStep(1).spec);
    for (std::size_t at = 0; at < whole.size(); ++at)
        for (const char byte : {'\x00', '\x7F', '\x80', '\xFF'}) {
            std::string damaged = whole;
            damaged[at] = byte;
            const auto spec = decodeSpec(damaged, ""); // any answer, but no harm (seen by the sanitizers)
            EXPECT_TRUE(!spec || spec->spec.work != nullptr);
        }
}

TEST(StoreCodec, ReadsBackWhatAJobStates)
{
    work::JobSpec spec = fullJob(1).spec;
    work::JobSpec again;
    ASSERT_TRUE(decodeJobSpec(encodeJobSpec(spec), again).has_value());
    EXPECT_EQ(again.limits, spec.limits);
    EXPECT_EQ(again.concurrencyGroup, spec.concurrencyGroup);
    EXPECT_EQ(again.concurrencyLimit, spec.concurrencyLimit);
    EXPECT_EQ(again.sourceId, spec.sourceId);
    EXPECT_EQ(encodeJobSpec(work::JobSpec{}), "");
    ASSERT_TRUE(decodeJobSpec("", again = {}).has_value());
    EXPECT_EQ(again.limits, work::Limits{});
    work::JobSpec only; // each alone is enough to be stored
    only.concurrencyLimit = 1;
    EXPECT_NE(encodeJobSpec(only), "");
    only = {};
    only.limits.maxOutputBytes = 1;
    EXPECT_NE(encodeJobSpec(only), "");
    only = {};
    only.sourceId = 1;
    EXPECT_NE(encodeJobSpec(only), "");
    only = {};
    only.limits.repeats = 1;
    EXPECT_NE(encodeJobSpec(only), "");
}

TEST(StoreCodec, ReadsJobSpecsOfFormerVersions)
{
    work::JobSpec spec;
    ASSERT_TRUE(decodeJobSpec("\x01\x05\0\0\x07\x01g\x03"s, spec).has_value());
    EXPECT_EQ(spec.limits.timeout, Duration(5));
    EXPECT_EQ(spec.limits.maxOutputBytes, 7U);
    EXPECT_EQ(spec.concurrencyLimit, 3U);
    ASSERT_TRUE(decodeJobSpec("\x02\x05\0\0\x07\x01g\x03\x09"s, spec = {}).has_value());
    EXPECT_EQ(spec.sourceId, 9U);
    EXPECT_EQ(spec.limits.repeats, 0U);
}

TEST(StoreCodec, RefusesADamagedJobSpec)
{
    const std::string whole = encodeJobSpec(fullJob(1).spec);
    for (std::size_t size = 1; size < whole.size(); ++size) {
        work::JobSpec spec;
        const auto cut = decodeJobSpec(whole.substr(0, size), spec);
        ASSERT_FALSE(cut.has_value()) << size;
        EXPECT_EQ(cut.error().code, ErrorCode::Corrupt);
    }
    work::JobSpec spec;
    EXPECT_FALSE(decodeJobSpec(whole + "x", spec).has_value());
    EXPECT_FALSE(decodeJobSpec("\x04" + whole.substr(1), spec).has_value());
}

TEST(StoreCodec, RefusesEveryCutOfResults)
{
    const work::SharedResults results(fullResults());
    const std::string whole = encodeResults(results);
    const auto back = decodeResults(whole);
    ASSERT_TRUE(back.has_value()) << back.error().message;
    EXPECT_EQ(*back, results);
    for (std::size_t size = 1; size < whole.size(); ++size)
        ASSERT_FALSE(decodeResults(whole.substr(0, size)).has_value()) << size;
    EXPECT_FALSE(decodeResults(whole + "x").has_value());
    EXPECT_FALSE(decodeResults("\x03" + whole.substr(1)).has_value());
    // Not failed, closure 7, no release name, one product of an unknown kind; then one metric that is no number.
    EXPECT_FALSE(decodeResults("\x01\0\x07\0\x01\0\0\0\0\0\0\0\x09\0\0"s).has_value());
    EXPECT_TRUE(decodeResults("\x01\0\x07\0\x01\0\0\0\0\0\0\0\x03\0\0"s).has_value());
    EXPECT_FALSE(decodeResults("\x01\0\x07\0\0\x01\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\0"s).has_value());
    EXPECT_TRUE(decodeResults("\x01\0\x07\0\0\x01\0\0\0"s).has_value());
}

TEST(StoreCodec, ReadsResultsOfAFormerVersion)
{
    const auto former = decodeResults("\x01\x01\x07\x03" "1.0" "\0\0"s);
    ASSERT_TRUE(former.has_value()) << former.error().message;
    EXPECT_TRUE(former->get().failed);
    EXPECT_EQ(former->get().closureSize, 7U);
    EXPECT_EQ(former->get().releaseName, "1.0");
    EXPECT_EQ(former->get().effort, work::BuildEffort{});
    work::BuildResults effort; // of a failure
    effort.effort = {std::chrono::milliseconds(1'500), 2, true};
    EXPECT_EQ(decodeResults(encodeResults(effort))->get(), effort);
}

TEST(StoreCodec, KeepsEmptyListsShort)
{
    EXPECT_EQ(encodeResults({}), "");
    EXPECT_EQ(encodeResults(work::BuildResults{}), "");
    EXPECT_TRUE(decodeResults("")->isEmpty());
    EXPECT_EQ(encodeAvoid({}), "");
    EXPECT_EQ(encodeOutputs({}), "");
    EXPECT_TRUE(decodeAvoid("")->empty());
    EXPECT_TRUE(decodeOutputs("")->empty());
    EXPECT_EQ(*decodeAvoid(encodeAvoid({MachineId(3), MachineId(~0ULL)})),
              (std::vector{MachineId(3), MachineId(~0ULL)}));
}

TEST(ColumnText, KeepsPlainTextReadableAndAnyBytesWhole)
{
    EXPECT_EQ(toColumnText("Grüße"), "Grüße");
    EXPECT_EQ(toColumnText("a\0b"s), "\x01hex:610062");
    EXPECT_EQ(toColumnText("\xFF"), "\x01hex:ff");
    for (const std::string& bytes : {""s, "x"s, "a\0b"s, "\xFF\xFE"s, "\x01hex:zz"s, "\x01hex:"s, "\xED\xA0\x80"s}) {
        const std::string text = toColumnText(bytes);
        EXPECT_EQ(text.find('\0'), std::string::npos);
        EXPECT_EQ(fromColumnText(text).value_or("?"), bytes);
    }
    EXPECT_FALSE(fromColumnText("\x01hex:6").has_value());
    EXPECT_FALSE(fromColumnText("\x01hex:6g").has_value());
}

TEST(ArrayColumn, HasTheBinaryFormatOfAnArray)
{
    ArrayColumn column(ArrayColumn::Element::Int32);
    column.int32(1);
    column.null();
    column.int32(-1);
    EXPECT_EQ(column.take(), "\0\0\0\1\0\0\0\1\0\0\0\x17\0\0\0\3\0\0\0\1"
                             "\0\0\0\4\0\0\0\1\xFF\xFF\xFF\xFF\0\0\0\4\xFF\xFF\xFF\xFF"s);
}

TEST(MergedBatch, WritesTheLastUpdateOnce)
{
    MergedBatch merged;
    work::Changes changes;
    work::StepProgress progress;
    progress.attempts = 1;
    changes.steps = {{StepId(2), progress}, {StepId(1), progress}};
    merged.add(changes, {1, 2, 3, 4});
    progress.attempts = 2;
    changes.steps = {{StepId(2), progress}};
    merged.add(changes, {0, 5, 0, 0});
    merged.finish();
    ASSERT_EQ(merged.changes().steps.size(), 2U);
    EXPECT_EQ(merged.changes().steps[0].id, StepId(1));
    EXPECT_EQ(merged.changes().steps[1].progress.attempts, 2U);
    EXPECT_EQ(merged.marks(), (work::IdMarks{1, 5, 3, 4}));
}

TEST(MergedBatch, WritesTheLastOfEveryUpsertOnce)
{
    MergedBatch merged;
    for (const std::uint32_t number : {1U, 2U, 3U}) {
        work::Changes changes;
        changes.shareGroups = {{"g", number}, {"g2", 1}};
        changes.namespaces = {{"n", number, 0, 0}};
        changes.usage = {{"g", WallTime::fromMicros(0), Duration{number}},
                         {"g", WallTime::fromMicros(300'000'000), Duration{number}},
                         {"00 g", WallTime::fromMicros(30'000'000), Duration{number}}}; // keys that look alike
        changes.history = {fullHistory("h")};
        changes.history[0].runs = number;
        if (number < 3)
            changes.pause = work::DispatchPause{true, std::to_string(number), "", {}};
        merged.add(changes, {});
    }
    merged.finish();
    const work::Changes& changes = merged.changes();
    ASSERT_EQ(changes.shareGroups.size(), 2U);
    EXPECT_EQ(changes.shareGroups[0].shares, 3U);
    ASSERT_EQ(changes.namespaces.size(), 1U);
    EXPECT_EQ(changes.namespaces[0].maxRunningSteps, 3U);
    ASSERT_EQ(changes.usage.size(), 3U);
    EXPECT_EQ(changes.usage[2].used, Duration{3});
    ASSERT_EQ(changes.history.size(), 1U);
    EXPECT_EQ(changes.history[0].runs, 3U);
    EXPECT_EQ(changes.pause.value_or(work::DispatchPause{}).who, "2");
    EXPECT_EQ(merged.rows(), 8U);
}

TEST(MergedBatch, RemovesAMachineOfAnEarlierBatch)
{
    MergedBatch merged;
    work::Changes changes;
    changes.machines = {machineRow(1), machineRow(2), machineRow(3)};
    merged.add(changes, {});
    changes = {};
    changes.removedMachines = {MachineId(1), MachineId(2)};
    merged.add(changes, {});
    merged.add(changes, {});
    changes = {};
    changes.machines = {machineRow(3, "again"), machineRow(2, "back")};
    merged.add(changes, {});
    merged.finish();
    EXPECT_EQ(merged.changes().removedMachines, (std::vector{MachineId(1), MachineId(2)}));
    ASSERT_EQ(merged.changes().machines.size(), 2U);
    EXPECT_EQ(merged.changes().machines[0].name, "back");
    EXPECT_EQ(merged.changes().machines[1].name, "again");
}

TEST(MergedBatch, WritesAnUpdateOfANewRowWithTheRow)
{
    MergedBatch merged;
    merged.add(oneJob(1), {});
    work::Changes changes;
    changes.jobs = {{JobId(1), finishedJob(work::JobState::Failed)}};
    changes.steps = {{StepId(1), finishedStep(work::StepResult::Failed)}};
    merged.add(changes, {});
    merged.finish();
    EXPECT_TRUE(merged.changes().jobs.empty());
    EXPECT_TRUE(merged.changes().steps.empty());
    EXPECT_EQ(merged.changes().newJobs[0].progress.state, work::JobState::Failed);
    EXPECT_EQ(merged.changes().newSteps[0].progress.state, work::StepState::Finished);
    EXPECT_EQ(merged.folded().jobs.size(), 1U);
    EXPECT_EQ(merged.rows(), 3U);
}

TEST(MergedBatch, KeepsTheFirstOfTwoNewRowsAndTheLastOfTwoMachines)
{
    MergedBatch merged;
    work::Changes changes = oneJob(1, "first");
    changes.machines = {machineRow(1, "old")};
    merged.add(changes, {});
    changes = oneJob(1, "second");
    changes.machines = {machineRow(1, "new")};
    merged.add(changes, {});
    merged.finish();
    ASSERT_EQ(merged.changes().newJobs.size(), 1U);
    EXPECT_EQ(merged.changes().newJobs[0].spec.name, "first");
    ASSERT_EQ(merged.changes().machines.size(), 1U);
    EXPECT_EQ(merged.changes().machines[0].name, "new");
}

TEST(RowWriter, SendsNothingOfTheFarmWhenNothingOfItChanged)
{
    EXPECT_TRUE(farmRowsOf(oneJob(1)).empty());
    work::Changes changes;
    changes.shareGroups = {{"a", 1}, {"b", 2}};
    changes.pause = work::DispatchPause{};
    EXPECT_EQ(farmRowsOf(changes).size(), 2U); // one statement for each kind, however many rows
}

TEST(SqlState, TellsWhetherTryingAgainHelps)
{
    for (const char* state : {"08006", "57P01", "57P02", "57P03", "53300", "53100", "40001", "40P01", "23503", "25006",
                              "58030"})
        EXPECT_EQ(codeOfSqlState(state), ErrorCode::Unavailable) << state;
    for (const char* state : {"23505", "23514", "22021", "42P01", "54000", "21000"})
        EXPECT_EQ(codeOfSqlState(state), ErrorCode::Conflict) << state;
    EXPECT_EQ(codeOfSqlState("57014"), ErrorCode::Timeout);
}

} // namespace
} // namespace penstock::store::postgres
