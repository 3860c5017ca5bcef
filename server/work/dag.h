// SPDX-License-Identifier: GPL-3.0-or-later
// Dag: which step waits for which, which jobs need a step, and which live step stands for a sharing key. It knows
// nothing of attempts or machines. Every walk is iterative, so depth costs no stack. One thread; ids that it is asked
// about must have been added, except where said.
#pragma once

#include "server/work/id_map.h"
#include "shared/base/ids.h"
#include "shared/base/result.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace penstock::work {

// The order in which each element comes after all it depends on. Invalid: a cycle (naming its elements) or an index
// out of range.
[[nodiscard]] Result<std::vector<std::uint32_t>>
topologicalOrder(std::span<const std::vector<std::uint32_t>* const> dependsOn);

class Dag {
public:
    enum class Outcome : std::uint8_t { Open, Good, Bad };

    struct Failed {
        StepId step;
        StepId dependency; // where the failure began
    };
    struct Consequences {
        std::vector<StepId> ready;  // wait for nothing any more
        std::vector<Failed> failed; // each once, nearest first; already marked Bad here
    };

    void add(StepId step, Outcome outcome);
    // Both exist, the edge does not yet, and it closes no cycle (see topologicalOrder).
    void addDependency(StepId step, StepId dependsOn);
    // Marks an open step and tells what follows for the others.
    [[nodiscard]] Consequences finish(StepId step, bool good);
    // Marks an open step Bad and leaves its dependents to the caller, who finishes all of them (cancel).
    void finishAlone(StepId step);
    // A Bad step is Open again; its dependents wait for it anew.
    void reopen(StepId step);
    // No open step may depend on any of these, and no job may need them.
    void remove(std::span<const StepId> steps);

    void addUser(StepId step, JobId job); // nothing when it is one already
    void removeUser(StepId step, JobId job);
    [[nodiscard]] std::span<const JobId> users(StepId step) const;

    // A key stands for one live step; a later one replaces it.
    void share(const std::string& key, StepId step);
    // Forgets the key when it stands for this step; unknown keys are fine.
    void unshare(const std::string& key, StepId step);
    [[nodiscard]] std::optional<StepId> findShared(const std::string& key) const;

    [[nodiscard]] bool contains(StepId step) const { return m_nodes.find(step) != nullptr; }
    [[nodiscard]] Outcome outcome(StepId step) const { return m_nodes.at(step).outcome; }
    [[nodiscard]] std::uint32_t waitsFor(StepId step) const { return m_nodes.at(step).open; }
    [[nodiscard]] std::span<const StepId> dependencies(StepId step) const;
    [[nodiscard]] std::span<const StepId> dependents(StepId step) const;
    [[nodiscard]] std::size_t size() const { return m_nodes.size(); }
    // Counts and both directions of every edge agree. Internal names the step otherwise.
    [[nodiscard]] Result<void> check() const;

private:
    struct Edges {
        std::vector<StepId> dependsOn;
        std::vector<StepId> dependents;
    };
    struct Node {
        std::unique_ptr<Edges> edges;           // none for a step that stands alone
        std::unique_ptr<std::vector<JobId>> more; // all users when there are several
        JobId user{0};                          // the only user; 0 when none or several
        std::uint32_t open = 0;                 // dependencies that are Open
        Outcome outcome = Outcome::Open;
    };
    [[nodiscard]] static Edges& edgesOf(Node& node);
    [[nodiscard]] Result<void> checkNode(StepId step, const Node& node) const;

    IdMap<StepId, Node> m_nodes;
    std::unordered_map<std::string, StepId> m_shared; // looked up only, never iterated
};

} // namespace penstock::work
