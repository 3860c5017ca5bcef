// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/projection_read.h"

#include "server/hydra/projection_sql.h"
#include "server/hydra/side_tables.h"
#include "server/store/postgres/codec.h"
#include "server/store/postgres/row_reader.h"

#include <algorithm>
#include <limits>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <variant>

namespace penstock::hydra {
namespace {

using store::postgres::ArrayColumn;
using store::postgres::Connection;
using store::postgres::Inputs;
using store::postgres::Parameters;
using store::postgres::Request;
using store::postgres::RowReader;
using store::postgres::Rows;

template <class Ids> std::string columnOf(const Ids& ids)
{
    ArrayColumn column(ArrayColumn::Element::Int64);
    for (const auto id : ids)
        column.int64(static_cast<std::int64_t>(id.value()));
    return column.take();
}

Request requestOf(const sql::Statement& statement, std::initializer_list<std::string> columns)
{
    Request request{&statement};
    for (const std::string& column : columns)
        request.parameters.bytes(column);
    return request;
}

Request fillJobs(const std::vector<NewJob>& jobs)
{
    ArrayColumn builds(ArrayColumn::Element::Int32);
    ArrayColumn ids(ArrayColumn::Element::Int64);
    ArrayColumn roots(ArrayColumn::Element::Int64);
    for (const NewJob& job : jobs) {
        builds.int32(job.build);
        ids.int64(static_cast<std::int64_t>(job.job.value()));
        roots.int64(static_cast<std::int64_t>(job.root.value()));
    }
    return requestOf(sql::kFillJobs, {builds.take(), ids.take(), roots.take()});
}

// Each row of an answer to `read`, whose errors name `what`.
template <class Read> Result<void> forEach(const Rows& rows, const char* what, Read read)
{
    for (int index = 0; index < rows.count(); ++index) {
        RowReader row(rows, index);
        read(row);
        PENSTOCK_TRY_VOID(row.finish(what));
    }
    return {};
}

std::optional<std::int32_t> optionalInt32(RowReader& row)
{
    const std::optional<std::int64_t> value = row.optionalInt64();
    return value ? std::optional(static_cast<std::int32_t>(*value)) : std::nullopt;
}

// The answers in the order of requestsFor().
class FactReader {
public:
    FactReader(const Happened& happened, WallTime now) : m_happened(happened) { m_facts.now = now; }

    [[nodiscard]] std::vector<Request> requests() const
    {
        const std::string ended = columnOf(m_happened.ended);
        const std::string jobs = columnOf(m_happened.jobsOver);
        std::vector<AttemptId> both = m_happened.started;
        both.insert(both.end(), m_happened.ended.begin(), m_happened.ended.end());
        const std::string attempts = columnOf(both);
        std::vector<Request> all{{&sql::kLimitWaiting}};
        if (!m_happened.newJobs.empty())
            all.push_back(fillJobs(m_happened.newJobs));
        all.push_back(requestOf(sql::kHoldCandidates, {attempts}));
        all.push_back(requestOf(sql::kReadCandidates, {attempts}));
        all.push_back(requestOf(sql::kHoldRows, {ended}));
        all.push_back(requestOf(sql::kReadRows, {ended}));
        all.push_back(requestOf(sql::kHoldOrigins, {ended, jobs}));
        all.push_back(requestOf(sql::kHoldBuilds, {jobs}));
        all.push_back(requestOf(sql::kReadBuilds, {jobs}));
        all.push_back(requestOf(sql::kReadSteps, {attempts, jobs}));
        all.push_back(requestOf(sql::kReadAttempts, {attempts, jobs}));
        return all;
    }

    [[nodiscard]] Result<Facts> read(const std::vector<Rows>& answers)
    {
        const Rows* at = &answers.back() - 8;
        m_facts.running = m_happened.running;
        PENSTOCK_TRY_VOID(readStarts(at[0], at[1]));
        PENSTOCK_TRY_VOID(readEnded(at[2], at[3]));
        PENSTOCK_TRY_VOID(readHeld(at[4]));
        PENSTOCK_TRY_VOID(readBuilds(at[5], at[6]));
        PENSTOCK_TRY_VOID(readSteps(at[7]));
        PENSTOCK_TRY_VOID(readAttempts(at[8]));
        return std::move(m_facts);
    }

private:
    Result<void> readHeld(const Rows& rows)
    {
        return forEach(rows, "build", [this](RowReader& row) {
            const BuildId build = row.int32();
            m_facts.origins.insert_or_assign(build, row.int64() != 0);
        });
    }

