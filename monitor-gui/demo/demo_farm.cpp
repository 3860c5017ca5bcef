// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/demo/demo_farm.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <string_view>

namespace penstock::gui {

namespace {

using namespace std::string_view_literals;

constexpr std::array kHosts = {"alder"sv,  "birch"sv, "cedar"sv,    "dogwood"sv, "elm"sv,   "fir"sv,
                               "ginkgo"sv, "hazel"sv, "ironwood"sv, "juniper"sv, "larch"sv, "maple"sv};
constexpr std::array kPackages = {
    "hello-2.12.1"sv,    "openssl-3.3.2"sv,  "firefox-132.0"sv,     "linux-6.6.63"sv,     "postgresql-16.5"sv,
    "qtbase-6.8.0"sv,    "gcc-13.3.0"sv,     "python3-3.12.7"sv,    "systemd-256.8"sv,    "ffmpeg-7.1"sv,
    "llvm-18.1.8"sv,     "rustc-1.82.0"sv,   "nginx-1.27.2"sv,      "git-2.47.0"sv,       "blender-4.2.3"sv,
    "nixos-test-boot"sv, "chromium-131.0"sv, "imagemagick-7.1.1"sv, "libreoffice-24.8"sv, "bash-5.2p37"sv};
constexpr std::array kUsers = {"ada"sv, "grace"sv, "linus"sv, "margaret"sv, "ci"sv};
constexpr std::array kPhases = {"unpackPhase"sv, "configurePhase"sv, "buildPhase"sv, "checkPhase"sv,
                                "installPhase"sv};
constexpr std::size_t kKeptJobs = 60;
constexpr std::uint64_t kMicrosPerSecond = 1'000'000;

} // namespace

DemoFarm::DemoFarm(std::uint32_t machines, std::uint32_t seed, WallTime start) : m_random(seed), m_now(start)
{
    m_counters.set_database_ok(true);
    for (std::uint32_t index = 0; index < machines; ++index)
        addMachine(index);
    addStuckJob();
}

double DemoFarm::random()
{
    return static_cast<double>(m_random()) / 4294967296.0;
}

std::uint32_t DemoFarm::random(std::uint32_t below)
{
    return static_cast<std::uint32_t>(random() * below);
}

void DemoFarm::addMachine(std::uint32_t index)
{
    static constexpr std::array<std::uint32_t, 4> kCores = {8, 16, 32, 64};
    monitor::MachineRecord& machine = m_machines.emplace_back();
    machine.set_id(index + 1);
    const std::string_view host = kHosts[index % kHosts.size()];
    machine.set_name(index < kHosts.size() ? std::string(host)
                                           : fmt::format("{}-{}", host, index / kHosts.size() + 1));
    machine.set_state(monitor::MACHINE_READY);
    machine.add_systems(index % 4 == 3 ? "aarch64-linux" : "x86_64-linux");
    machine.add_features("big-parallel");
    if (index % 3 == 0)
        machine.add_features("kvm");
    const std::uint32_t cores = kCores[(index * 7 + 1) % kCores.size()];
    machine.set_cores(cores);
    machine.set_slots(std::max(2U, cores / 4));
    m_slots += machine.slots();
    machine.set_memory_bytes(std::uint64_t{cores} * 4 << 30U);
    machine.set_disk_total_bytes(std::uint64_t{960} << 30U);
    machine.set_disk_free_bytes(std::uint64_t{200 + 37 * (index % 13)} << 30U);
    machine.set_has_psi(index % 12 != 9); // one in twelve has none
    machine.set_limit_psi_cpu(75);
    machine.set_limit_psi_mem(10);
    machine.set_limit_psi_io(40);
    machine.set_limit_load1(cores * 2);
    machine.set_version("0.1.0");
    machine.add_executors("command");
    machine.add_executors("nix");
    machine.set_last_seen_us(micros());
    if (index % 12 == 6) {
        machine.set_state(monitor::MACHINE_DRAINING);
        machine.set_note("new disk on Monday");
    } else if (index % 12 == 10) {
        machine.set_state(monitor::MACHINE_DISCONNECTED);
        machine.set_last_seen_us(micros() - 1140 * kMicrosPerSecond);
    }
    machine.set_limit_disk_free_bytes(std::uint64_t{20} << 30U);
    machine.set_limit_memory_free_bytes(std::uint64_t{1} << 30U);
    machine.set_os("linux");
    machine.mutable_health()->set_state(monitor::HEALTH_HEALTHY);
    if (index % 12 == 8) { // an operator keeps its disks for something else
        machine.set_limit_psi_io(4);
        machine.add_overridden("io_psi");
    } else if (index % 12 == 4) {
        machine.set_state(monitor::MACHINE_QUARANTINED);
        machine.mutable_health()->set_state(monitor::HEALTH_QUARANTINED);
        machine.mutable_health()->set_failures_in_row(3);
        machine.mutable_health()->set_reason("cannot write /nix/store: read-only file system");
        watchHealth(machine);
    }
    showRoom(machine);
}

DemoStep& DemoFarm::addStep(std::uint64_t jobId, const std::string& system)
{
    const std::uint64_t id = ++m_lastId;
    DemoStep& step = m_steps[id];
    step.jobId = jobId;
    step.system = system;
    step.group = "default";
    step.record.set_id(id);
    step.record.set_name(std::string(kPackages[random(kPackages.size())]));
    step.record.set_drv_path(fmt::format("/nix/store/{:016x}{:016x}-{}.drv", id * 0x9E3779B97F4A7C15ULL,
                                         id * 0xC2B2AE3D27D4EB4FULL, step.record.name()));
    step.record.set_state(monitor::STEP_BLOCKED);
    step.secondsLeft = 8 + static_cast<std::uint32_t>(random() * random() * 220);
    step.fails = random() < 0.025;
    m_jobSteps[jobId].push_back(id);
    return step;
}

void DemoFarm::addJob()
{
    const std::uint64_t jobId = ++m_lastId;
    const std::uint32_t count = 3 + random(18);
    const std::string system = random() < 0.25 ? "aarch64-linux" : "x86_64-linux";
    std::vector<std::uint64_t> ids;
    for (std::uint32_t index = 0; index < count; ++index) {
        DemoStep& step = addStep(jobId, system);
        if (random() < 0.08)
            step.feature = "kvm";
        const std::uint32_t wanted = index < 3 ? 0 : 1 + random(2);
        std::set<std::uint64_t> dependencies;
        for (std::uint32_t edge = 0; edge < wanted; ++edge)
            dependencies.insert(ids[random(static_cast<std::uint32_t>(ids.size()))]);
        for (const std::uint64_t dependency : dependencies)
            step.record.add_depends_on(dependency);
        step.missing = static_cast<std::uint32_t>(dependencies.size());
        ids.push_back(step.record.id());
        if (step.missing == 0)
            makeReady(step);
    }
    m_steps[ids.back()].record.set_requested(true);
    monitor::JobRecord& job = m_jobs[jobId];
    job.set_id(jobId);
    job.set_name(m_steps[ids.back()].record.name());
    job.set_user(std::string(kUsers[random(kUsers.size())]));
    const double lot = random();
    job.set_namespace_(lot < 0.7 ? "nixpkgs" : "default");
    for (const std::uint64_t id : ids)
        m_steps[id].group = lot < 0.5 ? "nixpkgs:trunk" : lot < 0.7 ? "nixpkgs:staging" : "default";
    job.set_priority(static_cast<std::int32_t>(random(3)) * 50);
    job.set_state(monitor::JOB_QUEUED);
    job.set_created_us(micros());
    settleJob(jobId);
}

// Needs a system that no machine of the farm has: the queue page must say so.
void DemoFarm::addStuckJob()
{
    const std::uint64_t jobId = ++m_lastId;
    for (int index = 0; index < 3; ++index)
        makeReady(addStep(jobId, "riscv64-linux"));
    monitor::JobRecord& job = m_jobs[jobId];
    job.set_id(jobId);
    job.set_name("bootstrap-riscv64");
    job.set_user("ada");
    job.set_namespace_("default");
    job.set_state(monitor::JOB_QUEUED);
    job.set_created_us(micros());
    settleJob(jobId);
}

void DemoFarm::makeReady(DemoStep& step)
{
    step.record.set_state(monitor::STEP_READY);
    step.record.set_ready_us(micros());
    m_ready.push_back(step.record.id());
}

void DemoFarm::arrive()
{
    // A tide with a period of eleven minutes around what the farm can do.
    const double tide = 0.66 + 0.42 * std::sin(static_cast<double>(m_ticks) * 2 * M_PI / 660.0);
    m_jobsDue += tide * m_slots / (62.0 * 12.0);
    for (; m_jobsDue >= 1; m_jobsDue -= 1)
        addJob();
}

void DemoFarm::tick()
{
    ++m_ticks;
    m_now = m_now + std::chrono::seconds(1);
    m_changedJobs.clear();
    m_removedJobs.clear();
    arrive();
    finishDue();
    if (m_pausedSince == 0)
        startReady();
    for (monitor::MachineRecord& machine : m_machines) {
        weather(machine);
        watchHealth(machine);
        showRoom(machine);
    }
    while (m_finishedJobs.size() > kKeptJobs) {
        const std::uint64_t jobId = m_finishedJobs.front();
        m_finishedJobs.pop_front();
        for (const std::uint64_t step : m_jobSteps[jobId]) {
            m_attempts.erase(m_steps[step].record.attempt_id());
            m_steps.erase(step);
        }
        m_jobSteps.erase(jobId);
        m_jobs.erase(jobId);
        m_changedJobs.erase(jobId);
        m_removedJobs.push_back(jobId);
    }
}

void DemoFarm::finishDue()
{
    std::vector<std::uint64_t> done;
    for (const std::uint64_t id : m_running) {
        DemoStep& step = m_steps[id];
        m_used[step.group] += 1;
        if (step.secondsLeft > 0)
            --step.secondsLeft;
        const std::uint64_t elapsed = (micros() - step.record.started_us()) / kMicrosPerSecond;
        const auto phase = std::min<std::uint64_t>(
            elapsed * kPhases.size() / (elapsed + step.secondsLeft + 1), kPhases.size() - 1);
        if (step.record.phase() != kPhases[phase]) {
            step.record.set_phase(std::string(kPhases[phase]));
            m_changedJobs.insert(step.jobId);
        }
        step.record.set_log_bytes(elapsed * 211);
        if (step.secondsLeft == 0)
            done.push_back(id);
    }
    for (const std::uint64_t id : done)
        finish(m_steps[id]);
}

void DemoFarm::finish(DemoStep& step)
{
    const std::uint64_t id = step.record.id();
    m_running.erase(id);
    monitor::MachineRecord& machine = m_machines[step.machineId - 1];
    machine.set_used(machine.used() - 1);
    auto& running = *machine.mutable_running();
    for (int index = 0; index < running.size(); ++index) {
        if (running.Get(index).step_id() == id) {
            running.DeleteSubrange(index, 1);
            break;
        }
    }
    step.record.set_finished_us(micros());
    machine.set_finished(machine.finished() + 1);
    step.record.set_state(step.fails ? monitor::STEP_FAILED : monitor::STEP_SUCCEEDED);
    step.record.set_result(step.fails ? "failed" : "succeeded");
    step.record.clear_phase();
    if (step.fails) {
        step.record.set_exit_code(2);
        step.record.set_error("builder failed with exit code 2");
        machine.set_failed(machine.failed() + 1);
        m_counters.set_finished_failed(m_counters.finished_failed() + 1);
        failDependents(step);
    } else {
        m_counters.set_finished_ok(m_counters.finished_ok() + 1);
        for (const std::uint64_t other : m_jobSteps[step.jobId]) {
            DemoStep& next = m_steps[other];
            const auto& needs = next.record.depends_on();
            if (next.missing > 0 && std::find(needs.begin(), needs.end(), id) != needs.end() &&
                --next.missing == 0 && next.record.state() == monitor::STEP_BLOCKED)
                makeReady(next);
        }
    }
    settleJob(step.jobId);
}

void DemoFarm::failDependents(const DemoStep& failed)
{
    for (const std::uint64_t other : m_jobSteps[failed.jobId]) {
        DemoStep& next = m_steps[other];
        const auto& needs = next.record.depends_on();
        if (next.record.state() != monitor::STEP_BLOCKED ||
            std::find(needs.begin(), needs.end(), failed.record.id()) == needs.end())
            continue;
        next.record.set_state(monitor::STEP_FAILED);
        next.record.set_result("dependency_failed");
        next.record.set_failed_dependency(failed.record.id());
        next.record.set_finished_us(micros());
        failDependents(next);
    }
}

void DemoFarm::settleJob(std::uint64_t jobId)
{
    monitor::JobRecord& job = m_jobs[jobId];
    std::uint32_t done = 0;
    std::uint32_t failed = 0;
    std::uint32_t running = 0;
    const std::vector<std::uint64_t>& steps = m_jobSteps[jobId];
    for (const std::uint64_t id : steps) {
        const monitor::StepState state = m_steps[id].record.state();
        done += state == monitor::STEP_SUCCEEDED ? 1U : 0U;
        failed += state == monitor::STEP_FAILED ? 1U : 0U;
        running += state == monitor::STEP_RUNNING ? 1U : 0U;
    }
    job.set_steps_total(static_cast<std::uint32_t>(steps.size()));
    job.set_steps_done(done);
    job.set_steps_failed(failed);
    job.set_steps_running(running);
    m_changedJobs.insert(jobId);
    if (running > 0 && job.started_us() == 0) {
        job.set_started_us(micros());
        job.set_state(monitor::JOB_RUNNING);
    }
    if (done + failed < steps.size() || job.finished_us() != 0)
        return;
    job.set_finished_us(micros());
    job.set_state(failed > 0 ? monitor::JOB_FAILED : monitor::JOB_SUCCEEDED);
    job.set_result(failed > 0 ? "failed" : "succeeded");
    m_finishedJobs.push_back(jobId);
}

bool DemoFarm::startOn(monitor::MachineRecord& machine, DemoStep& step)
{
    if (!demoStage(machine, step).empty())
        return false;
    machine.set_used(machine.used() + 1);
    step.machineId = machine.id();
    const std::uint64_t attempt = ++m_lastId;
    m_attempts[attempt] = step.record.id();
    step.record.set_state(monitor::STEP_RUNNING);
    step.record.set_attempt_id(attempt);
    step.record.set_attempts(1);
    step.record.set_machine(machine.name());
    step.record.set_started_us(micros());
    monitor::RunningStep& running = *machine.add_running();
    running.set_attempt_id(attempt);
    running.set_step_id(step.record.id());
    running.set_job_id(step.jobId);
    running.set_name(step.record.name());
    running.set_since_us(micros());
    m_running.insert(step.record.id());
    settleJob(step.jobId);
    return true;
}

void DemoFarm::startReady()
{
    std::deque<std::uint64_t> waiting;
    std::set<std::string> full; // machines only fill up meanwhile, so what found none need not be tried again
    const std::size_t first = random(static_cast<std::uint32_t>(m_machines.size()));
    for (const std::uint64_t id : m_ready) {
        DemoStep& step = m_steps[id];
        const std::string kind = step.system + step.feature;
        bool started = false;
        const bool hopeless = full.contains(kind);
        for (std::size_t index = 0; index < m_machines.size() && !started && !hopeless; ++index)
            started = startOn(m_machines[(first + id + index) % m_machines.size()], step);
        if (started)
            continue;
        full.insert(kind);
        waiting.push_back(id);
    }
    m_ready = std::move(waiting);
}

void DemoFarm::weather(monitor::MachineRecord& machine)
{
    if (machine.state() == monitor::MACHINE_DISCONNECTED)
        return;
    const auto drift = [this](double current, double target, double noise) {
        return std::max(0.0, current + (target - current) * 0.12 + (random() - 0.5) * noise);
    };
    const double use = static_cast<double>(machine.used()) / machine.slots();
    const double cores = machine.cores();
    // Some machines are built worse than others, and each has its own tide of disk traffic.
    const double temper = 0.7 + 0.1 * static_cast<double>(machine.id() * 5 % 9);
    const double tide =
        std::sin(static_cast<double>(m_ticks) / 47.0 + static_cast<double>(machine.id()) * 1.7);
    machine.set_load1(drift(machine.load1(), use * cores * 1.05 * temper, cores * 0.06));
    machine.set_cpu_busy_percent(std::min(100.0, drift(machine.cpu_busy_percent(), use * 92, 6)));
    machine.set_psi_cpu_some(std::min(100.0, drift(machine.psi_cpu_some(), use * use * 52 * temper, 5)));
    machine.set_psi_mem_full(
        std::min(100.0, drift(machine.psi_mem_full(), std::max(0.0, use - 0.55) * 11 * temper, 0.8)));
    machine.set_psi_io_full(
        std::min(100.0, drift(machine.psi_io_full(), use * (13 + 13 * tide) * temper * temper, 3)));
    machine.set_psi_mem_some(machine.psi_mem_full() * 1.4);
    machine.set_psi_io_some(std::min(100.0, machine.psi_io_full() * 1.5));
    const auto total = static_cast<double>(machine.memory_bytes());
    const double free =
        drift(static_cast<double>(machine.memory_available_bytes()) / total, 0.92 - 0.7 * use, 0.01);
    machine.set_memory_available_bytes(static_cast<std::uint64_t>(std::min(free, 1.0) * total));
    for (monitor::RunningStep& running : *machine.mutable_running())
        running.set_phase(m_steps[running.step_id()].record.phase());
    machine.set_last_seen_us(micros());
}

} // namespace penstock::gui
