// SPDX-License-Identifier: GPL-3.0-or-later
// Dag: which step waits for which, how much work waits for a step, which jobs need it, and which live step
// stands for a sharing key. It knows nothing of attempts or machines. Every walk is iterative, so depth costs
// no stack. One thread; ids that it is asked about must have been added, except where said, and are not used
// again after remove().
//
// Lengths. Each step has a weight (its expected time in deciseconds, at least 1, so that steps nobody has
// measured count by depth) and, while it is Open, a length: its weight and the largest length among its open
// dependents, i.e. the longest chain of unfinished work that cannot end before it does (WithCriticalPath).
// Sums stop at the largest u32 (13.6 years). length() and openDependents() change in settle() only, which
// tells every ready step whose values it changed: a queue ordered by them stays right if its owner handles
// that answer before anything else.
//
// Costs, in edges of the steps named unless said otherwise:
//   add, addUser, share, length, openDependents, isNeeded   constant (a late addUser moves the later users)
//   addDependency                                 constant
//   finish(good), reopen                          its edges
//   finish(bad), finishAlone, remove              edges of all steps that end or go
//   settle    edges of the steps added and reopened, plus for each step whose length changes its
//   dependencies, times
//             the logarithm of their number: they are taken in the order of their old lengths, which is a
//             topological one, so each is taken once (edges added between steps that both had a length may
//             cost more). A step whose longest dependent is gone looks at its dependents (up to 64) or at a
//             heap over them, which is built once and lives until the step ends. Nothing else is visited;
//             call it once for many changes.
// Memory: about 69 bytes a step and 15 an edge (both directions, at 8 edges a step); 8 for each user if there
// are several. What follows a burst stays for new steps.
#pragma once

#include "server/work/dag_storage.h"
#include "shared/base/ids.h"
#include "shared/base/result.h"

#include <array>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace penstock::work {

// The order in which each element comes after all it depends on. Invalid: a cycle (naming its elements) or an
// index out of range.
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
    // A ready step whose place in the order may be another now, and what it was ranked by until now.
    struct Moved {
        StepId step;
        std::uint32_t length;
        std::uint32_t openDependents;
        friend bool operator==(const Moved&, const Moved&) = default;
    };
    class Steps;

    void add(StepId step, Outcome outcome, std::uint32_t weight = 1);
    // Both exist, the edge does not yet, and it closes no cycle (see topologicalOrder).
    void addDependency(StepId step, StepId dependsOn);
    // Deciseconds; counts from the next settle().
    void setWeight(StepId step, std::uint32_t weight);
    // Marks an open step and tells what follows for the others.
    [[nodiscard]] Consequences finish(StepId step, bool good);
    // Marks open steps Bad and leaves their dependents to the caller, who finishes all of them (cancel).
    void finishAlone(StepId step) { finishAlone({&step, 1}); }
    void finishAlone(std::span<const StepId> steps);
    // A Bad step is Open again; its dependents wait for it anew.
    void reopen(StepId step);
    // No open step may wait for any of these, and no job may need them. Each is named once.
    void remove(std::span<const StepId> steps);

    // Some open step depends on it, now: unlike openDependents, right at any time and of any step.
    [[nodiscard]] bool isNeeded(StepId step) const { return nodeOf(step).needed != 0; }
    // Steps that an open dependent has left since the last call, in the order in which the first did: all that are
    // open, and of the others those that nobody uses and nothing open depends on any more.
    [[nodiscard]] std::vector<StepId> takeLeft();

    // Takes all that happened since the last call into the lengths. Answers by ascending id, without new and
    // reopened steps: these have no length before, and must not be asked for one.
    std::vector<Moved> settle();
    // Of an Open step, as of the last settle(); 0 of any other.
    [[nodiscard]] std::uint32_t length(StepId step) const;
    // Those that depend on it directly; the same rules.
    [[nodiscard]] std::uint32_t openDependents(StepId step) const;

    void addUser(StepId step, JobId job); // nothing when it is one already
    void removeUser(StepId step, JobId job);
    [[nodiscard]] std::span<const JobId> users(StepId step) const; // ascending; until the next change

    // ---- the same by slot: a small number that stands for a step while it is in the graph, for those who keep
    // something of their own for each step. Given out again when a step has gone.
    [[nodiscard]] std::uint32_t slotOf(StepId step) const; // it is there
    [[nodiscard]] StepId stepAt(std::uint32_t slot) const { return nodeAt(slot).id; }
    [[nodiscard]] bool isOpenAt(std::uint32_t slot) const { return nodeAt(slot).isOpen(); }
    [[nodiscard]] std::uint32_t waitsForAt(std::uint32_t slot) const { return nodeAt(slot).open; }
    [[nodiscard]] std::uint32_t lengthAt(std::uint32_t slot) const; // as length()
    // Slots of steps that are gone may be among them; they are not open.
    [[nodiscard]] std::span<const std::uint32_t> dependencySlots(std::uint32_t slot) const
    {
        return nodeAt(slot).dependsOn.all();
    }
    [[nodiscard]] std::span<const std::uint32_t> dependentSlots(std::uint32_t slot) const
    {
        return nodeAt(slot).dependents.all();
    }

    // A key stands for one live step; a later one replaces it.
    void share(const std::string& key, StepId step);
    // Forgets the key when it stands for this step; unknown keys are fine.
    void unshare(const std::string& key, StepId step);
    [[nodiscard]] std::optional<StepId> findShared(const std::string& key) const;

    [[nodiscard]] bool contains(StepId step) const { return m_index.find(step) != kNoSlot; }
    [[nodiscard]] Outcome outcome(StepId step) const { return nodeOf(step).outcome; }
    [[nodiscard]] std::uint32_t waitsFor(StepId step) const { return nodeOf(step).open; }
    // In the order in which they were added; until the next change.
    [[nodiscard]] Steps dependencies(StepId step) const;
    [[nodiscard]] Steps dependents(StepId step) const;
    [[nodiscard]] std::size_t size() const { return m_index.size(); }
    // Counts, both directions of every edge and, unless something waits for settle(), lengths agree with a
    // computation from nothing. Internal names the step otherwise.
    [[nodiscard]] Result<void> check() const;