    Result<void> readStarts(const Rows& held, const Rows& rows)
    {
        PENSTOCK_TRY_VOID(readHeld(held));
        std::map<AttemptId, std::vector<Candidate>> starts;
        PENSTOCK_TRY_VOID(forEach(rows, "candidate", [&](RowReader& row) {
            std::vector<Candidate>& candidates = starts[AttemptId(row.uint64())];
            const std::optional<std::int32_t> build = optionalInt32(row);
            Candidate candidate;
            candidate.build = build.value_or(0);
            candidate.isOfJob = row.boolean();
            candidate.isOwn = row.boolean();
            candidate.started = row.boolean();
            const bool isThere = row.boolean();
            candidate.lastStep = row.int32();
            candidate.isHeld = m_facts.origins.contains(candidate.build);
            if (build && (isThere || candidate.isHeld))
                candidates.push_back(candidate);
        }));
        for (auto& [attempt, candidates] : starts) {
            std::ranges::sort(candidates, {}, &Candidate::build);
            m_facts.starts.push_back({attempt, std::move(candidates)});
        }
        return {};
    }

    Result<void> readEnded(const Rows& held, const Rows& rows)
    {
        std::unordered_set<AttemptId> ours; // only looked up
        PENSTOCK_TRY_VOID(forEach(held, "step row", [&](RowReader& row) { ours.insert(AttemptId(row.uint64())); }));
        PENSTOCK_TRY_VOID(forEach(rows, "step row", [&](RowReader& row) {
            OpenRow open{AttemptId(row.uint64())};
            open.build = row.int32();
            open.stepnr = row.int32();
            open.drvPath = row.text();
            using enum OpenRow::Hold;
            open.hold = ours.contains(open.attempt) ? Ours : !open.drvPath.empty() ? Others : Gone;
            m_facts.ended.push_back(std::move(open));
        }));
        std::ranges::sort(m_facts.ended, {}, &OpenRow::attempt);
        return {};
    }

    Result<void> readBuilds(const Rows& held, const Rows& rows)
    {
        std::unordered_set<BuildId> ours; // only looked up
        PENSTOCK_TRY_VOID(forEach(held, "build", [&](RowReader& row) { ours.insert(row.int32()); }));
        PENSTOCK_TRY_VOID(forEach(rows, "build", [&](RowReader& row) {
            BuildFacts build;
            build.build = row.int32();
            build.root = StepId(row.uint64());
            build.drvPath = row.text();
            build.started = row.boolean();
            build.accounted = optionalInt32(row);
            build.state = row.word(work::parseJobState);
            build.jobCreated = row.time();
            build.jobError = row.text();
            const bool isOpen = row.boolean();
            build.formerStatus = optionalInt32(row);
            build.formerStop = optionalInt32(row);
            build.lastStep = row.int32();
            using enum BuildFacts::Hold;
            build.hold = ours.contains(build.build) ? Ours : isOpen ? Others : Gone;
            // Reopened meanwhile, by a person: it goes on.
            if (work::isFinished(build.state))
                m_facts.builds.push_back(std::move(build));
        }));
        std::ranges::sort(m_facts.builds, {}, &BuildFacts::build);
        return {};
    }

    Result<void> readSteps(const Rows& rows)
    {
        return forEach(rows, "step", [this](RowReader& row) {
            const StepId id(row.uint64());
            StepFacts step;
            auto stored = row.decoded(store::postgres::decodeSpec(row.bytes(), {}, Inputs::Skipped));
            step.result = row.optionalWord(work::parseStepResult);
            step.error = row.text();
            if (const auto failed = row.optionalUint64())
                step.failedDependency = StepId(*failed);
            if (const auto newest = row.optionalUint64())
                step.newest = AttemptId(*newest);
            const work::Work* work = stored.spec.work.get();
            const auto* nix = work == nullptr ? nullptr : std::get_if<work::NixWork>(work);
            if (nix == nullptr)
                return; // a command: no derivation, no row
            step.drvPath = nix->drvPath;
            step.outputs = nix->outputs;
            step.system = std::move(stored.spec.placement.system);
            step.features = std::move(stored.spec.placement.features);
            m_facts.steps.insert_or_assign(id, std::move(step));
        });
    }

    Result<void> readAttempts(const Rows& rows)
    {
        return forEach(rows, "attempt", [this](RowReader& row) {
            const AttemptId id(row.uint64());
            AttemptFacts attempt;
            attempt.step = StepId(row.uint64());
            attempt.machine = row.text();
            attempt.created = row.time();
            work::AttemptProgress& progress = attempt.progress;
            progress.state = row.word(work::parseAttemptState);
            progress.end = row.optionalWord(work::parseAttemptEnd);
            progress.started = row.optionalTime();
            progress.stopped = row.optionalTime();
            progress.error = row.text();
            progress.logBytes = row.uint64();
            progress.outputs = row.decoded(store::postgres::decodeOutputs(row.bytes()));
            progress.results = row.decoded(store::postgres::decodeResults(row.bytes()));
            attempt.number = row.uint32();
            m_facts.attempts.insert_or_assign(id, std::move(attempt));
        });
    }

