// SPDX-License-Identifier: GPL-3.0-or-later
// FarmCore: all live state of the farm and every decision about it. A reducer: (events, now) in, commands out. Pure:
// no clock, randomness, thread, file, SQL or socket, so equal histories give equal commands; the simulator runs the
// same class. One thread (the core loop). It never fails: what a peer says wrongly is counted or answered.
//
// Contract with the shell: carry commands out in order; call apply(TimerFired) when ArmTimer says; hand completions
// of the store back as StoreConfirmed after the Publish commands of those batches were delivered; end the process
// when the store answers Conflict.
#pragma once

#include "server/core/command.h"
#include "server/core/event.h"
#include "server/core/explain.h"
#include "server/core/options.h"
#include "server/core/view.h"

#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

namespace penstock::core {

namespace detail {
class Farm;
}

class FarmCore {
public:
    explicit FarmCore(CoreOptions options);
    ~FarmCore();
    FarmCore(FarmCore&&) noexcept;
    FarmCore& operator=(FarmCore&&) noexcept;

    // Once, before the first apply(): rebuilds from the stored rows. Corrupt names the row that contradicts another.
    [[nodiscard]] Result<std::vector<Command>> recover(const work::Recovery& recovery, Now now);
    [[nodiscard]] std::vector<Command> apply(std::span<const Event> batch, Now now);
    // The same, and the events are used up: nothing of a submission is copied.
    [[nodiscard]] std::vector<Command> consume(std::span<Event> batch, Now now);

    // Every cross-reference and count; Internal names what does not hold. Walks over everything: for tests.
    [[nodiscard]] Result<void> checkInvariants() const;

    // ---- questions; callable between two apply() calls
    // Open jobs, and the recently finished ones (CoreOptions).
    [[nodiscard]] std::optional<JobView> job(JobId job) const;
    [[nodiscard]] std::vector<JobId> newestJobs(bool finished, std::size_t limit) const; // newest first
    // In the order of their ids; none for a job that is not known. A step that another job took over and that has
    // left since is left out.
    [[nodiscard]] std::vector<StepId> stepsOf(JobId job) const;
    [[nodiscard]] std::optional<StepView> step(StepId step, JobId forJob) const;
    // Unfinished steps in those states, by id, from that one on; at most so many, and looks at a bounded number of
    // steps: go on where it says.
    [[nodiscard]] LiveSteps liveSteps(const std::set<work::StepState>& states, StepId from, std::size_t limit) const;
    [[nodiscard]] std::optional<AttemptView> attempt(AttemptId attempt) const;
    // What a live attempt does; none when it is over.
    [[nodiscard]] std::optional<LiveWork> liveWork(AttemptId attempt) const;
    // Whether the attempt is not over and is that of the machine whose session this is.
    [[nodiscard]] bool isLiveOf(AttemptId attempt, SessionId session) const;
    [[nodiscard]] std::vector<MachineId> machines() const;
    [[nodiscard]] std::optional<MachineView> machine(MachineId machine) const;
    // By name or decimal id. NotFound: "no machine NAME". Conflict: several have the name.
    [[nodiscard]] Result<MachineId> findMachine(const std::string& nameOrId) const;
    [[nodiscard]] std::vector<QueueView> queues() const; // ordered by key
    [[nodiscard]] Totals totals() const;
    [[nodiscard]] std::vector<ShareView> shares(Now now) const; // by name
    [[nodiscard]] std::vector<NamespaceView> namespaces() const; // by name
    [[nodiscard]] const Counters& counters() const;
    // The job's unfinished steps, at most so many. NotFound: "no job 42" when it is not open.
    [[nodiscard]] Result<Explanation> explain(JobId job, std::size_t maxSteps, Now now) const;
    // Only that one, wherever it stands in the job; no steps when it is not the job's or has ended well.
    [[nodiscard]] Result<Explanation> explainStep(JobId job, StepId step, Now now) const;

private:
    std::unique_ptr<detail::Farm> m_farm;
};

} // namespace penstock::core
