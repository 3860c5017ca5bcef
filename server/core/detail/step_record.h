// SPDX-License-Identifier: GPL-3.0-or-later
// StepRecord: one step in memory, small while it waits: what it shares with others is held by number, and the rare
// parts of its progress are allocated only when there is something to say. Value, one thread.
#pragma once

#include "server/sched/planner.h"
#include "server/work/changes.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace penstock::core::detail {

// The part of a step's specification that many steps have in common, apart from the placement.
struct StepPolicy {
    work::RetryPolicy retry;
    work::Resources resources;
    friend bool operator<(const StepPolicy& a, const StepPolicy& b);
};
[[nodiscard]] StepPolicy policyOf(const work::StepSpec& spec);

// A step's name and work in one block of bytes: small steps are many, and each string costs more than its letters. A
// path that has the step's name in it costs its hash.
// Of a derivation neither its text nor its input paths: those are read when an attempt is sent.
class PackedWork {
public:
    PackedWork(const std::string& name, const work::Work& work);
    [[nodiscard]] std::string name() const;
    [[nodiscard]] work::Work work() const;
    [[nodiscard]] std::string sharingKey() const; // see StepSpec

private:
    std::unique_ptr<char[]> m_bytes;
};

class StepRecord {
public:
    StepRecord(const work::StepSpec& spec, WallTime created, const work::StepProgress& progress);

    [[nodiscard]] work::StepState state() const { return m_state; }
    [[nodiscard]] work::StepProgress progress() const;
    void setProgress(work::StepProgress progress);
    [[nodiscard]] std::optional<work::StepResult> result() const;
    [[nodiscard]] std::optional<WallTime> readySince() const;

    // Machines that refused it a short while ago, and until when each is not asked again.
    [[nodiscard]] std::vector<MachineId> avoided() const; // those and the ones that failed it
    void shun(MachineId machine, Instant until);
    void forgetShunned(Instant now);
    // While Delayed: when it may go on, by the monotonic clock.
    [[nodiscard]] Instant retryDue() const { return m_rare == nullptr ? Instant{} : m_rare->retryDue; }
    void setRetryDue(Instant due);
    [[nodiscard]] std::uint32_t rejections() const { return m_rare == nullptr ? 0 : m_rare->rejections; }

    PackedWork work;
    WallTime created;
    AttemptId newest{0}; // attempt, live or not; 0 none since the server started
    std::uint64_t urgency = 0; // while queued; so the next three
    std::uint64_t age = 0;
    sched::LeafIndex queue = 0;
    sched::AskIndex ask = 0;
    sched::PlacementIndex placement = 0; // while not finished; so the next
    std::uint32_t policy = 0;
    bool isQueued = false;   // in the planner's hands: Ready, and a job that is not held needs it
    bool isPromoted = false; // has waited too long
    bool isDirty = false;    // in the list of what this batch writes
    bool revealsPaths;       // some output's path is known only after its build

private:
    struct Rare {
        work::StepProgress progress;
        std::vector<std::pair<MachineId, Instant>> shunned;
        std::uint32_t rejections = 0;
        Instant retryDue;
    };
    Rare& rare(); // made when there is none
    work::StepState m_state = work::StepState::Blocked;
    std::int64_t m_readySince = kNever; // microseconds, when nothing else is to be said
    std::unique_ptr<Rare> m_rare;

    static constexpr std::int64_t kNever = INT64_MIN;
};

} // namespace penstock::core::detail
