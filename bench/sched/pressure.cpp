// SPDX-License-Identifier: GPL-3.0-or-later
// C. Pressure: 16 machines of 16 cores with a cpu threshold of 75 % (and 40 % for the disk), steps that use
// up to eight threads while they ask for one or for nothing, reports every five seconds of averages over ten.
// How long is a machine's true average above its threshold by our work alone; and how much of what an oracle,
// who knows every step's demand, would get done, do we?
#include "bench/sched/replay.h"
#include "bench/sched/suites.h"
#include "tests/support/workload_requests.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace penstock::bench {
namespace {

const std::string kSection = "C pressure";
constexpr std::size_t kMachines = 16;
constexpr std::uint32_t kCores = 16;
constexpr std::uint32_t kSlots = 16;
constexpr std::size_t kLoaded = 4; // machines with foreign load
constexpr std::size_t kKinds = 40;
constexpr std::size_t kBacklog = 2'000;
constexpr Duration kMinute = std::chrono::minutes(1);
constexpr Duration kWarm = kMinute * 15; // until then nothing is known of any kind of step

struct Scene {
    std::string name;
    sched::MachineFree room = sched::MachineFree::DynamicWithMaxJobLimit;
    std::uint32_t askedCpus = 0;
    bool usesDisk = false;
    bool foreign = false;
};

std::vector<Scene> scenes(const SuiteSettings& settings)
{
    using enum sched::MachineFree;
    std::vector<Scene> all;
    all.push_back({"steps say nothing", DynamicWithMaxJobLimit});
    all.push_back({"steps ask 1 cpu, take up to 8", DynamicWithMaxJobLimit, 1});
    if (settings.quick)
        return all;
    all.push_back({"no slot limit (Dynamic)", Dynamic});
    all.push_back({"no slot limit (Dynamic), steps ask 1 cpu", Dynamic, 1});
    all.push_back({"disk too", DynamicWithMaxJobLimit, 0, true});
    all.push_back({"others load 4 machines for 15 min", DynamicWithMaxJobLimit, 0, false, true});
    return all;
}

protocol::MachineFacts factsOf(std::size_t index)
{
    protocol::MachineFacts facts = test::machineFacts(fmt::format("m{}", index), kSlots, kCores);
    facts.thresholds.cpuPsi = 75;
    facts.thresholds.ioPsi = 40;
    return facts;
}

class Stream { // endless, always the same steps in the same order
public:
    Stream(const Scene& scene, std::uint64_t seed) : m_kinds(test::stepKinds(kKinds, seed)), m_seed(seed)
    {
        if (!scene.usesDisk)
            for (test::StepKind& kind : m_kinds)
                kind.ioPermille = 0;
    }
    [[nodiscard]] std::size_t kindOf(std::uint64_t number) const
    {
        return sim::Random(m_seed + number * 7).next() % kKinds;
    }
    [[nodiscard]] const std::string& name(std::size_t kind) const { return m_kinds[kind].name; }
    [[nodiscard]] Truth truth(std::size_t kind, std::uint64_t number) const
    {
        const test::StepKind& habits = m_kinds[kind];
        return {test::durationOf(habits, m_seed, number), habits.milliThreads, habits.ioPermille};
    }

private:
    std::vector<test::StepKind> m_kinds;
    std::uint64_t m_seed;
};

bool fits(const MachineModel& machine, const Truth& truth, bool slotsCount)
{
    const protocol::Thresholds& limits = machine.facts().thresholds;
    return (!slotsCount || machine.running().size() < machine.facts().maxJobs) &&
           cpuSome(machine.threads() + truth.milliThreads / 1000.0, kCores) <= limits.cpuPsi &&
           (truth.ioPermille == 0 || ioFull(machine.io() + truth.ioPermille / 1000.0) <= limits.ioPsi);
}

// Busy share of the cores on one machine, when whoever chooses knows all and may pick among the next few
// steps.
double oracle(const Stream& stream, const Scene& scene, Duration length)
{
    constexpr std::size_t kAhead = 50;
    Now now{};
    MachineModel machine(factsOf(0), true, now.mono);
    std::vector<std::uint64_t> waiting;
    std::uint64_t next = 0;
    while (now.mono.sinceStart < length) {
        while (waiting.size() < kAhead)
            waiting.push_back(++next);
        for (auto at = waiting.begin(); at != waiting.end();) {
            const Truth truth = stream.truth(stream.kindOf(*at), *at);
            if (!fits(machine, truth, scene.room != sched::MachineFree::Dynamic)) {
                ++at;
                continue;
            }
            machine.start(AttemptId(*at), truth, now);
            waiting.erase(at);
            at = waiting.size() < kAhead / 2 ? waiting.end() : waiting.begin();
        }
        now.mono = std::min(machine.nextFinish().value_or(Instant{length}), Instant{length});
        while (machine.takeFinished(now.mono)) {
        }
        machine.advance(now.mono);
    }
    return machine.busyMicros() / static_cast<double>(length.count()) / kCores;
}

struct Load { // over all machines
    double cpu = 0;
    double disk = 0;
    double total = 0;
};

Load worstOver(Replay& replay)
{
    Load worst;
    for (MachineModel& machine : replay.machines()) {
        machine.advance(replay.now().mono);
        worst.cpu = std::max(worst.cpu, static_cast<double>(machine.overCpu().longest.count()) / 1e6);
        worst.disk = std::max(worst.disk, static_cast<double>(machine.overIo().longest.count()) / 1e6);
        worst.total += static_cast<double>(machine.overCpu().total.count()) / 1e6;
    }
    return worst;
}

double busy(Replay& replay, std::size_t from, std::size_t to)
{
    double sum = 0;
    for (std::size_t i = from; i < to; ++i) {
        replay.machines()[i].advance(replay.now().mono);
        sum += replay.machines()[i].busyMicros();
    }
    return sum;
}

void submit(Replay& replay, const Stream& stream, const Scene& scene, std::uint64_t& submitted,
            std::uint64_t upTo)
{
    core::SubmitJobs jobs{RequestId(submitted + 1), {}};
    for (; submitted < upTo; ++submitted) {
        test::CommandSettings step;
        step.name = stream.name(stream.kindOf(submitted + 1)); // ids of steps count from 1
        step.cpus = scene.askedCpus;
        jobs.jobs.push_back(test::commandJob(step));
    }
    if (!jobs.jobs.empty())
        replay.send(std::move(jobs));
}

void addForeignLoad(Replay& replay)
{
    const auto set = [](double threads) {
        return [threads](Replay& farm) {
            for (std::size_t i = 0; i < kLoaded; ++i)
                farm.machines()[i].setForeign(threads, farm.now().mono);
        };
    };
    replay.at(kMinute * 30, set(24));
    replay.at(kMinute * 45, set(0));
}

void judge(const Scene& scene, Report& report, const Load& cold, const Load& warm)
{
    const auto gated = [&](const std::string& name, double value) {
        report.add({kSection, scene.name + ": " + name, value, "s", Gate::Gated, Budget::AtMost, 30});
    };
    gated("longest over the cpu threshold, first 15 min", cold.cpu);
    gated("longest over the cpu threshold, after that", warm.cpu);
    if (scene.usesDisk) {
        gated("longest over the disk threshold, first 15 min", cold.disk);
        gated("longest over the disk threshold, after that", warm.disk);
    }
}

void measure(const Scene& scene, Report& report, const SuiteSettings& settings)
{
    const Duration length = settings.quick ? kMinute * 45 : kMinute * 120;
    const Stream stream(scene, settings.seed);
    core::CoreOptions options;
    options.policy.room = scene.room;
    Replay replay(options, {.reportEvery = std::chrono::seconds(5), .sharesCores = true, .groups = 1},
                  [&stream](const protocol::Assignment& assignment) {
                      const std::uint64_t number = assignment.step.value();
                      return stream.truth(stream.kindOf(number), number);
                  });
    for (std::size_t i = 0; i < kMachines; ++i)
        replay.addMachine(factsOf(i));
    std::uint64_t submitted = 0;
    for (Duration at{0}; at < length; at += kMinute)
        replay.at(at, [&stream, &scene, &submitted](Replay& farm) {
            submit(farm, stream, scene, submitted, farm.finished() + kBacklog);
        });
    if (scene.foreign)
        addForeignLoad(replay);
    replay.run(kWarm);
    const Load cold = worstOver(replay);
    for (MachineModel& machine : replay.machines())
        machine.forgetOverTime();
    const double before = busy(replay, 0, kMachines);
    replay.run(length);
    const Load warm = worstOver(replay);
    const double share = (busy(replay, 0, kMachines) - before) /
                         static_cast<double>((length - kWarm).count()) / (kMachines * kCores);
    if (replay.refusals() > 0)
        report.broken(kSection, "a request was refused: " + replay.firstRefusal());
    const double best = oracle(stream, scene, length);
    judge(scene, report, cold, warm);
    report.note(kSection, scene.name + ": over the cpu threshold, of all machine time after that",
                100.0 * warm.total * 1e6 / static_cast<double>((length - kWarm).count()) / kMachines, "%");
    report.note(kSection, scene.name + ": cores busy with an oracle", 100 * best, "%");
    Figure figure{kSection, scene.name + ": cores busy, of the oracle's", 100 * share / best, "%"};
    if (!scene.foreign) {
        figure.gate = Gate::Gated;
        figure.kind = Budget::AtLeast;
        figure.limit = 90;
    }
    report.add(std::move(figure));
    report.add({kSection, scene.name + ": starts on a machine known to be over",
                static_cast<double>(replay.startsUnderPressure()), "", Gate::Gated, Budget::AtMost, 0});
}

} // namespace

void pressure(Report& report, const SuiteSettings& settings)
{
    for (const Scene& scene : scenes(settings))
        measure(scene, report, settings);
}

} // namespace penstock::bench
