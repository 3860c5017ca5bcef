// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/projection.h"

#include "server/hydra/projection_sql.h"
#include "server/hydra/projection_write.h"
#include "server/hydra/side_tables.h"
#include "server/store/postgres/row_reader.h"

#include <algorithm>
#include <utility>

namespace penstock::hydra {
namespace {

using store::postgres::Connection;
using store::postgres::Parameters;
using store::postgres::Request;
using store::postgres::RowReader;

// Of attempts, and of builds, in one transaction of later(): short, as it holds the one row of nrbuilds.
constexpr std::size_t kDeferredAtOnce = 1'000;

constexpr std::string_view kUnclaimed = "the queue runner was restarted while this step ran";

} // namespace

Projection::Projection(const Options& options, const Clock& clock, Logger& logger, std::optional<Resolver> resolver)
    : m_rules{options.dataDir, options.cacheFailures}, m_resolver(std::move(resolver)), m_clock(clock),
      m_logger(logger)
{
}

Result<void> Projection::begin(Connection& connection)
{
    PENSTOCK_TRY(m_schema, readSchemaVersion(connection));
    PENSTOCK_TRY_VOID(makeSideTables(connection));
    PENSTOCK_TRY_VOID(connection.runScript(sql::kHeal));
    Parameters parameters;
    parameters.int64(secondsOf(m_clock.now().wall).value_or(1));
    parameters.text(kUnclaimed);
    PENSTOCK_TRY(const auto ended, connection.runPlanned(sql::kEndUnclaimed, parameters));
    if (ended.affected() > 0)
        m_logger.warning("hydra.unclaimed_steps_ended", {{"rows", ended.affected()}});
    return m_resolver && m_resolver->tell && m_schema >= kResolvedSchema ? tellResolved(connection) : Result<void>();
}

// Of those that go on over the restart.
Result<void> Projection::tellResolved(Connection& connection)
{
    PENSTOCK_TRY(const auto rows, connection.runPlanned(sql::kLiveResolved, {}));
    for (int index = 0; index < rows.count(); ++index) {
        RowReader row(rows, index);
        const AttemptId attempt(row.uint64());
        const std::string drvPath = row.text();
        PENSTOCK_TRY_VOID(row.finish("row of a resolved derivation"));
        m_resolver->tell(attempt, drvPath);
    }
    return {};
}

Result<Projection::Rest> Projection::write(Connection& connection, const work::Changes& changes)
{
    const Happened happened = happenedIn(changes);
    return happened.isEmpty() ? Result<Rest>(Rest::None) : project(connection, happened);
}

Result<Projection::Rest> Projection::project(Connection& connection, const Happened& happened)
{
    PENSTOCK_TRY(Facts facts, readFacts(connection, happened, m_clock.now().wall));
    if (m_resolver && m_schema >= kResolvedSchema)
        PENSTOCK_TRY_VOID(addResolutions(connection, facts));
    const Rows rows = decide(facts, m_rules);
    const std::vector<Request> requests = requestsOf(rows);
    if (!requests.empty())
        PENSTOCK_TRY_VOID(connection.runAll(requests));
    const auto unplaced = static_cast<std::size_t>(std::ranges::count(rows.places, 0, &AttemptPlace::stepnr));
    const std::size_t waiting = rows.deferredAttempts.size() + rows.deferredBuilds.size() + unplaced;
    if (waiting > 0)
        m_logger.debug("hydra.rows_deferred",
                       {{"steps", rows.deferredAttempts.size() + unplaced}, {"builds", rows.deferredBuilds.size()}});
    return waiting > 0 ? Rest::Waits : Rest::None;
}

// Only those can be others whose own outputs nobody knows before they are built.
Result<void> Projection::addResolutions(Connection& connection, Facts& facts)
{
    std::vector<AttemptId> attempts;
    std::vector<StepId> steps;
    for (const Start& start : facts.starts) {
        const auto attempt = facts.attempts.find(start.attempt);
        const auto step = attempt == facts.attempts.end() ? facts.steps.end() : facts.steps.find(attempt->second.step);
        if (start.candidates.empty() || step == facts.steps.end())
            continue;
        if (std::ranges::any_of(step->second.outputs, [](const auto& output) { return output.path.empty(); })) {
            attempts.push_back(start.attempt);
            steps.push_back(step->first);
        }
    }
    if (steps.empty())
        return {};
    PENSTOCK_TRY(const Revealed revealed, readRevealed(connection, steps));
    for (std::size_t index = 0; index < steps.size(); ++index) {
        const std::string& drvPath = facts.steps.at(steps[index]).drvPath;
        const auto inputs = revealed.find(steps[index]);
        const auto path = resolvedPath(*m_resolver, drvPath,
                                       inputs == revealed.end() ? std::vector<RevealedOutputs>() : inputs->second);
        if (!path) // the builder will say it too; told as it is
            m_logger.warning("hydra.not_resolved", {{"derivation", drvPath}, {"error", path.error().message}});
        else if (*path != drvPath) {
            facts.resolutions.emplace(attempts[index],
                                      Resolution{*path, facts.attempts.at(attempts[index]).number == 1});
            if (m_resolver->tell)
                m_resolver->tell(attempts[index], *path);
        }
    }
    return {};
}

Result<Projection::Rest> Projection::later(Connection& connection)
{
    Round round = std::exchange(m_round, {}); // what fails is begun anew
    PENSTOCK_TRY(const Happened happened, readDeferred(connection, round));
    if (!happened.isEmpty()) {
        PENSTOCK_TRY_VOID(connection.run(sql::kBegin));
        PENSTOCK_TRY(const Rest rest, project(connection, happened));
        PENSTOCK_TRY_VOID(connection.run(sql::kCommit));
        round.waits = round.waits || rest != Rest::None;
    }
    if (round.isThrough)
        return round.waits ? Rest::Waits : Rest::None;
    m_round = round;
    return Rest::More;
}

// The next part. All attempts have their turn before the first build, as these are told after their steps.
Result<Happened> Projection::readDeferred(Connection& connection, Round& round)
{
    const auto limit = static_cast<std::int64_t>(kDeferredAtOnce);
    std::vector<Request> requests{{&sql::kDeferredAttempts}, {&sql::kDeferredBuilds}};
    requests[0].parameters.int64(round.afterAttempt);
    requests[1].parameters.int64(round.afterBuild);
    for (Request& request : requests)
        request.parameters.int64(limit);
    PENSTOCK_TRY(const auto answers, connection.runAll(requests));
    Happened happened;
    for (int index = 0; index < answers[0].count(); ++index) {
        RowReader row(answers[0], index);
        round.afterAttempt = row.int64();
        happened.ended.emplace_back(static_cast<std::uint64_t>(round.afterAttempt));
        PENSTOCK_TRY_VOID(row.finish("deferred attempt"));
    }
    if (answers[0].count() == limit)
        return happened;
    for (int index = 0; index < answers[1].count(); ++index) {
        RowReader row(answers[1], index);
        round.afterBuild = row.int64();
        happened.jobsOver.emplace_back(row.uint64());
        PENSTOCK_TRY_VOID(row.finish("deferred build"));
    }
    round.isThrough = answers[1].count() < limit;
    return happened;
}

} // namespace penstock::hydra
