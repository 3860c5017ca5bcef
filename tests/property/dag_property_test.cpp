// SPDX-License-Identifier: GPL-3.0-or-later
// Random histories of a graph against a model that computes everything from nothing after each of them.
#include "server/work/dag.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <limits>
#include <map>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <set>

namespace penstock::work {
namespace {

using Outcome = Dag::Outcome;

enum class Kind : std::uint8_t {
    Add,
    AddHub,
    AddOverHub,
    EndOverHub,
    Connect,
    FinishGood,
    FinishBad,
    FinishAlone,
    Reopen,
    Remove,
    AddUser,
    RemoveUser,
    SetWeight,
    Settle
};

struct Act {
    Kind kind;
    std::uint32_t first;
    std::uint32_t second;
};

[[maybe_unused]] std::ostream& operator<<(std::ostream& out, const Act& act)
{
    return out << '{' << static_cast<int>(act.kind) << ", " << act.first << ", " << act.second << '}';
}

struct Rank {
    std::uint32_t length;
    std::uint32_t openDependents;
    friend bool operator==(const Rank&, const Rank&) = default;
};

struct Step {
    Outcome outcome = Outcome::Open;
    std::uint32_t weight = 1;
    std::uint32_t level = 0; // edges go from higher to lower ones, so there is no cycle
    std::vector<std::uint64_t> dependsOn;
    std::set<std::uint64_t> users;
    std::optional<Rank> settled; // none: new or reopened
};

// Both the graph and the model; each act is done to both and their answers are compared.
class History {
public:
    void run(const Act& act)
    {
        switch (act.kind) {
        case Kind::Add: return add(act);
        case Kind::AddHub: return addHub(act);
        case Kind::AddOverHub: return addOverHub(act);
        case Kind::EndOverHub: return endOverHub(act);
        case Kind::Connect: return connect(act);
        case Kind::FinishGood: return finishGood(act);
        case Kind::FinishBad: return finishBad(act);
        case Kind::FinishAlone: return finishAlone(act);
        case Kind::Reopen: return reopen(act);
        case Kind::Remove: return remove(act);
        case Kind::AddUser: return addUser(act);
        case Kind::RemoveUser: return removeUser(act);
        case Kind::SetWeight: return setWeight(act);
        case Kind::Settle: return settle();
        }
    }

    void settle()
    {
        std::vector<Dag::Moved> expected;
        const std::map<std::uint64_t, Rank> ranks = ranksNow();
        for (auto& [id, step] : m_steps) {
            if (step.outcome != Outcome::Open)
                continue;
            const Rank& rank = ranks.at(id);
            if (step.settled && openBelow(step) == 0 && *step.settled != rank)
                expected.push_back({StepId(id), step.settled->length, step.settled->openDependents});
            step.settled = rank;
        }
        RC_ASSERT(m_dag.settle() == expected);
    }

