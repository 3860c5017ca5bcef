// SPDX-License-Identifier: GPL-3.0-or-later
// What the core remembers of a job, an attempt and a machine. Values, one thread.
#pragma once

#include "server/core/detail/step_record.h"
#include "server/core/view.h"
#include "server/sched/planner.h"
#include "server/sched/shares.h"
#include "server/work/changes.h"
#include "shared/protocol/link_values.h"

#include <absl/container/inlined_vector.h>
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace penstock::core::detail {

struct JobOrigin { // what many jobs have in common
    std::string user;
    std::string nameSpace;
    std::string shareGroup;
    std::string concurrencyGroup;
    work::Limits limits;
    friend auto operator<=>(const JobOrigin&, const JobOrigin&) = default;
};

struct OriginState { // what an origin stands for while jobs have it
    sched::ShareIndex share = 0;
    sched::GateSet gates{}; // its namespace's, its concurrency group's
};

struct JobStep {
    StepId step;
    bool root;
};

using JobSteps = absl::InlinedVector<JobStep, 1>; // most jobs have one

struct JobRecord {
    std::string name;
    std::unique_ptr<std::string> key; // none: no idempotency key
    JobSteps steps; // by step id
    WallTime created;
    std::uint64_t finishedIn = 0; // the batch that says so
    std::uint32_t origin = 0;
    std::int32_t priority = 0;
    std::uint32_t open = 0; // steps that it still waits for
    std::uint32_t done = 0;
    std::uint32_t running = 0;
    std::uint32_t failed = 0;
    bool isDirty = false;

    [[nodiscard]] const work::JobProgress& progress() const { return m_progress == nullptr ? kQueued : *m_progress; }
    void setProgress(work::JobProgress progress)
    {
        if (m_progress == nullptr && progress == kQueued)
            return;
        m_progress = std::make_unique<work::JobProgress>(std::move(progress));
    }
    void setBumped(std::optional<WallTime> bumped)
    {
        if (m_progress == nullptr)
            m_progress = std::make_unique<work::JobProgress>();
        m_progress->bumped = bumped;
    }
    [[nodiscard]] bool isOpen() const { return !work::isFinished(progress().state); }
    [[nodiscard]] const JobStep* find(StepId wanted) const // null: not one of its steps
    {
        const auto found = std::lower_bound(steps.begin(), steps.end(), wanted,
                                            [](const JobStep& entry, StepId id) { return entry.step < id; });
        return found == steps.end() || found->step != wanted ? nullptr : &*found;
    }
    // One of its steps has finished with this.
    void count(work::StepResult result)
    {
        done += work::isGood(result) ? 1U : 0U;
        failed += work::isFailure(result) ? 1U : 0U;
    }

private:
    static const work::JobProgress kQueued;
    std::unique_ptr<work::JobProgress> m_progress; // none while nothing has happened to it: most jobs wait
};
inline const work::JobProgress JobRecord::kQueued{};

struct AttemptRecord {
    StepId step;
    JobId job;
    MachineId machine;
    std::uint32_t number = 1;
    WallTime created;
    work::AttemptProgress progress;
    std::string phase;
    sched::AskIndex ask = 0; // held while it is live; so the next
    sched::GateSet gates{};
    sched::ShareTicket ticket{};
    Instant startedAt; // when it was made
    std::optional<Instant> builtFrom = {}; // when its machine began to build; so the next
    std::optional<Instant> sentFrom = {};  // to send its outputs
    std::uint64_t revision = 0; // of the Desired that told this connection about it; 0 not yet
    std::string stopReason;     // empty: it shall go on
    bool isDirty = false;
    bool isSending = false; // its outputs leave: it holds no room of its machine any more

    [[nodiscard]] bool isLive() const { return progress.state != work::AttemptState::Ended; }
    [[nodiscard]] bool isStopped() const { return !stopReason.empty(); }
};

enum class Link : std::uint8_t {
    Away,     // no connection
    Welcomed, // connected, its first report is awaited
    Ready,
};

struct MachineRecord {
    explicit MachineRecord(work::MachineRow stored) : row(std::move(stored)) {}

    work::MachineRow row;
    std::optional<std::uint64_t> rowSequence; // the batch that first made the row durable; 0: it was recovered
    protocol::MachineFacts facts;
    std::string instance; // empty: none since the server started
    std::string version;
    Link link = Link::Away;
    SessionId session{0}; // while not Away
    Instant graceEnds;    // while Away
    bool isNewInstance = true;
    Instant restartedAt; // the builder, since the server has known it
    bool drainsItself = false;
    std::string drainNote; // its own
    std::optional<protocol::LoadSample> load;
    std::optional<WallTime> lastReport;
    std::vector<sched::OverThreshold> over; // that close it under the policy
    std::map<sched::GateKind, Instant> overSince;
    std::uint64_t reports = 0;
    std::uint64_t expectedBefore = 0; // cpus, of ours at the last report
    std::uint32_t foreignCpus = 0; // busy at the last report beyond what ours were expected to use
    StepId lastFailed{0};  // step whose infrastructure failure was counted last
    AttemptId probe{0};    // while Probing
    Instant quarantineEnds; // while Quarantined
    std::uint64_t revision = 0; // of the last Desired on this connection
    std::set<AttemptId> running; // live attempts
    std::set<AttemptId> stopsSent; // on this connection, for attempts that are not ours any more
    std::uint32_t sending = 0;     // of the live attempts, those that hold no room
    std::uint32_t foreign = 0;     // attempts it holds unfinished though we do not want them
    std::uint64_t finished = 0;
    std::uint64_t failed = 0;
    AttemptTimes times;
    std::optional<WallTime> idleSince; // nothing while it runs something
    std::optional<WallTime> lastFailure;
    std::optional<protocol::Desired> outgoing; // of this batch

    [[nodiscard]] bool isDraining() const { return row.drained || drainsItself; }
    [[nodiscard]] std::uint32_t used() const { return static_cast<std::uint32_t>(running.size()) + foreign; }
};

} // namespace penstock::core::detail
