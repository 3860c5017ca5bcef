// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/detail/decision.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace penstock::hydra::detail {

bool Decision::exists(BuildId build) const
{
    return m_facts.origins.contains(build) ||
           std::ranges::any_of(m_facts.builds, [build](const BuildFacts& facts) {
               return facts.build == build && facts.hold == BuildFacts::Hold::Ours;
           });
}

StepId Decision::originOf(const BuildFacts& build) const
{
    const StepFacts* root = findStep(build.root);
    return root == nullptr ? build.root : root->failedDependency.value_or(build.root);
}

std::optional<BuildId> Decision::accountedOf(const StepFacts& step) const
{
    const auto found = step.newest ? m_accounted.find(*step.newest) : m_accounted.end();
    return found == m_accounted.end() ? std::nullopt : std::optional(found->second);
}

void Decision::endBuilds()
{
    std::map<StepId, std::vector<const BuildFacts*>> failed; // by where it began
    for (const BuildFacts& build : m_facts.builds) {
        const StepFacts* root = findStep(build.root);
        const bool isGood = root != nullptr && root->result ? work::isGood(*root->result)
                                                             : build.state == work::JobState::Succeeded;
        if (build.hold == BuildFacts::Hold::Gone)
            m_rows.overBuilds.push_back(build.build);
        else if (build.state == work::JobState::Cancelled && build.hold == BuildFacts::Hold::Ours)
            cancel(build);
        else if (isGood && build.hold == BuildFacts::Hold::Ours)
            succeed(build, root);
        else if (isGood)
            m_rows.deferredBuilds.push_back(
                {build.build, build.accounted || root == nullptr ? build.accounted : accountedOf(*root)});
        else
            failed[originOf(build)].push_back(&build);
    }
    for (const auto& [origin, builds] : failed)
        failAll(origin, builds);
    std::ranges::sort(m_rows.buildEnds, {}, &BuildEnd::build);
}

// --------------------------------------------------------------------------------------------------------- success

void Decision::succeed(const BuildFacts& build, const StepFacts* root)
{
    const AttemptFacts* attempt = root == nullptr ? nullptr : findAttempt(root->newest);
    if (attempt != nullptr && attempt->progress.state != work::AttemptState::Ended)
        attempt = nullptr;
    const std::optional<BuildId> accounted =
        build.accounted || root == nullptr ? build.accounted : accountedOf(*root);
    const bool isBuilt = attempt != nullptr && attempt->progress.end == work::AttemptEnd::Succeeded &&
                         accounted == build.build;
    const Times times = attempt == nullptr ? nowTimes() : timesOf(*attempt);
    BuildEnd end;
    end.build = build.build;
    end.start = times.start;
    end.stop = times.stop;
    end.isCached = !isBuilt;
    if (attempt != nullptr) {
        const work::BuildResults& results = attempt->progress.results.get();
        std::uint64_t size = 0;
        for (const work::OutputFact& output : attempt->progress.outputs)
            size += output.narSize;
        end.status = results.failed ? Status::FailedOutput : Status::Succeeded;
        if (size > 0)
            end.size = size;
        if (results.closureSize > 0)
            end.closureSize = results.closureSize;
        if (!results.releaseName.empty())
            end.releaseName = shownText(results.releaseName);
        addResults(build, *root, *attempt);
    } else if (root != nullptr) {
        for (const work::NixOutput& output : root->outputs)
            if (!output.path.empty())
                m_rows.outputPaths.push_back({build.build, output.name, output.path});
    }
    m_rows.built.push_back(build.build);
    m_rows.overBuilds.push_back(build.build);
    m_rows.buildEnds.push_back(std::move(end));
    if (isBuilt)
        tellStarted(build.build, build.started);
    notify("build_finished", std::to_string(build.build));
}

void Decision::addResults(const BuildFacts& build, const StepFacts& root, const AttemptFacts& attempt)
{
    std::map<std::string_view, std::string_view> paths;
    for (const work::NixOutput& output : root.outputs)
        if (!output.path.empty())
            paths.insert_or_assign(output.name, output.path);
    for (const work::OutputFact& output : attempt.progress.outputs)
        if (!output.path.empty())
            paths.insert_or_assign(output.name, output.path);
    for (const auto& [name, path] : paths)
        m_rows.outputPaths.push_back({build.build, std::string(name), std::string(path)});

    const work::BuildResults& results = attempt.progress.results.get();
    std::int32_t number = 0;
    for (const work::BuildProduct& product : results.products) {
        const auto output = paths.find(product.output);
        if (output == paths.end())
            continue; // of an output that there is not
        // An output that is a product without being told so is called as the store calls it.
        const bool isOutput = product.path.empty();
        ProductRow row{build.build, ++number, shownText(product.type), shownText(product.subtype), "",
                       isOutput ? shownText(product.name) : productName(product.name),
                       shownText(product.defaultPath), {}, {}};
        row.path = isOutput ? std::string(output->second)
                            : fmt::format("{}/{}", output->second, shownText(product.path));
        if (product.kind == work::ProductKind::File) {
            row.size = product.size;
            row.sha256 = product.sha256;
        }
        m_rows.products.push_back(std::move(row));
    }
    std::map<std::string, const work::BuildMetric*> metrics; // the last of a name counts
    for (const work::BuildMetric& metric : results.metrics)
        if (std::isfinite(metric.value))
            metrics.insert_or_assign(shownText(metric.name), &metric);
    for (const auto& [name, metric] : metrics)
        m_rows.metrics.push_back({build.build, name, shownText(metric->unit), metric->value});
}