    void compare() const
    {
        RC_ASSERT(m_dag.size() == m_steps.size());
        const Result<void> checked = m_dag.check();
        if (!checked)
            RC_FAIL(checked.error().message);
        for (const auto& [id, step] : m_steps) {
            const StepId key(id);
            RC_ASSERT(m_dag.outcome(key) == step.outcome);
            RC_ASSERT(m_dag.waitsFor(key) == openBelow(step));
            std::vector<std::uint64_t> below;
            for (const StepId dependency : m_dag.dependencies(key))
                below.push_back(dependency.value());
            RC_ASSERT(below == step.dependsOn);
            RC_ASSERT(m_dag.dependencies(key).size() == below.size());
            std::vector<std::uint64_t> users;
            for (const JobId user : m_dag.users(key))
                users.push_back(user.value());
            RC_ASSERT(users == std::vector<std::uint64_t>(step.users.begin(), step.users.end()));
            if (step.outcome == Outcome::Open && step.settled) {
                RC_ASSERT(m_dag.length(key) == step.settled->length);
                RC_ASSERT(m_dag.openDependents(key) == step.settled->openDependents);
            }
        }
    }

private:
    static std::uint32_t weightOf(std::uint32_t number)
    {
        return number % 29 == 0 ? std::numeric_limits<std::uint32_t>::max() - number % 3 : number % 9;
    }
    [[nodiscard]] bool isOpen(std::uint64_t id) const { return m_steps.at(id).outcome == Outcome::Open; }
    [[nodiscard]] std::uint32_t openBelow(const Step& step) const
    {
        return static_cast<std::uint32_t>(std::count_if(step.dependsOn.begin(), step.dependsOn.end(),
                                                        [this](auto id) { return isOpen(id); }));
    }
    template <class Wanted>
    [[nodiscard]] std::optional<std::uint64_t> pick(std::uint32_t number, Wanted wanted) const
    {
        std::vector<std::uint64_t> fitting;
        for (const auto& [id, step] : m_steps)
            if (wanted(id, step))
                fitting.push_back(id);
        return fitting.empty() ? std::nullopt : std::optional(fitting[number % fitting.size()]);
    }
    [[nodiscard]] std::vector<std::uint64_t> above(std::uint64_t id) const
    {
        std::vector<std::uint64_t> found;
        for (const auto& [other, step] : m_steps)
            if (std::count(step.dependsOn.begin(), step.dependsOn.end(), id) != 0)
                found.push_back(other);
        return found;
    }
    // Open steps that wait for this one, directly or not, and itself.
    [[nodiscard]] std::set<std::uint64_t> openClosure(std::uint64_t id) const
    {
        std::set<std::uint64_t> closure{id};
        std::vector<std::uint64_t> reached{id};
        while (!reached.empty()) {
            const std::uint64_t next = reached.back();
            reached.pop_back();
            for (const std::uint64_t other : above(next))
                if (isOpen(other) && closure.insert(other).second)
                    reached.push_back(other);
        }
        return closure;
    }
    // By levels from the top: the definition, once for each step.
    [[nodiscard]] std::map<std::uint64_t, Rank> ranksNow() const
    {
        std::vector<std::uint64_t> order;
        for (const auto& [id, step] : m_steps)
            if (step.outcome == Outcome::Open)
                order.push_back(id);
        std::sort(order.begin(), order.end(), [this](auto a, auto b) {
            return std::pair(m_steps.at(a).level, a) > std::pair(m_steps.at(b).level, b);
        });
        std::map<std::uint64_t, Rank> above;
        std::map<std::uint64_t, Rank> ranks;
        for (const std::uint64_t id : order) {
            const Step& step = m_steps.at(id);
            const std::uint64_t sum = std::uint64_t{std::max(step.weight, 1U)} + above[id].length;
            const auto length = static_cast<std::uint32_t>(
                std::min<std::uint64_t>(sum, std::numeric_limits<std::uint32_t>::max()));
            ranks[id] = {length, above[id].openDependents};
            for (const std::uint64_t below : step.dependsOn) {
                above[below].length = std::max(above[below].length, length);
                ++above[below].openDependents;
            }
        }
        return ranks;
    }