private:
    // A node that is going loses its edges; one that is gone waits for the lists that still name its slot to
    // be swept.
    enum class Place : std::uint8_t { Live, Going, Gone };
    struct Node {
        StepId id{0};
        SlotList dependsOn;
        SlotList dependents;
        JobId user{0};          // the only user, 0 for none, or kManyUsers and an index into m_userLists
        std::uint32_t open = 0; // dependencies that are Open; of a node that is gone: lists that name it
        std::uint32_t weight = 1;
        std::uint32_t above = 0;     // the largest length of an open dependent, as settled
        std::uint32_t openAbove = 0; // open dependents, as settled
        std::uint32_t pending = 0;   // 1 + index into m_pending; 0: none
        std::uint32_t needed = 0;    // open dependents, now
        Outcome outcome = Outcome::Open;
        Place place = Place::Live;
        bool isFresh : 1 = false; // Open, but its length was not computed yet
        bool isNew : 1 = false;   // in settle(): was fresh, so nobody ranked it by anything
        bool hasHeap : 1 = false; // in m_heaps
        bool isLeft : 1 = false;  // in m_left

        [[nodiscard]] bool isOpen() const { return outcome == Outcome::Open; } // those that go are not
        [[nodiscard]] std::uint32_t length() const;
    };
    static_assert(sizeof(SlotList) == sizeof(void*));
    // What settle() has to do for an open node. Of a fresh one only slot, and during settle() also the rest.
    struct Pending {
        std::uint32_t slot; // kNoSlot: nothing any more
        std::uint32_t weight = 1;
        std::uint32_t openAbove = 0; // as it will be
        std::uint32_t best = 0;      // the largest length that came above it
        std::uint32_t waiting = 0;   // fresh dependents whose length is not computed yet
        bool lostLongest = false; // a dependent as long as the longest ended or became shorter: look at all
    };
    struct Above {
        std::uint32_t length;
        std::uint32_t slot;
        friend auto operator<=>(const Above&, const Above&) = default;
    };
    static constexpr unsigned kChunkBits = 10;
    static constexpr std::uint32_t kChunkSize = 1U << kChunkBits;
    static constexpr std::uint64_t kManyUsers = std::uint64_t{1} << 63U;

    [[nodiscard]] Node& nodeAt(std::uint32_t slot)
    {
        return (*m_chunks[slot >> kChunkBits])[slot % kChunkSize];
    }
    [[nodiscard]] const Node& nodeAt(std::uint32_t slot) const
    {
        return (*m_chunks[slot >> kChunkBits])[slot % kChunkSize];
    }
    [[nodiscard]] Node& nodeOf(StepId step) { return nodeAt(slotOf(step)); }
    [[nodiscard]] const Node& nodeOf(StepId step) const { return nodeAt(slotOf(step)); }
    [[nodiscard]] std::uint32_t takeSlot();
    void close(Node& node, Outcome outcome);
    void leave(Node& below);
    void unlink(std::uint32_t slot, std::vector<std::uint32_t>& crowded);
    void sweep(std::uint32_t slot);
    void release(std::uint32_t slot);

    // dag_lengths.cpp
    Pending& touch(std::uint32_t slot);
    void makeFresh(std::uint32_t slot);
    void gained(std::uint32_t slot, std::uint32_t above);
    void lost(std::uint32_t slot, const Node& above);
    void changed(std::uint32_t slot, Above now, std::uint32_t was);
    [[nodiscard]] std::vector<std::uint32_t> settleFresh();
    void settleOne(Pending pending, std::vector<Moved>& moved);
    [[nodiscard]] std::uint32_t longestAbove(std::uint32_t slot);
    void pushToHeap(std::uint32_t slot, Above entry);
    std::vector<Above>& fillHeap(std::uint32_t slot);
    void dropHeap(std::uint32_t slot);

    // dag_check.cpp
    [[nodiscard]] Result<void> checkNode(const Node& node) const;
    [[nodiscard]] Result<void> checkEdges() const;
    [[nodiscard]] Result<void> checkLengths() const;

    SlotIndex m_index;
    std::vector<std::unique_ptr<std::array<Node, kChunkSize>>>
        m_chunks;             // kept for new steps once steps have gone
    std::uint32_t m_used = 0; // slots ever taken
    std::vector<std::uint32_t> m_free;
    std::vector<UserList> m_userLists;
    std::vector<std::size_t> m_freeUserLists;
    std::vector<Pending> m_pending;
    std::vector<StepId> m_left; // may name steps that are gone
    std::unordered_map<std::uint32_t, std::vector<Above>> m_heaps; // the largest first; looked up only
    SharedKeys m_shared;
};

