// SPDX-License-Identifier: GPL-3.0-or-later
// New jobs: checked as a whole first, then inserted, so that a refusal leaves nothing behind.
#include "server/core/detail/farm.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>

namespace penstock::core::detail {

Result<void> Farm::checkSubmission(const SubmitJobs& event) const
{
    const std::uint64_t waiting = m_sequence - m_confirmed;
    if (waiting > m_options.maxUnconfirmed)
        return fail(ErrorCode::Unavailable,
                    fmt::format("the database does not keep up: {} batches wait for it (limit {}){}{}; try again later",
                                waiting, m_options.maxUnconfirmed, m_storeOk ? "" : "; ", m_storeError));
    PENSTOCK_TRY_VOID(checkQuota(event));
    std::uint64_t steps = m_openSteps;
    std::set<std::string> groups;
    std::set<std::string_view> made;
    const bool refers = std::ranges::any_of(event.jobs, [](const JobRequest& job) {
        return std::ranges::any_of(job.steps, &StepRequest::isReference);
    });
    std::set<std::pair<std::string_view, std::string_view>> keys; // of the jobs before
    for (const JobRequest& job : event.jobs) {
        if (job.spec.nameSpace == kOwnNamespace)
            return fail(ErrorCode::Invalid, fmt::format("namespace: {} is the farm's own; choose another for job {}",
                                                        kOwnNamespace, job.spec.name));
        if (job.steps.empty())
            return fail(ErrorCode::Invalid, fmt::format("job {} has no steps; give it at least one", job.spec.name));
        const bool isKnown = !job.spec.key.empty() && (m_keys.contains({job.spec.nameSpace, job.spec.key}) ||
                                                       !keys.insert({job.spec.nameSpace, job.spec.key}).second);
        if (isKnown)
            continue; // it is only answered again
        PENSTOCK_TRY_VOID(checkGroup(job.spec, groups));
        steps += static_cast<std::uint64_t>(std::ranges::count_if(
            job.steps, [](const StepRequest& step) { return !step.cached && !step.isReference; }));
        if (steps > m_options.maxOpenSteps)
            return fail(ErrorCode::Exhausted,
                        fmt::format("{} steps would be open, the limit is {}; wait until some have finished", steps,
                                    m_options.maxOpenSteps));
        PENSTOCK_TRY_VOID(checkRequest(job, refers ? &made : nullptr));
    }
    return {};
}

Result<void> Farm::checkRequest(const JobRequest& job, std::set<std::string_view>* made) const
{
    std::vector<const std::vector<std::uint32_t>*> dependsOn;
    dependsOn.reserve(job.steps.size());
    std::set<std::string_view> keys;
    for (const StepRequest& step : job.steps) {
        dependsOn.push_back(&step.dependsOn);
        const std::string& key = step.spec.sharingKey();
        if (!key.empty() && job.steps.size() > 1 && !keys.insert(key).second)
            return fail(ErrorCode::Invalid, fmt::format("job {} lists {} twice; list each derivation once",
                                                        job.spec.name, key));
        if (!step.isReference)
            continue;
        if (key.empty() || step.cached || !step.dependsOn.empty())
            return fail(ErrorCode::Invalid,
                        fmt::format("job {}: step {} refers to a live step: it must name a derivation and nothing that "
                                    "it depends on, and cannot be cached",
                                    job.spec.name, step.spec.name));
        if (!made->contains(key) && !liveStepFor(key))
            return fail(ErrorCode::Conflict, fmt::format("no live step for {}", key));
    }
    if (job.claims == Claims::Roots && std::ranges::none_of(job.steps, &StepRequest::root))
        return fail(ErrorCode::Invalid, fmt::format("job {} claims only its roots and has none; mark one of its steps "
                                                    "as root",
                                                    job.spec.name));
    for (const StepRequest& step : made == nullptr ? std::span<const StepRequest>() : std::span(job.steps))
        if (!step.cached && !step.isReference && !step.spec.sharingKey().empty())
            made->insert(step.spec.sharingKey());
    if (job.steps.size() == 1 && job.steps.front().dependsOn.empty())
        return {};
    if (auto order = work::topologicalOrder(dependsOn); !order)
        return fail(std::move(order).error().in(fmt::format("job {}", job.spec.name)));
    return {};
}

void Farm::on(SubmitJobs& event)
{
    if (auto checked = checkSubmission(event); !checked)
        return reply(event.request, fail(std::move(checked).error()));
    Submitted submitted;
    submitted.jobs.reserve(event.jobs.size());
    for (JobRequest& job : event.jobs) {
        if (!job.spec.key.empty()) {
            const auto known = m_keys.find({job.spec.nameSpace, job.spec.key});
            if (known != m_keys.end()) {
                submitted.jobs.push_back(known->second);
                continue;
            }
        }
        submitted.jobs.push_back(insertJob(job));
    }
    m_counters.jobsSubmitted += submitted.jobs.size();
    reply(event.request, std::variant<Submitted, Done>(std::move(submitted)));
}

JobId Farm::insertJob(JobRequest& request)
{
    const JobId id(++m_marks.job);
    work::JobRow row{id, std::move(request.spec), m_now.wall, {}, 0};
    row.progress.bumped = request.bumped;
    addJob(row);
    const std::vector<ResolvedStep> resolved = resolveSteps(request);
    connectSteps(request, resolved);
    JobRecord& job = m_jobs.at(id);
    job.steps = claimSteps(id, request, resolved);
    job.steps.shrink_to_fit();
    claimAll(id, job);
    row.stepsTotal = static_cast<std::uint32_t>(job.steps.size());
    m_changes.newJobs.push_back(std::move(row));
    startNewSteps(request, resolved);
    for (const JobStep& step : job.steps)
        m_changes.jobSteps.push_back({id, step.step, step.root});
    countJobSteps(job);
    m_shownJobs.push_back(id);
    if (job.running > 0)
        jobStarted(id);
    if (job.open == 0)
        finishJob(id, job);
    return id;
}

JobRecord& Farm::addJob(const work::JobRow& row)
{
    JobRecord job;
    job.name = row.spec.name;
    job.created = row.created;
    job.priority = row.spec.priority;
    job.setProgress(row.progress);
    job.origin = acquireOrigin(row.spec);
    if (!row.spec.key.empty()) {
        job.key = std::make_unique<std::string>(row.spec.key);
        m_keys.insert_or_assign({row.spec.nameSpace, row.spec.key}, row.id);
    }
    if (job.isOpen()) {
        ++m_openJobs;
        ++m_openByNamespace[row.spec.nameSpace];
        const sched::ShareIndex share = m_originStates[job.origin].share;
        ShareState& state = m_shares.at(share);
        if (state.openJobs++ == 0) {
            m_openGroups.emplace(state.name, share);
            refreshUse(share);
        }
    }
    return m_jobs.insert(row.id, std::move(job));
}

// The step that stands for a derivation now, unless it has ended or is being stopped. One that has succeeded is not
// trusted for ever: its outputs may have been collected since, and a new step costs the builder one look.
std::optional<StepId> Farm::liveStepFor(const std::string& key) const
{
    if (key.empty())
        return std::nullopt;
    const std::optional<StepId> step = m_dag.findShared(key);
    return step && m_dag.outcome(*step) == work::Dag::Outcome::Open ? step : std::nullopt;
}

std::vector<Farm::ResolvedStep> Farm::resolveSteps(JobRequest& request)
{
    std::vector<ResolvedStep> resolved;
    resolved.reserve(request.steps.size());
    for (const StepRequest& step : request.steps) {
        if (step.cached) { // stands for nobody's build
            resolved.push_back({StepId(++m_marks.step), true});
            m_dag.add(resolved.back().step, work::Dag::Outcome::Good, weightOf(step.spec.name));
            continue;
        }
        const std::string& key = step.spec.sharingKey();
        if (const std::optional<StepId> live = liveStepFor(key)) { // as each reference has
            resolved.push_back({*live, false});
            continue;
        }
        const StepId id(++m_marks.step);
        m_dag.add(id, work::Dag::Outcome::Open, weightOf(step.spec.name));
        if (!key.empty())
            m_dag.share(key, id);
        resolved.push_back({id, true});
    }
    return resolved;
}

// A step that lives already keeps its own dependencies.
void Farm::connectSteps(const JobRequest& request, const std::vector<ResolvedStep>& resolved)
{
    std::vector<StepId> below;
    for (std::size_t i = 0; i < resolved.size(); ++i) {
        if (!resolved[i].isNew || request.steps[i].cached || request.steps[i].dependsOn.empty())
            continue;
        below.clear();
        for (const std::uint32_t dependency : request.steps[i].dependsOn)
            below.push_back(resolved[dependency].step);
        std::sort(below.begin(), below.end());
        below.erase(std::unique(below.begin(), below.end()), below.end());
        for (const StepId dependency : below) {
            m_dag.addDependency(resolved[i].step, dependency);
            m_changes.dependencies.push_back({resolved[i].step, dependency});
        }
    }
}

// The job needs the steps it lists and, through steps that lived before, what those still wait for; or only its roots.
JobSteps Farm::claimSteps(JobId job, const JobRequest& request, const std::vector<ResolvedStep>& resolved)
{
    std::map<StepId, bool> roots;
    std::vector<StepId> open;
    for (std::size_t i = 0; i < resolved.size(); ++i) {
        if (request.claims == Claims::Roots && !request.steps[i].root)
            continue;
        bool& root = roots[resolved[i].step];
        root = root || request.steps[i].root;
        if (!resolved[i].isNew && request.claims == Claims::All)
            open.push_back(resolved[i].step);
    }
    while (!open.empty()) {
        const StepId step = open.back();
        open.pop_back();
        if (m_dag.outcome(step) != work::Dag::Outcome::Open)
            continue;
        for (const StepId dependency : m_dag.dependencies(step))
            if (m_dag.outcome(dependency) == work::Dag::Outcome::Open && roots.try_emplace(dependency, false).second)
                open.push_back(dependency);
    }
    JobSteps steps;
    steps.reserve(roots.size());
    for (const auto& [step, root] : roots) {
        m_dag.addUser(step, job);
        steps.push_back({step, root});
    }
    return steps;
}

StepRecord& Farm::addStep(StepId id, const work::StepSpec& spec, WallTime created,
                          const work::StepProgress& progress)
{
    StepRecord record(spec, created, progress);
    if (progress.state != work::StepState::Finished) {
        record.placement = m_planner.placements().acquire(spec.placement);
        record.policy = m_policies.acquire(policyOf(spec));
        m_planner.placements().count(record.placement, progress.state, 1);
        ++m_openSteps;
    }
    return m_steps.insert(id, std::move(record));
}

void Farm::startNewSteps(JobRequest& request, const std::vector<ResolvedStep>& resolved)
{
    // Rows are large, and growing step by step has them twice; but room for just one more job, for each of many jobs,
    // would move those before it each time.
    const auto added = static_cast<std::size_t>(std::ranges::count_if(resolved, &ResolvedStep::isNew));
    if (m_changes.newSteps.size() + added > 2 * m_changes.newSteps.capacity())
        m_changes.newSteps.reserve(m_changes.newSteps.size() + added);
    for (std::size_t i = 0; i < resolved.size(); ++i) {
        if (!resolved[i].isNew)
            continue;
        const StepId id = resolved[i].step;
        work::StepProgress progress;
        if (request.steps[i].cached) {
            progress.state = work::StepState::Finished;
            progress.result = work::StepResult::Cached;
            progress.finished = m_now.wall;
            ++m_counters.stepsFinished;
            ++m_counters.stepsThereAlready;
        } else if (m_dag.waitsFor(id) == 0) {
            progress.state = work::StepState::Ready;
            progress.readySince = m_now.wall;
        }
        StepRecord& record = addStep(id, request.steps[i].spec, m_now.wall, progress);
        m_changes.newSteps.push_back({id, std::move(request.steps[i].spec), m_now.wall, std::move(progress)});
        if (!m_dag.users(id).empty())
            m_shownSteps.push_back(id);
        else if (request.steps[i].cached)
            m_leaving.push_back(id);
        else if (!m_dag.isNeeded(id)) // what would need it lived before, and has dependencies of its own
            m_unneeded.push_back(id);
        enter(id, record);
    }
}

void Farm::countJobSteps(JobRecord& job)
{
    job.open = 0;
    job.done = 0;
    job.running = 0;
    job.failed = 0;
    for (const JobStep& entry : job.steps) {
        const StepRecord* step = m_steps.find(entry.step);
        if (step == nullptr)
            continue;
        if (step->state() != work::StepState::Finished)
            ++job.open;
        else if (step->result())
            job.count(*step->result());
        if (step->state() == work::StepState::Running)
            ++job.running;
    }
}

} // namespace penstock::core::detail
