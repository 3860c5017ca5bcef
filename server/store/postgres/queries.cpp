// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/queries.h"

#include "server/store/postgres/row_reader.h"
#include "server/store/postgres/sql.h"

#include <fmt/core.h>
#include <map>

namespace penstock::store::postgres {
namespace {

template <class Tag> std::optional<std::int64_t> number(const std::optional<Id<Tag>>& id)
{
    return id ? std::optional(static_cast<std::int64_t>(id->value())) : std::nullopt;
}

template <class Tag> Parameters only(Id<Tag> id)
{
    Parameters parameters;
    parameters.int64(static_cast<std::int64_t>(id.value()));
    return parameters;
}

template <class Enum> std::optional<std::string_view> wordOf(const std::optional<Enum>& value)
{
    return value ? std::optional(toString(*value)) : std::nullopt;
}

std::optional<std::string_view> unlessEmpty(const std::string& text)
{
    return text.empty() ? std::nullopt : std::optional<std::string_view>(text);
}

JobView readJobView(RowReader& row)
{
    JobView view{readJob(row)};
    view.stepsDone = row.uint32();
    view.stepsRunning = row.uint32();
    view.stepsFailed = row.uint32();
    return view;
}

StepView readStepView(RowReader& row)
{
    StepView view{readStep(row), {}, false, std::nullopt, {}};
    view.root = row.boolean();
    return view;
}

AttemptView readAttemptView(RowReader& row)
{
    AttemptView view{readAttempt(row), {}};
    view.machine = row.text();
    return view;
}

Result<std::vector<JobView>> askJobs(Connection& connection, const JobFilter& filter, std::optional<JobId> only)
{
    Parameters parameters;
    parameters.text(wordOf(filter.state));
    parameters.boolean(filter.openOnly);
    parameters.text(unlessEmpty(filter.nameSpace));
    parameters.text(unlessEmpty(filter.user));
    parameters.text(unlessEmpty(filter.name));
    parameters.int64(number(filter.before));
    parameters.int64(static_cast<std::int64_t>(filter.limit));
    parameters.int64(number(only));
    PENSTOCK_TRY(const Rows rows, connection.runPlanned(sql::kFindJobs, parameters));
    std::vector<JobView> views;
    PENSTOCK_TRY_VOID(readAll(rows, "job", views, readJobView));
    return views;
}

// What belongs to the steps: their dependencies and newest attempts.
Result<void> completeSteps(Connection& connection, std::vector<StepView>& views)
{
    if (views.empty())
        return {};
    std::map<StepId, StepView*> byId;
    ArrayColumn ids(ArrayColumn::Element::Int64);
    for (StepView& view : views) {
        byId.emplace(view.row.id, &view);
        ids.int64(static_cast<std::int64_t>(view.row.id.value()));
    }
    Parameters parameters;
    parameters.bytes(ids.take());
    PENSTOCK_TRY(const Rows needed, connection.runPlanned(sql::kDependenciesOf, parameters));
    std::vector<work::DependencyRow> dependencies;
    PENSTOCK_TRY_VOID(readAll(needed, "dependency", dependencies, readDependency));
    for (const work::DependencyRow& row : dependencies)
        if (const auto found = byId.find(row.step); found != byId.end())
            found->second->dependsOn.push_back(row.dependsOn);
    PENSTOCK_TRY(const Rows tried, connection.runPlanned(sql::kNewestAttemptsOf, parameters));
    std::vector<AttemptView> newest;
    PENSTOCK_TRY_VOID(readAll(tried, "attempt", newest, readAttemptView));
    for (AttemptView& attempt : newest)
        if (const auto found = byId.find(attempt.row.step); found != byId.end()) {
            found->second->machine = std::move(attempt.machine);
            found->second->newest = std::move(attempt.row);
        }
    return {};
}

} // namespace

Result<std::vector<JobView>> findJobs(Connection& connection, const JobFilter& filter)
{
    PENSTOCK_TRY_VOID(checkLimit(filter.limit));
    return askJobs(connection, filter, std::nullopt);
}

Result<JobView> findJob(Connection& connection, JobId id)
{
    JobFilter filter;
    filter.limit = 1;
    PENSTOCK_TRY(std::vector<JobView> views, askJobs(connection, filter, id));
    if (views.empty())
        return fail(ErrorCode::NotFound, fmt::format("no job {}", id.value()));
    return std::move(views.front());
}

Result<std::vector<StepView>> findSteps(Connection& connection, const StepFilter& filter)
{
    PENSTOCK_TRY_VOID(checkLimit(filter.limit));
    Parameters parameters;
    parameters.int64(number(filter.step));
    parameters.text(wordOf(filter.state));
    parameters.int64(number(filter.before));
    parameters.int64(static_cast<std::int64_t>(filter.limit));
    const bool isOpen = filter.state && *filter.state != work::StepState::Finished && !filter.step;
    const Statement* statement = isOpen ? &sql::kFindOpenSteps : &sql::kFindSteps;
    if (filter.job) {
        statement = &sql::kFindStepsOfJob;
        parameters.int64(number(filter.job));
        parameters.boolean(filter.rootsOnly);
    }
    PENSTOCK_TRY(const Rows rows, connection.runPlanned(*statement, parameters));
    std::vector<StepView> views;
    PENSTOCK_TRY_VOID(readAll(rows, "step", views, readStepView));
    PENSTOCK_TRY_VOID(completeSteps(connection, views));
    return views;
}

Result<std::vector<AttemptView>> findAttempts(Connection& connection, const AttemptFilter& filter)
{
    PENSTOCK_TRY_VOID(checkLimit(filter.limit));
    Parameters parameters;
    parameters.int64(number(filter.step));
    parameters.int64(number(filter.attempt));
    parameters.int64(number(filter.after));
    parameters.int64(static_cast<std::int64_t>(filter.limit));
    const Statement* statement = &sql::kFindAttempts;
    if (filter.job) {
        statement = &sql::kFindAttemptsOfJob;
        parameters.int64(number(filter.job));
    }
    PENSTOCK_TRY(const Rows rows, connection.runPlanned(*statement, parameters));
    std::vector<AttemptView> views;
    PENSTOCK_TRY_VOID(readAll(rows, "attempt", views, readAttemptView));
    return views;
}

Result<work::StoredJob> loadJob(Connection& connection, JobId id)
{
    const Parameters parameters = only(id);
    PENSTOCK_TRY(const Rows job, connection.runPlanned(sql::kLoadJob, parameters));
    std::vector<work::JobRow> jobs;
    FormerLimits former;
    PENSTOCK_TRY_VOID(readAll(job, "job", jobs, [&former](RowReader& row) { return readJob(row, &former); }));
    if (jobs.empty())
        return fail(ErrorCode::NotFound, fmt::format("no job {}", id.value()));
    work::StoredJob stored{jobs.front(), {}, {}, {}};
    PENSTOCK_TRY(const Rows steps, connection.runPlanned(sql::kLoadStepsOfJob, parameters));
    PENSTOCK_TRY_VOID(
        readAll(steps, "step", stored.steps, [&former](RowReader& row) { return readStep(row, &former); }));
    PENSTOCK_TRY(const Rows needs, connection.runPlanned(sql::kLoadDependenciesOfJob, parameters));
    PENSTOCK_TRY_VOID(readAll(needs, "dependency", stored.dependencies, readDependency));
    PENSTOCK_TRY(const Rows jobSteps, connection.runPlanned(sql::kLoadJobSteps, parameters));
    PENSTOCK_TRY_VOID(readAll(jobSteps, "step of a job", stored.jobSteps, readJobStep));
    former.give(jobs, stored.jobSteps);
    stored.job = std::move(jobs.front());
    return stored;
}

Result<std::vector<StoredDerivation>> loadDerivations(Connection& connection, const std::vector<StepId>& steps)
{
    PENSTOCK_TRY_VOID(checkAsked(steps));
    ArrayColumn ids(ArrayColumn::Element::Int64);
    for (const StepId step : steps)
        ids.int64(static_cast<std::int64_t>(step.value()));
    Parameters parameters;
    parameters.bytes(ids.take());
    PENSTOCK_TRY(const Rows rows, connection.runPlanned(sql::kLoadDerivations, parameters));
    std::vector<std::optional<StoredDerivation>> read;
    PENSTOCK_TRY_VOID(readAll(rows, "derivation of a step", read, readDerivation));
    std::vector<StoredDerivation> found;
    found.reserve(read.size());
    for (std::optional<StoredDerivation>& derivation : read)
        if (derivation)
            found.push_back(*std::move(derivation));
    return found;
}

// ------------------------------------------------------------------------------------------------------- tokens

Result<TokenRow> findToken(Connection& connection, const std::string& id)
{
    Parameters parameters;
    parameters.text(std::string_view(id));
    PENSTOCK_TRY(const Rows rows, connection.run(sql::kFindToken, parameters));
    std::vector<TokenRow> tokens;
    PENSTOCK_TRY_VOID(readAll(rows, "token", tokens, readToken));
    if (tokens.empty())
        return fail(ErrorCode::NotFound, fmt::format("no token {}", id));
    return std::move(tokens.front());
}

Result<void> addToken(Connection& connection, const TokenRow& token)
{
    Parameters parameters;
    parameters.text(std::string_view(token.id));
    parameters.text(std::string_view(token.hash));
    parameters.text(std::string_view(token.kind));
    parameters.text(std::string_view(token.name));
    parameters.int64(token.created.micros());
    parameters.int64(token.expires ? std::optional(token.expires->micros()) : std::nullopt);
    parameters.boolean(token.revoked);
    PENSTOCK_TRY(const Rows rows, connection.run(sql::kAddToken, parameters));
    if (rows.affected() == 1)
        return {};
    return fail(ErrorCode::Conflict, fmt::format("token {} exists already", token.id));
}

Result<std::vector<TokenRow>> listTokens(Connection& connection)
{
    PENSTOCK_TRY(const Rows rows, connection.run(sql::kListTokens));
    std::vector<TokenRow> tokens;
    PENSTOCK_TRY_VOID(readAll(rows, "token", tokens, readToken));
    return tokens;
}

Result<void> revokeToken(Connection& connection, const std::string& id)
{
    Parameters parameters;
    parameters.text(std::string_view(id));
    PENSTOCK_TRY(const Rows rows, connection.run(sql::kRevokeToken, parameters));
    if (rows.affected() == 0)
        return fail(ErrorCode::NotFound, fmt::format("no token {}", id));
    return {};
}

} // namespace penstock::store::postgres