// The steps at the other ends of a step's edges.
class Dag::Steps {
public:
    class Iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using iterator_concept = std::forward_iterator_tag;
        using value_type = StepId;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = StepId;

        Iterator() = default;
        Iterator(const Dag& dag, const std::uint32_t* at, const std::uint32_t* end)
            : m_dag(&dag), m_at(at), m_end(end)
        {
            skipGone();
        }
        [[nodiscard]] StepId operator*() const { return m_dag->nodeAt(*m_at).id; }
        Iterator& operator++()
        {
            ++m_at;
            skipGone();
            return *this;
        }
        Iterator operator++(int)
        {
            Iterator before = *this;
            ++*this;
            return before;
        }
        friend bool operator==(const Iterator& a, const Iterator& b) { return a.m_at == b.m_at; }

    private:
        void skipGone()
        {
            while (m_at != m_end && m_dag->nodeAt(*m_at).place != Place::Live)
                ++m_at;
        }
        const Dag* m_dag = nullptr;
        const std::uint32_t* m_at = nullptr;
        const std::uint32_t* m_end = nullptr;
    };

    Steps(const Dag& dag, const SlotList& list) : m_dag(&dag), m_list(&list) {}
    [[nodiscard]] Iterator begin() const { return {*m_dag, slots().data(), slots().data() + slots().size()}; }
    [[nodiscard]] Iterator end() const
    {
        const std::uint32_t* const end = slots().data() + slots().size();
        return {*m_dag, end, end};
    }
    [[nodiscard]] std::size_t size() const { return m_list->size() - m_list->gone(); }
    [[nodiscard]] bool empty() const { return size() == 0; }

private:
    [[nodiscard]] std::span<const std::uint32_t> slots() const { return m_list->all(); }

    const Dag* m_dag;
    const SlotList* m_list;
};

inline Dag::Steps Dag::dependencies(StepId step) const
{
    return {*this, nodeOf(step).dependsOn};
}

inline Dag::Steps Dag::dependents(StepId step) const
{
    return {*this, nodeOf(step).dependents};
}

} // namespace penstock::work
