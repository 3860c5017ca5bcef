// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/jobs/presence.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <variant>

namespace penstock::jobs {
namespace {

bool isThere(const ParsedStep& step, const std::set<std::string>& present)
{
    const auto* nix = std::get_if<work::NixWork>(step.spec.work.get());
    return nix != nullptr && !nix->outputs.empty() &&
           std::ranges::all_of(nix->outputs, [&](const work::NixOutput& output) {
               return !output.path.empty() && present.contains(output.path);
           });
}

// Roots, and all that they need through steps that are not there.
std::vector<bool> neededSteps(const ParsedJob& job, const std::vector<bool>& there)
{
    std::vector<bool> needed(job.steps.size(), false);
    std::vector<std::uint32_t> open;
    for (std::uint32_t at = 0; at < job.steps.size(); ++at)
        if (job.steps[at].root) {
            needed[at] = true;
            open.push_back(at);
        }
    while (!open.empty()) {
        const std::uint32_t at = open.back();
        open.pop_back();
        if (there[at])
            continue;
        for (const std::uint32_t below : job.steps[at].dependsOn)
            if (!there[below] && !needed[below]) {
                needed[below] = true;
                open.push_back(below);
            }
    }
    return needed;
}

} // namespace

PresenceWalk::PresenceWalk(const ParsedJob& job) : m_job(job), m_seen(job.steps.size(), false)
{
    for (std::uint32_t at = 0; at < job.steps.size(); ++at)
        if (job.steps[at].root)
            enqueue(at);
}

void PresenceWalk::enqueue(std::uint32_t step)
{
    if (m_seen[step])
        return;
    m_seen[step] = true;
    m_queue.push_back(step);
}

void PresenceWalk::descend(std::uint32_t step)
{
    for (const std::uint32_t below : m_job.steps[step].dependsOn)
        enqueue(below);
}

std::vector<std::string> PresenceWalk::next(std::size_t most)
{
    std::vector<std::string> paths;
    m_asked.clear();
    m_descended = 0;
    while (paths.size() < most) {
        if (m_next == m_queue.size()) { // no more of this level: look below what is asked about already
            while (m_next == m_queue.size() && m_descended < m_asked.size())
                descend(m_asked[m_descended++]);
            if (m_next == m_queue.size())
                break;
        }
        const std::uint32_t step = m_queue[m_next++];
        const auto* nix = std::get_if<work::NixWork>(m_job.steps[step].spec.work.get());
        const bool canBeThere = nix != nullptr && !nix->outputs.empty() &&
                                std::ranges::none_of(nix->outputs, [](const auto& out) { return out.path.empty(); });
        if (!canBeThere) {
            descend(step);
            continue;
        }
        m_asked.push_back(step);
        for (const work::NixOutput& output : nix->outputs)
            paths.push_back(output.path);
    }
    return paths;
}

void PresenceWalk::answer(const std::set<std::string>& present)
{
    m_present.insert(present.begin(), present.end());
    for (; m_descended < m_asked.size(); ++m_descended)
        if (!isThere(m_job.steps[m_asked[m_descended]], present))
            descend(m_asked[m_descended]);
}

Pruned leaveOutPresent(ParsedJob& job, const std::set<std::string>& present)
{
    Pruned pruned;
    std::vector<bool> there(job.steps.size());
    for (std::size_t at = 0; at < job.steps.size(); ++at) {
        there[at] = isThere(job.steps[at], present);
        pruned.there += there[at] ? 1U : 0U;
    }
    if (pruned.there == 0)
        return pruned; // whoever made the job says what belongs to it
    const std::vector<bool> needed = neededSteps(job, there);
    std::vector<std::uint32_t> places(job.steps.size());
    std::vector<ParsedStep> left;
    for (std::size_t at = 0; at < job.steps.size(); ++at) {
        if (!needed[at]) {
            pruned.unneeded += there[at] ? 0U : 1U;
            continue;
        }
        places[at] = static_cast<std::uint32_t>(left.size());
        left.push_back(std::move(job.steps[at]));
        left.back().cached = there[at];
    }
    for (ParsedStep& step : left) {
        if (step.cached)
            step.dependsOn.clear();
        std::erase_if(step.dependsOn, [&](std::uint32_t below) { return there[below]; });
        for (std::uint32_t& below : step.dependsOn)
            below = places[below];
    }
    job.steps = std::move(left);
    return pruned;
}

} // namespace penstock::jobs