// ------------------------------------------------------------------------------------------------------ no success

// By one of our own clients: Hydra's web interface has written the row by now, unless the build was queued again after
// that, which is a new start.
void Decision::cancel(const BuildFacts& build)
{
    m_rows.overBuilds.push_back(build.build);
    const bool wasCancelledThere = build.formerStatus == static_cast<std::int32_t>(Status::Cancelled) &&
                                   build.formerStop >= secondsOf(build.jobCreated);
    if (wasCancelledThere)
        return;
    BuildEnd end;
    end.build = build.build;
    end.status = Status::Cancelled;
    end.start = nowTimes().start;
    end.stop = nowTimes().stop;
    end.isPending = false;
    m_rows.buildEnds.push_back(std::move(end));
}

Decision::Cause Decision::causeOf(StepId origin, const std::vector<const BuildFacts*>& builds) const
{
    Cause cause;
    cause.step = findStep(origin);
    cause.times = nowTimes();
    cause.error = errorTextOf(cause.status, builds.front()->jobError);
    for (const BuildFacts* build : builds)
        if (!cause.accounted)
            cause.accounted = build->accounted;
    if (cause.step == nullptr)
        return cause;
    cause.status = statusOf(cause.step->result.value_or(work::StepResult::Aborted));
    if (cause.status == Status::Unsupported) {
        cause.error = unsupportedText(cause.step->system, cause.step->features);
        const auto own = std::ranges::find(builds, origin, &BuildFacts::root);
        if (!cause.accounted)
            cause.accounted = own == builds.end() ? builds.front()->build : (*own)->build;
        return cause;
    }
    cause.attempt = findAttempt(cause.step->newest);
    if (cause.attempt != nullptr && cause.attempt->progress.state != work::AttemptState::Ended)
        cause.attempt = nullptr;
    if (cause.attempt != nullptr)
        cause.times = timesOf(*cause.attempt);
    if (!cause.accounted)
        cause.accounted = accountedOf(*cause.step);
    cause.error = errorTextOf(cause.status, cause.step->error);
    return cause;
}

// One failure and all builds above it. One notification tells them all.
void Decision::failAll(StepId origin, const std::vector<const BuildFacts*>& builds)
{
    Cause cause = causeOf(origin, builds);
    cause.isAccountedThere = cause.accounted && exists(*cause.accounted);
    std::vector<BuildId> marked;
    for (const BuildFacts* build : builds) {
        if (build->hold == BuildFacts::Hold::Others) {
            m_rows.deferredBuilds.push_back({build->build, cause.accounted});
            continue;
        }
        const bool hasOwnRow = cause.accounted == build->build && cause.status != Status::Unsupported;
        if (!hasOwnRow)
            propagate(cause, *build);
        else if (cause.attempt != nullptr) // something was built for it, though it may not be its own derivation
            tellStarted(build->build, build->started);
        BuildEnd end;
        end.build = build->build;
        end.status = buildStatusOf(cause.status, build->root == origin);
        end.start = cause.times.start;
        end.stop = cause.times.stop;
        m_rows.buildEnds.push_back(std::move(end));
        m_rows.overBuilds.push_back(build->build);
        marked.push_back(build->build);
    }
    rememberFailedPaths(cause);
    if (marked.empty())
        return;
    // Listeners look the head up, and want it finished.
    BuildId head = marked.front();
    if (cause.accounted) {
        const auto origins = m_facts.origins.find(*cause.accounted);
        const bool isFinished = origins != m_facts.origins.end() && origins->second;
        if (isFinished || std::ranges::binary_search(marked, *cause.accounted))
            head = *cause.accounted;
    }
    for (std::string& payload : finishedPayloads(head, marked))
        notify("build_finished", std::move(payload));
}

void Decision::propagate(const Cause& cause, const BuildFacts& build)
{
    if (cause.step == nullptr)
        return;
    StepRow row;
    row.build = build.build;
    row.stepnr = nextStep(build.build, build.lastStep);
    row.drvPath = cause.step->drvPath;
    row.status = cause.status;
    row.error = cause.error;
    row.system = cause.step->system;
    if (cause.attempt != nullptr)
        row.machine = cause.attempt->machine;
    if (cause.isAccountedThere && cause.accounted != build.build)
        row.propagatedFrom = cause.accounted;
    for (const work::NixOutput& output : cause.step->outputs)
        m_rows.stepOutputs.push_back({row.build, row.stepnr, output.name, output.path});
    m_rows.steps.push_back(std::move(row));
}

void Decision::rememberFailedPaths(const Cause& cause)
{
    if (!m_rules.cacheFailures || cause.step == nullptr || !isCacheable(cause.status))
        return;
    for (const work::NixOutput& output : cause.step->outputs)
        if (!output.path.empty())
            m_rows.failedPaths.push_back(output.path);
}

} // namespace penstock::hydra::detail
