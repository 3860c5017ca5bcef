// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/memory_tables.h"

#include <fmt/core.h>

namespace penstock::store {
namespace {

using work::isFinished;

void countFinished(JobView& view, work::StepResult result)
{
    if (work::isGood(result))
        ++view.stepsDone;
    else if (work::isFailure(result))
        ++view.stepsFailed;
}

} // namespace

JobView MemoryTables::viewOf(const work::JobRow& row) const
{
    JobView view{row};
    const auto steps = m_jobSteps.find(row.id);
    if (steps == m_jobSteps.end())
        return view;
    for (const auto& [id, root] : steps->second) {
        const auto step = m_steps.find(id);
        if (step == m_steps.end())
            continue;
        const work::StepProgress& progress = step->second.progress;
        if (progress.state == work::StepState::Running)
            ++view.stepsRunning;
        else if (progress.state == work::StepState::Finished && progress.result)
            countFinished(view, *progress.result);
    }
    return view;
}

std::string MemoryTables::machineName(MachineId id) const
{
    const auto found = m_machines.find(id);
    return found == m_machines.end() ? std::string() : found->second.name;
}

StepView MemoryTables::viewOf(const work::StepRow& row, std::optional<JobId> job) const
{
    StepView view{row, {}, false, std::nullopt, {}};
    if (const auto* nix = std::get_if<work::NixWork>(row.spec.work.get())) {
        work::NixWork shown{nix->drvPath, {}, nix->inputPaths, nix->outputs, nix->platform};
        view.row.spec.work = std::make_shared<const work::Work>(std::move(shown));
    }
    if (const auto found = m_dependencies.find(row.id); found != m_dependencies.end())
        view.dependsOn.assign(found->second.begin(), found->second.end());
    if (job)
        if (const auto steps = m_jobSteps.find(*job); steps != m_jobSteps.end())
            if (const auto found = steps->second.find(row.id); found != steps->second.end())
                view.root = found->second;
    if (const auto found = m_attemptsOfStep.find(row.id); found != m_attemptsOfStep.end()) {
        view.newest = m_attempts.at(*found->second.rbegin());
        view.machine = machineName(view.newest->machine);
    }
    return view;
}

Result<std::vector<JobView>> MemoryTables::findJobs(const JobFilter& filter) const
{
    PENSTOCK_TRY_VOID(checkLimit(filter.limit));
    std::vector<JobView> found;
    for (auto at = filter.before ? m_jobs.lower_bound(*filter.before) : m_jobs.end();
         at != m_jobs.begin() && found.size() < filter.limit;) {
        const work::JobRow& row = (--at)->second;
        const bool matches = (!filter.state || row.progress.state == *filter.state) &&
                             (!filter.openOnly || !isFinished(row.progress.state)) &&
                             (filter.nameSpace.empty() || row.spec.nameSpace == filter.nameSpace) &&
                             (filter.user.empty() || row.spec.user == filter.user) &&
                             (filter.name.empty() || row.spec.name == filter.name);
        if (matches)
            found.push_back(viewOf(row));
    }
    return found;
}

Result<JobView> MemoryTables::findJob(JobId id) const
{
    const auto found = m_jobs.find(id);
    if (found == m_jobs.end())
        return fail(ErrorCode::NotFound, fmt::format("no job {}", id.value()));
    return viewOf(found->second);
}

Result<std::vector<StepView>> MemoryTables::findSteps(const StepFilter& filter) const
{
    PENSTOCK_TRY_VOID(checkLimit(filter.limit));
    std::vector<StepView> found;
    static const std::map<StepId, bool> kNone;
    const auto needed = filter.job ? m_jobSteps.find(*filter.job) : m_jobSteps.end();
    const std::map<StepId, bool>& ofJob = needed == m_jobSteps.end() ? kNone : needed->second;
    for (auto at = filter.before ? m_steps.lower_bound(*filter.before) : m_steps.end();
         at != m_steps.begin() && found.size() < filter.limit;) {
        const work::StepRow& row = (--at)->second;
        const auto asked = ofJob.find(row.id);
        const bool ofIt = asked != ofJob.end() && (!filter.rootsOnly || asked->second);
        if ((!filter.job || ofIt) && (!filter.step || row.id == *filter.step) &&
            (!filter.state || row.progress.state == *filter.state))
            found.push_back(viewOf(row, filter.job));
    }
    return found;
}

Result<std::vector<AttemptView>> MemoryTables::findAttempts(const AttemptFilter& filter) const
{
    PENSTOCK_TRY_VOID(checkLimit(filter.limit));
    std::vector<AttemptView> found;
    const auto needed = filter.job ? m_jobSteps.find(*filter.job) : m_jobSteps.end();
    for (auto at = filter.after ? m_attempts.upper_bound(*filter.after) : m_attempts.begin();
         at != m_attempts.end() && found.size() < filter.limit; ++at) {
        const work::AttemptRow& row = at->second;
        const bool ofJob = !filter.job || (needed != m_jobSteps.end() && needed->second.contains(row.step));
        if (ofJob && (!filter.step || row.step == *filter.step) && (!filter.attempt || row.id == *filter.attempt))
            found.push_back({row, machineName(row.machine)});
    }
    return found;
}

Result<work::StoredJob> MemoryTables::loadJob(JobId id) const
{
    const auto found = m_jobs.find(id);
    if (found == m_jobs.end())
        return fail(ErrorCode::NotFound, fmt::format("no job {}", id.value()));
    work::StoredJob stored{found->second, {}, {}, {}};
    std::set<StepId> needed;
    if (const auto steps = m_jobSteps.find(id); steps != m_jobSteps.end())
        for (const auto& [step, root] : steps->second) {
            stored.jobSteps.push_back({id, step, root});
            needed.insert(step);
        }
    stored.dependencies = dependenciesOf(needed);
    std::erase_if(stored.dependencies, [&](const work::DependencyRow& edge) {
        return !needed.contains(edge.dependsOn) && isGood(edge.dependsOn) && !reveals(edge.dependsOn);
    });
    for (const work::DependencyRow& edge : stored.dependencies) // the paths that those to be opened will ask for
        if (!isGood(edge.step) && isGood(edge.dependsOn))
            needed.insert(edge.dependsOn);
    collectSteps(needed, stored.steps);
    return stored;
}

Result<std::vector<StoredDerivation>> MemoryTables::loadDerivations(const std::vector<StepId>& steps) const
{
    PENSTOCK_TRY_VOID(checkAsked(steps));
    std::vector<StoredDerivation> found;
    for (const StepId id : std::set<StepId>(steps.begin(), steps.end())) {
        const auto step = m_steps.find(id);
        const auto* nix = step == m_steps.end() ? nullptr : std::get_if<work::NixWork>(step->second.spec.work.get());
        if (nix != nullptr)
            found.push_back({id, nix->drv, nix->inputPaths});
    }
    return found;
}

} // namespace penstock::store