    std::uint64_t addStep(std::uint32_t number, Outcome outcome)
    {
        const std::uint64_t id = m_next;
        m_next += number % 31 == 0 ? 200U : 1U;
        Step step;
        step.outcome = outcome;
        step.weight = weightOf(number);
        step.level = number % 64;
        m_dag.add(StepId(id), outcome, step.weight);
        m_steps.emplace(id, step);
        return id;
    }
    void addEdge(std::uint64_t id, std::uint64_t dependency)
    {
        m_dag.addDependency(StepId(id), StepId(dependency));
        m_steps.at(id).dependsOn.push_back(dependency);
    }
    void add(const Act& act)
    {
        const std::uint64_t id = addStep(act.first, act.second % 13 == 0 ? Outcome::Bad : Outcome::Open);
        for (std::uint32_t i = 0; i < act.second % 5; ++i)
            connectFrom(id, act.second / 7 + i * 3);
    }
    // Enough dependents for a step to need a heap.
    void addHub(const Act& act)
    {
        if (m_steps.size() > 400)
            return;
        const std::uint64_t hub = addStep(act.first / 64 * 64, Outcome::Open);
        for (std::uint32_t i = 0; i < 70; ++i)
            addEdge(addStep((act.second % 50 + i * 7) % 1000 / 64 * 64 + 1 + i % 60, Outcome::Open), hub);
    }
    [[nodiscard]] std::optional<std::uint64_t> hub() const
    {
        std::optional<std::uint64_t> most;
        std::size_t count = 60;
        for (const auto& [id, step] : m_steps) {
            const std::size_t over = m_dag.dependents(StepId(id)).size();
            if (step.outcome == Outcome::Open && over > count) {
                most = id;
                count = over;
            }
        }
        return most;
    }
    void addOverHub(const Act& act)
    {
        const auto below = hub();
        if (!below)
            return;
        const std::uint64_t id = addStep(act.first / 64 * 64 + 63, Outcome::Open);
        if (act.second % 3 != 0)
            addEdge(id, *below);
    }
    // The longest ones end, one by one or many at once.
    void endOverHub(const Act& act)
    {
        const auto below = hub();
        if (!below)
            return;
        const std::uint32_t count = act.second % 2 == 0 ? 1 : act.second % 60;
        for (std::uint32_t i = 0; i < count; ++i) {
            const std::map<std::uint64_t, Rank> ranks = ranksNow();
            std::optional<std::uint64_t> longest;
            for (const std::uint64_t id : above(*below))
                if (isOpen(id) && (!longest || ranks.at(id).length > ranks.at(*longest).length))
                    longest = id;
            if (longest)
                endAlone(*longest, false);
        }
        settle();
    }
    void connectFrom(std::uint64_t id, std::uint32_t number)
    {
        const Step& step = m_steps.at(id);
        if (step.outcome == Outcome::Good)
            return;
        const auto below = pick(number, [&](std::uint64_t other, const Step& candidate) {
            return candidate.level < step.level &&
                   (step.outcome == Outcome::Bad || candidate.outcome != Outcome::Bad) &&
                   std::count(step.dependsOn.begin(), step.dependsOn.end(), other) == 0;
        });
        if (below)
            addEdge(id, *below);
    }
    void connect(const Act& act)
    {
        if (const auto id = pick(act.first, [](auto, const Step&) { return true; }))
            connectFrom(*id, act.second);
    }
    void finishGood(const Act& act)
    {
        const auto id = pick(act.first, [this](auto, const Step& step) {
            return step.outcome == Outcome::Open && openBelow(step) == 0;
        });
        if (!id)
            return;
        const Dag::Consequences after = m_dag.finish(StepId(*id), true);
        m_steps.at(*id).outcome = Outcome::Good;
        std::set<std::uint64_t> expected;
        for (const std::uint64_t other : above(*id))
            if (isOpen(other) && openBelow(m_steps.at(other)) == 0)
                expected.insert(other);
        std::set<std::uint64_t> ready;
        for (const StepId step : after.ready)
            ready.insert(step.value());
        RC_ASSERT(ready == expected);
        RC_ASSERT(after.ready.size() == expected.size());
        RC_ASSERT(after.failed.empty());
    }
    void finishBad(const Act& act)
    {
        const auto id = pick(act.first, [](auto, const Step& step) { return step.outcome == Outcome::Open; });
        if (!id)
            return;
        std::set<std::uint64_t> expected = openClosure(*id);
        const Dag::Consequences after = m_dag.finish(StepId(*id), false);
        for (const std::uint64_t other : expected)
            m_steps.at(other).outcome = Outcome::Bad;
        expected.erase(*id);
        std::set<std::uint64_t> failed;
        for (const Dag::Failed& each : after.failed)
            failed.insert(each.step.value());
        RC_ASSERT(failed == expected);
        RC_ASSERT(after.failed.size() == expected.size());
        RC_ASSERT(after.ready.empty());
    }
    void finishAlone(const Act& act)
    {
        const auto id = pick(act.first, [](auto, const Step& step) { return step.outcome == Outcome::Open; });
        if (id)
            endAlone(*id, act.second % 2 == 0);
    }
    void endAlone(std::uint64_t id, bool backwards)
    {
        std::vector<StepId> all;
        for (const std::uint64_t other : openClosure(id)) {
            m_steps.at(other).outcome = Outcome::Bad;
            all.emplace_back(other);
        }
        if (backwards)
            std::reverse(all.begin(), all.end());
        m_dag.finishAlone(all);
    }
    // With all that failed under it.
    void reopen(const Act& act)
    {
        const auto id = pick(act.first, [](auto, const Step& step) { return step.outcome == Outcome::Bad; });
        if (!id)
            return;
        std::vector<std::uint64_t> reached{*id};
        while (!reached.empty()) {
            const std::uint64_t next = reached.back();
            reached.pop_back();
            Step& step = m_steps.at(next);
            if (step.outcome != Outcome::Bad)
                continue;
            m_dag.reopen(StepId(next));
            step.outcome = Outcome::Open;
            step.settled.reset();
            reached.insert(reached.end(), step.dependsOn.begin(), step.dependsOn.end());
        }
    }
    void remove(const Act& act)
    {
        std::vector<StepId> gone;
        for (const auto& [id, step] : m_steps) {
            const auto over = above(id);
            if (step.outcome != Outcome::Open && (id + act.first) % (1 + act.second % 3) == 0 &&
                std::none_of(over.begin(), over.end(), [this](auto other) { return isOpen(other); }))
                gone.emplace_back(id);
        }
        for (const StepId id : gone)
            for (const std::uint64_t user : m_steps.at(id.value()).users)
                m_dag.removeUser(id, JobId(user));
        m_dag.remove(gone);
        for (const StepId id : gone)
            m_steps.erase(id.value());
        for (auto& [id, step] : m_steps)
            std::erase_if(step.dependsOn, [this](auto other) { return !m_steps.contains(other); });
    }
    void addUser(const Act& act)
    {
        if (const auto id = pick(act.first, [](auto, const Step&) { return true; })) {
            m_dag.addUser(StepId(*id), JobId(1 + act.second % 9));
            m_steps.at(*id).users.insert(1 + act.second % 9);
        }
    }
    void removeUser(const Act& act)
    {
        if (const auto id = pick(act.first, [](auto, const Step& step) { return !step.users.empty(); })) {
            m_dag.removeUser(StepId(*id), JobId(1 + act.second % 9));
            m_steps.at(*id).users.erase(1 + act.second % 9);
        }
    }
    void setWeight(const Act& act)
    {
        if (const auto id = pick(act.first, [](auto, const Step&) { return true; })) {
            m_dag.setWeight(StepId(*id), weightOf(act.second));
            m_steps.at(*id).weight = weightOf(act.second);
        }
    }