    const Happened& m_happened;
    Facts m_facts;
};

// Whoever holds a row is either writing a phase, which is over at once, or removing the build.
Result<void> waitForRows(Connection& connection, Facts& facts)
{
    std::vector<AttemptId> missing;
    for (const OpenRow& row : facts.ended)
        if (row.hold == OpenRow::Hold::Others)
            missing.push_back(row.attempt);
    if (missing.empty())
        return {};
    const std::vector<Request> requests{{&sql::kSetMark}, {&sql::kLimitShortly},
                                        requestOf(sql::kWaitForRows, {columnOf(missing)}), {&sql::kLimitWaiting}};
    auto answers = connection.runAll(requests);
    if (!answers) {
        if (!connection.isUsable())
            return fail(answers.error());
        return connection.runScript(sql::kUndoToMark.sql);
    }
    std::unordered_set<AttemptId> ours; // only looked up
    PENSTOCK_TRY_VOID(
        forEach((*answers)[2], "step row", [&](RowReader& row) { ours.insert(AttemptId(row.uint64())); }));
    for (OpenRow& row : facts.ended)
        if (row.hold == OpenRow::Hold::Others)
            row.hold = ours.contains(row.attempt) ? OpenRow::Hold::Ours : OpenRow::Hold::Gone;
    return {};
}

} // namespace

Happened happenedIn(const work::Changes& changes)
{
    Happened happened;
    std::unordered_map<JobId, BuildId> builds; // only looked up
    const auto lookAt = [&happened](JobId id, const work::JobProgress& progress) {
        if (work::isFinished(progress.state))
            happened.jobsOver.push_back(id);
    };
    const auto follow = [&happened](AttemptId id, const work::AttemptProgress& progress) {
        if (progress.state == work::AttemptState::Ended)
            happened.ended.push_back(id);
        else if (progress.state == work::AttemptState::Running)
            happened.running.push_back(id);
    };
    for (const work::JobRow& job : changes.newJobs) {
        if (job.spec.nameSpace == kNameSpace && job.spec.sourceId != 0 &&
            job.spec.sourceId <= static_cast<std::uint64_t>(std::numeric_limits<BuildId>::max()))
            builds.emplace(job.id, static_cast<BuildId>(job.spec.sourceId));
        lookAt(job.id, job.progress);
    }
    for (const work::JobStepRow& entry : changes.jobSteps)
        if (entry.root)
            if (const auto found = builds.find(entry.job); found != builds.end())
                happened.newJobs.push_back({found->second, entry.job, entry.step});
    for (const work::JobUpdate& job : changes.jobs)
        lookAt(job.id, job.progress);
    for (const work::AttemptRow& attempt : changes.newAttempts)
        happened.started.push_back(attempt.id); // its row tells what became of it since
    for (const work::AttemptUpdate& attempt : changes.attempts)
        follow(attempt.id, attempt.progress);
    return happened;
}

Result<Revealed> readRevealed(Connection& connection, const std::vector<StepId>& steps)
{
    Revealed revealed;
    PENSTOCK_TRY(const Rows rows,
                 connection.run(sql::kReadRevealed, requestOf(sql::kReadRevealed, {columnOf(steps)}).parameters));
    PENSTOCK_TRY_VOID(forEach(rows, "revealed output", [&revealed](RowReader& row) {
        const StepId step(row.uint64());
        const auto stored = row.decoded(store::postgres::decodeSpec(row.bytes(), {}, Inputs::Skipped));
        RevealedOutputs input;
        input.outputs = row.decoded(store::postgres::decodeOutputs(row.bytes()));
        const work::Work* work = stored.spec.work.get();
        if (const auto* nix = work == nullptr ? nullptr : std::get_if<work::NixWork>(work)) {
            input.drvPath = nix->drvPath;
            revealed[step].push_back(std::move(input));
        }
    }));
    return revealed;
}

Result<Facts> readFacts(Connection& connection, const Happened& happened, WallTime now)
{
    FactReader reader(happened, now);
    PENSTOCK_TRY(const std::vector<Rows> answers, connection.runAll(reader.requests()));
    PENSTOCK_TRY(Facts facts, reader.read(answers));
    PENSTOCK_TRY_VOID(waitForRows(connection, facts));
    return facts;
}

} // namespace penstock::hydra
