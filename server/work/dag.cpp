// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/dag.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::work {
namespace {

constexpr std::size_t kNamedInCycle = 8;

// What Kahn's algorithm leaves over contains a cycle: follow unfinished dependencies until one repeats.
Error describeCycle(std::span<const std::vector<std::uint32_t>* const> dependsOn,
                    const std::vector<std::uint32_t>& waiting)
{
    std::uint32_t at = 0;
    while (waiting[at] == 0)
        ++at;
    std::vector<bool> seen(dependsOn.size(), false);
    const auto forward = [&](std::uint32_t from) {
        for (const std::uint32_t to : *dependsOn[from])
            if (waiting[to] != 0)
                return to;
        return from;
    };
    while (!seen[at]) {
        seen[at] = true;
        at = forward(at);
    }
    std::string names = fmt::format("{}", at);
    std::size_t named = 1;
    for (std::uint32_t step = forward(at); step != at && named < kNamedInCycle; step = forward(step), ++named)
        names += fmt::format(", {}", step);
    return Error{ErrorCode::Invalid,
                 fmt::format("the steps depend on each other in a circle (indices {}{}); remove one of these "
                             "dependencies",
                             names, named == kNamedInCycle ? ", ..." : "")};
}

} // namespace

Result<std::vector<std::uint32_t>> topologicalOrder(std::span<const std::vector<std::uint32_t>* const> dependsOn)
{
    const std::size_t count = dependsOn.size();
    std::vector<std::uint32_t> waiting(count, 0);
    std::vector<std::vector<std::uint32_t>> dependents(count);
    for (std::size_t step = 0; step < count; ++step) {
        for (const std::uint32_t dependency : *dependsOn[step]) {
            if (dependency >= count)
                return fail(ErrorCode::Invalid, fmt::format("step {} depends on step {}, but there are only {}",
                                                            step, dependency, count));
            dependents[dependency].push_back(static_cast<std::uint32_t>(step));
            ++waiting[step];
        }
    }
    std::vector<std::uint32_t> order;
    order.reserve(count);
    for (std::size_t step = 0; step < count; ++step)
        if (waiting[step] == 0)
            order.push_back(static_cast<std::uint32_t>(step));
    for (std::size_t done = 0; done < order.size(); ++done)
        for (const std::uint32_t dependent : dependents[order[done]])
            if (--waiting[dependent] == 0)
                order.push_back(dependent);
    if (order.size() != count)
        return fail(describeCycle(dependsOn, waiting));
    return order;
}

Dag::Edges& Dag::edgesOf(Node& node)
{
    if (node.edges == nullptr)
        node.edges = std::make_unique<Edges>();
    return *node.edges;
}

void Dag::add(StepId step, Outcome outcome)
{
    m_nodes.insert(step, Node{.edges = nullptr, .more = nullptr, .outcome = outcome});
}

void Dag::addDependency(StepId step, StepId dependsOn)
{
    Node& node = m_nodes.at(step);
    Node& dependency = m_nodes.at(dependsOn);
    edgesOf(node).dependsOn.push_back(dependsOn);
    edgesOf(dependency).dependents.push_back(step);
    if (dependency.outcome == Outcome::Open)
        ++node.open;
}

Dag::Consequences Dag::finish(StepId step, bool good)
{
    Consequences result;
    Node& node = m_nodes.at(step);
    PENSTOCK_CHECK(node.outcome == Outcome::Open);
    node.outcome = good ? Outcome::Good : Outcome::Bad;
    std::vector<StepId> settled{step}; // open before, not any more: their dependents wait for one less
    for (std::size_t done = 0; done < settled.size(); ++done) {
        for (const StepId dependent : dependents(settled[done])) {
            Node& waiting = m_nodes.at(dependent);
            PENSTOCK_CHECK(waiting.open > 0);
            --waiting.open;
            if (waiting.outcome != Outcome::Open)
                continue;
            if (!good) {
                waiting.outcome = Outcome::Bad;
                result.failed.push_back({dependent, step});
                settled.push_back(dependent);
            } else if (waiting.open == 0) {
                result.ready.push_back(dependent);
            }
        }
    }
    return result;
}

void Dag::finishAlone(StepId step)
{
    Node& node = m_nodes.at(step);
    PENSTOCK_CHECK(node.outcome == Outcome::Open);
    node.outcome = Outcome::Bad;
    for (const StepId dependent : dependents(step))
        --m_nodes.at(dependent).open;
}

void Dag::reopen(StepId step)
{
    Node& node = m_nodes.at(step);
    PENSTOCK_CHECK(node.outcome == Outcome::Bad);
    node.outcome = Outcome::Open;
    for (const StepId dependent : dependents(step))
        ++m_nodes.at(dependent).open;
}