    Dag m_dag;
    std::map<std::uint64_t, Step> m_steps;
    std::uint64_t m_next = 1;
};

rc::Gen<std::vector<Act>> historyGen()
{
    const auto kind = rc::gen::weightedElement<Kind>({{8, Kind::Add},
                                                      {1, Kind::AddHub},
                                                      {4, Kind::AddOverHub},
                                                      {4, Kind::EndOverHub},
                                                      {8, Kind::Connect},
                                                      {4, Kind::FinishGood},
                                                      {3, Kind::FinishBad},
                                                      {3, Kind::FinishAlone},
                                                      {3, Kind::Reopen},
                                                      {2, Kind::Remove},
                                                      {3, Kind::AddUser},
                                                      {3, Kind::RemoveUser},
                                                      {3, Kind::SetWeight},
                                                      {5, Kind::Settle}});
    const auto number = rc::gen::inRange<std::uint32_t>(0, 100'000);
    const auto act = rc::gen::map(rc::gen::tuple(kind, number, number), [](const auto& parts) {
        return Act{std::get<0>(parts), std::get<1>(parts), std::get<2>(parts)};
    });
    return rc::gen::scale(2.0, rc::gen::container<std::vector<Act>>(act));
}

RC_GTEST_PROP(DagProperty, AgreesWithAComputationFromNothingAfterEachAct, ())
{
    const std::vector<Act> acts = *historyGen();
    History history;
    for (const Act& act : acts) {
        history.run(act);
        history.compare();
    }
    history.settle();
    history.compare();
}

} // namespace
} // namespace penstock::work
