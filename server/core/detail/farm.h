// SPDX-License-Identifier: GPL-3.0-or-later
// Farm: the inside of FarmCore. One class, because every decision touches several of its maps; its parts live in
// files by subject: submit, cancel, control, steps, queueing, attempts, machines, health, reports, recovery,
// invariants, views, explain, waiting, wanted. One thread.
//
// How a batch works: handlers change records at once and note what is dirty; at the end the planner runs, dirty
// records become one Persist, and messages leave after it, marked with its sequence.
#pragma once

#include "server/core/command.h"
#include "server/core/detail/deadlines.h"
#include "server/core/detail/interner.h"
#include "server/core/detail/needs.h"
#include "server/core/detail/records.h"
#include "server/core/event.h"
#include "server/core/explain.h"
#include "server/core/options.h"
#include "server/core/view.h"
#include "server/sched/history.h"
#include "server/sched/planner.h"
#include "server/sched/shares.h"
#include "server/work/dag.h"
#include "server/work/id_map.h"
#include "server/work/job.h"
#include "server/work/step.h"

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace penstock::core::detail {

struct MachineSight; // survey.h, as the next two
class Survey;
struct Inquiry;

class Farm {
public:
    explicit Farm(CoreOptions options) : m_options(std::move(options)), m_ledger(m_options.policy.shareWindow) {}

    [[nodiscard]] Result<std::vector<Command>> recover(const work::Recovery& recovery, Now now);
    [[nodiscard]] std::vector<Command> consume(std::span<Event> batch, Now now);
    [[nodiscard]] Result<void> checkInvariants() const;

    // views.cpp, explain.cpp
    [[nodiscard]] std::optional<JobView> job(JobId job) const;
    [[nodiscard]] std::vector<JobId> newestJobs(bool finished, std::size_t limit) const;
    [[nodiscard]] std::vector<StepId> stepsOf(JobId job) const;
    [[nodiscard]] std::optional<StepView> step(StepId step, JobId forJob) const;
    [[nodiscard]] LiveSteps liveSteps(const std::set<work::StepState>& states, StepId from, std::size_t limit) const;
    [[nodiscard]] std::optional<AttemptView> attempt(AttemptId attempt) const;
    [[nodiscard]] std::optional<LiveWork> liveWork(AttemptId id) const;
    [[nodiscard]] bool isLiveOf(AttemptId id, SessionId session) const;
    [[nodiscard]] std::vector<MachineId> machines() const;
    [[nodiscard]] std::optional<MachineView> machine(MachineId machine) const;
    [[nodiscard]] Result<MachineId> findMachine(const std::string& nameOrId) const;
    [[nodiscard]] std::vector<QueueView> queues() const;
    [[nodiscard]] Totals totals() const;
    [[nodiscard]] std::vector<ShareView> shares(Now now) const;
    [[nodiscard]] std::vector<NamespaceView> namespaces() const;
    [[nodiscard]] const Counters& counters() const { return m_counters; }
    [[nodiscard]] Result<Explanation> explain(JobId job, std::size_t maxSteps, Now now) const;
    [[nodiscard]] Result<Explanation> explainStep(JobId job, StepId step, Now now) const;

private:
    // ---- farm.cpp: the frame of a batch
    void begin(Now now);
    [[nodiscard]] std::vector<Command> end();
    void flushDesired(std::uint64_t after);
    void sendDesired(MachineRecord& machine, protocol::Desired desired, std::uint64_t after);
    void flushPublish(std::uint64_t after);
    [[nodiscard]] bool collectChanges();
    [[nodiscard]] std::optional<std::uint64_t> rowOf(MachineId id) const;
    void runDeadlines();
    void evictFinished();
    void reply(RequestId request, Result<std::variant<Submitted, Done>> answer);
    void touch(StepId id, StepRecord& step);
    void touch(AttemptId id, AttemptRecord& attempt);
    void touch(JobId id, JobRecord& job);
    void show(MachineId machine) { m_shownMachines.push_back(machine); }
    [[nodiscard]] bool mayStart() const;

    void on(SubmitJobs& event);
    void on(CancelJob& event);
    void on(ReopenJob& event);
    void on(DrainMachine& event);
    void on(BumpJob& event);
    void on(BumpJobs& event);
    void on(HoldJob& event);
    [[nodiscard]] JobRecord* openJob(RequestId request, JobId id); // or nothing, and answered
    void on(PauseDispatch& event);
    void on(SetShares& event);
    void on(SetNamespace& event);
    void on(SetThresholds& event);
    void on(TrustMachine& event);
    void on(RemoveMachine& event);
    void on(MachineConnected& event);
    void on(MachineReported& event);
    void on(MachineFactsChanged& event);
    void on(AttemptAnswered& event);
    void on(AttemptProgressed& event);
    void on(AttemptFinished& event);
    void on(MachineDrains& event);
    void on(MachineDisconnected& event);
    void on(const StoreConfirmed& event);
    void on(StoreHealth& event);
    void on(const TimerFired& event);

    // ---- submit.cpp
    struct ResolvedStep {
        StepId step{0};
        bool isNew = false;
    };
    [[nodiscard]] Result<void> checkSubmission(const SubmitJobs& event) const;
    // made: keys of steps that the jobs before it make; none is kept when nothing refers to any.
    [[nodiscard]] Result<void> checkRequest(const JobRequest& job, std::set<std::string_view>* made) const;
    [[nodiscard]] JobId insertJob(JobRequest& request);
    [[nodiscard]] std::vector<ResolvedStep> resolveSteps(JobRequest& request);
    [[nodiscard]] std::optional<StepId> liveStepFor(const std::string& key) const;
    void connectSteps(const JobRequest& request, const std::vector<ResolvedStep>& resolved);
    void startNewSteps(JobRequest& request, const std::vector<ResolvedStep>& resolved);
    [[nodiscard]] JobSteps claimSteps(JobId job, const JobRequest& request,
                                      const std::vector<ResolvedStep>& resolved);
    StepRecord& addStep(StepId id, const work::StepSpec& spec, WallTime created, const work::StepProgress& progress);
    void countJobSteps(JobRecord& job);
    [[nodiscard]] Result<void> checkQuota(const SubmitJobs& event) const;
    [[nodiscard]] static const std::string& groupOf(const work::JobSpec& spec);
    // fresh: groups that it and the jobs before it would open.
    [[nodiscard]] Result<void> checkGroup(const work::JobSpec& spec, std::set<std::string>& fresh) const;
    [[nodiscard]] std::uint32_t acquireOrigin(const work::JobSpec& spec);
    void releaseOrigin(std::uint32_t origin);

    // ---- control.cpp
    void bump(JobId id, JobRecord& job, std::optional<WallTime> at);

    // ---- cancel.cpp
    void cancelJob(JobId id, JobRecord& job, const std::string& who);
    void cancelSteps(JobId id, const std::string& reason);
    void releaseCancelled(StepId step);
    void leaveStep(StepId step, JobId job, const StepRecord& record);
    [[nodiscard]] Result<void> checkReopen(const work::StoredJob& stored) const;
    [[nodiscard]] Result<void> checkBelow(const work::StoredJob& stored) const;
    void reopen(work::StoredJob& stored);
    void forgetFinished(JobId id);
    void forgetJob(JobId id);

    // ---- steps.cpp
    // Applies the event; a refused one is our own mistake. taken: the planner has already taken it from its queue.
    void moveStep(StepId id, const work::StepEvent& event, bool taken = false);
    void setStep(StepId id, StepRecord& step, work::StepProgress progress, bool taken);
    void enter(StepId id, StepRecord& step); // queue or deadline of its state
    void finishStep(StepId id, StepRecord& step, work::StepState from);
    void settleStep(StepId id, StepRecord& step, work::StepState from); // counts and jobs, not the graph
    void countForJobs(StepId id, work::StepState from, work::StepState to);
    void finishJob(JobId id, JobRecord& job);
    [[nodiscard]] work::JobOver judge(const JobRecord& job) const;
    void jobStarted(JobId id);
    void plan();
    void startAttempt(const sched::Start& start);
    [[nodiscard]] protocol::Assignment assignmentFor(AttemptId id, const AttemptRecord& attempt) const;
    [[nodiscard]] std::vector<protocol::ResolvedInput> resolvedInputs(StepId id) const;
    [[nodiscard]] work::Limits limitsFor(StepId id) const;
    void stepDeadline(const Deadline& deadline);

    // ---- wanted.cpp
    [[nodiscard]] bool isClaimed(StepId id) const;
    [[nodiscard]] bool isWanted(StepId id) const;
    [[nodiscard]] JobId jobFor(StepId id) const;
    template <class Counts, class May> [[nodiscard]] JobId climb(StepId at, Counts counts, May may) const;
    void dropUnwanted(const std::string& reason = "no job needs it any more");
    void dropStep(StepId id, const std::string& reason);
    [[nodiscard]] bool mayLeave(StepId id, const StepRecord& step) const;
    void evictUnclaimed();
    void removeSteps(std::span<const StepId> gone);

    // ---- queueing.cpp: a step's place among the others
    [[nodiscard]] Needs::View needOf(StepId id) const { return m_needs.of(m_dag, id); }
    [[nodiscard]] sched::GateSet gatesOf(const Needs::View& need) const; // of the oldest job's
    void claim(StepId step, JobId id, const JobRecord& job);
    void claimAll(JobId id, const JobRecord& job);
    void worsenAll(const JobRecord& job);
    [[nodiscard]] Needs::ClaimsOf claims() const;
    [[nodiscard]] static bool isWaiting(const JobRecord& job);
    [[nodiscard]] Needs::Claim claimOf(JobId id, const JobRecord& job) const;
    void settleNeeds();
    [[nodiscard]] sched::Ask askOf(const StepRecord& step) const;
    [[nodiscard]] bool askChanged(const sched::Start& start) const;
    void askAnew(const sched::Start& start);
    [[nodiscard]] std::uint32_t weightOf(std::string_view name) const;
    [[nodiscard]] Duration expectedOf(std::string_view name) const;
    void enqueue(StepId id, StepRecord& step);
    bool dequeue(StepId id, StepRecord& step); // false: it was not queued
    void requeue(StepId id, StepRecord& step); // its place may be another now
    void settleGraph();
    void tick();
    void patrol();
    void shareStarted(AttemptRecord& attempt);
    void learn(const AttemptRecord& attempt, work::AttemptEnd end);
    void refreshUse(sched::ShareIndex share);
    void setShares(const work::ShareGroupRow& row);
    void jobCloses(const JobRecord& job);
    void armTick();
    [[nodiscard]] bool isForeverUnable(const StepRecord& step) const;

    // ---- attempts.cpp
    // isMachines: the machine is judged by it. isFinal: see work::AttemptEnded.
    void endAttempt(AttemptId id, AttemptRecord& attempt, work::AttemptProgress report, bool isMachines = true,
                    bool isFinal = false);
    void loseAttempt(AttemptId id, const std::string& why);
    void acceptAttempt(AttemptId id, AttemptRecord& attempt);
    void rejectAttempt(AttemptId id, AttemptRecord& attempt, const protocol::AttemptAnswer& answer);
    void stopAttempt(AttemptId id, const std::string& reason);
    void leaveMachine(AttemptId id, AttemptRecord& attempt);
    void followPhase(AttemptRecord& attempt);
    void holdToPromise(const StepRecord& step, work::AttemptProgress& report);
    void sendStored(SessionId session, AttemptId attempt);
    void countEnd(work::AttemptEnd end);
    void countTimes(const AttemptRecord& attempt, MachineRecord& machine);

    // ---- machines.cpp, reports.cpp
    [[nodiscard]] MachineRecord* machineOf(SessionId session, MachineId* id = nullptr);
    [[nodiscard]] bool admit(const MachineConnected& event, MachineRecord* known);
    MachineRecord& newMachine(const MachineConnected& event);
    void close(SessionId session, protocol::GoodbyeReason reason, std::string text);
    void goAway(MachineId id, MachineRecord& machine);
    void refreshStatus(MachineId id, MachineRecord& machine);
    void persistMachine(MachineRecord& machine);
    void loadReported(MachineRecord& machine, const protocol::LoadSample& load);
    void judgeLoad(MachineRecord& machine);
    [[nodiscard]] sched::MachineStatus statusOf(const MachineRecord& machine) const;
    [[nodiscard]] std::uint32_t guessedCpus(std::uint32_t cores) const;
    [[nodiscard]] std::uint64_t scoreOf(const MachineRecord& machine) const;

    // ---- health.cpp
    void judgeMachine(const AttemptRecord& attempt, AttemptId id, work::AttemptEnd end);
    void changeHealth(MachineId id, MachineRecord& machine, const work::HealthEvent& event);
    void resumeHealth(MachineId id, MachineRecord& machine);
    void runProbes();
    [[nodiscard]] bool isProbeJob(JobId job) const;
    AttemptId startOn(StepId id, MachineId machine);
    [[nodiscard]] protocol::Desired& desiredFor(MachineRecord& machine);
    void firstReport(MachineRecord& machine, const MachineReported& event);
    void laterReport(MachineRecord& machine, const MachineReported& event);
    void adopt(MachineRecord& machine, AttemptId id, const protocol::HeldAttempt* held);
    void countForeign(MachineRecord& machine, const MachineReported& event, bool stop);

    // ---- recovery.cpp
    void loadFarm(const work::Recovery& recovery);
    [[nodiscard]] Result<void> loadMachines(const work::Recovery& recovery);
    [[nodiscard]] Result<void> loadSteps(std::span<const work::StepRow> steps);
    [[nodiscard]] Result<void> loadDependencies(std::span<const work::DependencyRow> rows);
    [[nodiscard]] Result<void> loadJobs(std::span<const work::JobRow> jobs, std::span<const work::JobStepRow> links);
    [[nodiscard]] Result<void> loadAttempts(const work::Recovery& recovery);
    JobRecord& addJob(const work::JobRow& row);
    void resumeSteps(std::span<const StepId> steps);
    void resumeJobs(std::span<const JobId> jobs);

    // ---- invariants.cpp
    [[nodiscard]] Result<void> checkJobs() const;
    [[nodiscard]] Result<void> checkSteps() const;
    [[nodiscard]] Result<void> checkNeeds() const;
    [[nodiscard]] Result<void> checkAttempts() const;
    [[nodiscard]] Result<void> checkMachines() const;

    // ---- views.cpp, explain.cpp
    [[nodiscard]] static std::string queueKey(const work::Placement& placement);
    void showOldest(QueueView& queue, std::pair<WallTime, StepId> candidate) const;
    void addGroups(std::map<std::string, QueueView>& queues) const;
    [[nodiscard]] static MachineCondition conditionOf(const MachineRecord& machine);
    void addRoom(const MachineRecord& machine, MachineView& view) const;
    void countWaiting(Totals& totals) const;
    struct Binding { // steps in the planner's queues by what keeps them from starting
        std::map<std::string, std::uint64_t> steps;
        std::uint64_t looked = 0; // leaves
    };
    [[nodiscard]] const char* farmReason() const;
    [[nodiscard]] Binding countBinding() const;
    void keepBinding();
    using Reaches = std::map<sched::PlacementIndex, sched::Planner::Reach>;
    [[nodiscard]] std::string bindingReason(const sched::Planner::LeafView& leaf, Reaches& reaches) const;
    [[nodiscard]] std::string bindingMachineReason(const work::Placement& placement,
                                                   const sched::Planner::LeafView& leaf) const;
    [[nodiscard]] AttemptView viewOf(AttemptId id, const AttemptRecord& attempt) const;
    [[nodiscard]] std::vector<StepId> stepsToTell(const JobRecord& job, std::size_t limit) const;
    [[nodiscard]] StepExplanation explainOne(StepId id, const StepRecord& step, Inquiry& inquiry, Now now) const;
    [[nodiscard]] const Survey& surveyFor(const StepRecord& step, Inquiry& inquiry, Now now) const;
    [[nodiscard]] const sched::Planner::Ahead& aheadOf(const StepRecord& step, Inquiry& inquiry) const;
    void explainReady(StepId id, const StepRecord& step, StepExplanation& explanation, Inquiry& inquiry, Now now) const;
    void explainStart(const StepRecord& step, const Survey& survey, std::uint64_t before,
                      StepExplanation& explanation) const;
    void explainStopped(StepId id, const StepRecord& step, StepExplanation& explanation) const;
    void explainGate(const StepRecord& step, const Needs::View& need, StepExplanation& explanation) const;
    void explainOrder(const sched::Planner::Ahead& ahead, std::uint64_t inGroup, StepExplanation& explanation) const;
    void explainBlocked(StepId id, StepExplanation& explanation, Now now) const;
    void explainDelayed(const StepRecord& step, StepExplanation& explanation, Now now) const;
    void explainRunning(const StepRecord& step, StepExplanation& explanation, Now now) const;
    [[nodiscard]] std::optional<WallTime> expectedEnd(StepId step) const;
    [[nodiscard]] MachineSight sightOf(MachineId id, const MachineRecord& machine) const;

    CoreOptions m_options;
    Now m_now{};
    work::IdMarks m_marks;
    work::IdMarks m_storedMarks; // as of the last batch

    work::IdMap<JobId, JobRecord> m_jobs;
    work::IdMap<StepId, StepRecord> m_steps;
    work::IdMap<AttemptId, AttemptRecord> m_attempts; // of each step the newest
    work::IdMap<MachineId, MachineRecord> m_machines;
    std::map<SessionId, MachineId> m_sessions;
    std::map<std::string, MachineId> m_identities;
    work::Dag m_dag;
    Needs m_needs;
    sched::Planner m_planner;
    Interner<StepPolicy> m_policies;
    Interner<JobOrigin> m_origins;
    std::vector<OriginState> m_originStates; // by index of the origin
    sched::ShareLedger m_ledger;
    sched::History m_history;
    Duration m_typical{std::chrono::seconds(30)}; // of a step of which nothing is known: the moving average
    std::uint64_t m_typicalMilliCpus = 0;         // likewise
    std::uint32_t m_experience = 0;               // runs in those, up to a limit
    std::uint32_t m_unknownPerMille = 1000;       // of those: nothing had been known of such steps before
    struct ShareState {
        std::string name;
        std::uint64_t origins = 0;
        std::uint64_t openJobs = 0;
    };
    std::map<sched::ShareIndex, ShareState> m_shares; // of origins in use
    std::map<std::string, sched::ShareIndex> m_openGroups; // of those: with open jobs
    std::map<std::string, work::NamespaceRow> m_namespaces;
    std::map<std::string, std::uint64_t> m_openByNamespace;
    work::DispatchPause m_pause;
    std::map<sched::PlacementIndex, std::pair<WallTime, StepId>> m_oldestReady; // as of the last whole patrol
    std::map<sched::PlacementIndex, std::pair<WallTime, StepId>> m_oldestSeen;  // of the patrol under way
    StepId m_patrolAt{0};
    std::optional<Binding> m_binding; // as of the last tick, while there are many leaves
    bool m_ticks = false; // a Tick is among the deadlines
    std::uint32_t m_tickCount = 0;
    Deadlines m_deadlines;
    std::uint64_t m_openJobs = 0;
    std::uint64_t m_openSteps = 0;
    Counters m_counters;

    // Idempotency keys of the jobs in memory and of a bounded number of older ones, oldest first.
    std::map<std::pair<std::string, std::string>, JobId> m_keys;
    std::deque<std::pair<std::string, std::string>> m_oldKeys;

    std::deque<JobId> m_finished; // recently, oldest first
    std::uint64_t m_finishedSteps = 0; // of those jobs, as they were counted

    std::uint64_t m_sequence = 0; // of the last Persist
    std::uint64_t m_confirmed = 0;
    bool m_storeOk = true;
    std::string m_storeError;
    bool m_planAgain = false;
    std::optional<Instant> m_armed;

    // This batch.
    work::Changes m_changes;
    std::vector<JobId> m_dirtyJobs;
    std::vector<StepId> m_dirtySteps;
    std::vector<AttemptId> m_dirtyAttempts;
    std::vector<MachineId> m_dirtyMachines;
    std::vector<StepId> m_leaving;  // have ended and are no job's
    std::vector<StepId> m_unneeded; // new ones that nothing needs from the start
    std::vector<AttemptId> m_superseded;  // by a newer attempt of their step
    std::vector<JobId> m_probesOver;
    std::vector<MachineId> m_toProbe;       // Probing, and none runs yet; kept over batches
    std::vector<MachineId> m_waitingProbes; // of those: while nothing may start
    std::vector<MachineId> m_outgoing; // machines with a Desired to send
    std::vector<JobId> m_shownJobs;
    std::vector<StepId> m_shownSteps;
    std::vector<MachineId> m_shownMachines;
    std::map<SessionId, std::vector<AttemptId>> m_stored;
    std::vector<Command> m_early; // carry no `after` of their own batch: closes
    std::vector<Command> m_late;  // their `after` is filled in at the end
};

} // namespace penstock::core::detail