void Dag::remove(std::span<const StepId> steps)
{
    std::vector<StepId> goes(steps.begin(), steps.end());
    std::sort(goes.begin(), goes.end());
    // A step that stays and has many removed neighbours is cleaned once, not once per neighbour.
    std::vector<StepId> touched;
    for (const StepId step : goes) {
        const auto below = dependencies(step);
        const auto above = dependents(step);
        touched.insert(touched.end(), below.begin(), below.end());
        touched.insert(touched.end(), above.begin(), above.end());
    }
    std::sort(touched.begin(), touched.end());
    touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
    const auto isGoing = [&](StepId step) { return std::binary_search(goes.begin(), goes.end(), step); };
    for (const StepId step : touched) {
        if (isGoing(step))
            continue;
        Edges& edges = edgesOf(m_nodes.at(step));
        std::erase_if(edges.dependsOn, isGoing);
        std::erase_if(edges.dependents, isGoing);
    }
    for (const StepId step : goes)
        m_nodes.erase(step);
}

void Dag::addUser(StepId step, JobId job)
{
    Node& node = m_nodes.at(step);
    if (node.more != nullptr) {
        if (std::find(node.more->begin(), node.more->end(), job) == node.more->end())
            node.more->push_back(job);
        return;
    }
    if (node.user.value() == 0) {
        node.user = job;
    } else if (node.user != job) {
        node.more = std::make_unique<std::vector<JobId>>(std::vector<JobId>{node.user, job});
        node.user = JobId(0);
    }
}

void Dag::removeUser(StepId step, JobId job)
{
    Node& node = m_nodes.at(step);
    if (node.more == nullptr) {
        if (node.user == job)
            node.user = JobId(0);
        return;
    }
    std::erase(*node.more, job);
    if (node.more->size() == 1) {
        node.user = node.more->front();
        node.more.reset();
    }
}

std::span<const JobId> Dag::users(StepId step) const
{
    const Node& node = m_nodes.at(step);
    if (node.more != nullptr)
        return *node.more;
    return {&node.user, node.user.value() == 0 ? std::size_t{0} : std::size_t{1}};
}

void Dag::share(const std::string& key, StepId step)
{
    m_shared.insert_or_assign(key, step);
}

void Dag::unshare(const std::string& key, StepId step)
{
    const auto found = m_shared.find(key);
    if (found != m_shared.end() && found->second == step)
        m_shared.erase(found);
}

std::optional<StepId> Dag::findShared(const std::string& key) const
{
    const auto found = m_shared.find(key);
    return found == m_shared.end() ? std::nullopt : std::optional(found->second);
}

std::span<const StepId> Dag::dependencies(StepId step) const
{
    const Node& node = m_nodes.at(step);
    return node.edges == nullptr ? std::span<const StepId>{} : std::span<const StepId>(node.edges->dependsOn);
}

std::span<const StepId> Dag::dependents(StepId step) const
{
    const Node& node = m_nodes.at(step);
    return node.edges == nullptr ? std::span<const StepId>{} : std::span<const StepId>(node.edges->dependents);
}

Result<void> Dag::checkNode(StepId step, const Node& node) const
{
    std::uint32_t open = 0;
    for (const StepId dependency : dependencies(step)) {
        if (!contains(dependency))
            return fail(ErrorCode::Internal,
                        fmt::format("step {} depends on {}, which is not there", step.value(), dependency.value()));
        const Outcome outcome = m_nodes.at(dependency).outcome;
        open += outcome == Outcome::Open ? 1 : 0;
        if (outcome == Outcome::Bad && node.outcome != Outcome::Bad)
            return fail(ErrorCode::Internal, fmt::format("step {} is not failed though {} under it is", step.value(),
                                                         dependency.value()));
        const auto back = dependents(dependency);
        if (std::find(back.begin(), back.end(), step) == back.end())
            return fail(ErrorCode::Internal,
                        fmt::format("step {} does not know its dependent {}", dependency.value(), step.value()));
    }
    if (open != node.open)
        return fail(ErrorCode::Internal, fmt::format("step {} says it waits for {} steps, but {} are open",
                                                     step.value(), node.open, open));
    if (open != 0 && node.outcome == Outcome::Good)
        return fail(ErrorCode::Internal, fmt::format("step {} succeeded before its dependencies", step.value()));
    return {};
}

Result<void> Dag::check() const
{
    Result<void> result;
    m_nodes.forEach([&](StepId step, const Node& node) {
        if (result)
            result = checkNode(step, node);
    });
    return result;
}

} // namespace penstock::work
