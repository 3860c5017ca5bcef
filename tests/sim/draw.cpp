// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/draw.h"

#include <array>
#include <fmt/format.h>

namespace penstock::sim {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

struct Kind {
    const char* name;
    std::unique_ptr<Workload> (*make)();
    std::uint64_t percent; // of runs with faults that have it
};
constexpr std::array<Kind, 10> kKinds{{{"graphs", randomGraphs, 60},
                                      {"bursts", bursts, 20},
                                      {"tenants", tenants, 20},
                                      {"architectures", architectures, 20},
                                      {"evaluation", evaluation, 2},
                                      {"resources", resources, 30},
                                      {"limits", limits, 25},
                                      {"operations", operations, 40},
                                      {"unsupported", unsupported, 15},
                                      {"roots", sharedGraph, 35}}};

core::CoreOptions optionsFor(Random& random)
{
    core::CoreOptions options;
    options.stopGrace = seconds(20);
    options.limits.infrastructure.initial = seconds(random.between(1, 30));
    options.limits.infrastructureFailures = static_cast<std::uint32_t>(random.between(0, 5));
    options.finishedJobsKept = random.between(0, 5);
    options.finishedStepsKept = random.between(1, 50);
    options.maxUnconfirmed = random.between(2, 40);
    options.visitsPerPass = random.chance(30) ? random.between(1, 5) : 20'000;
    options.health.backOff.initial = seconds(random.between(5, 60));
    options.health.backOff.max = minutes(2);
    options.policy.promoteAfter =
        random.chance(30) ? Duration(seconds(random.between(20, 120))) : minutes(360);
    options.policy.reserveAfter = seconds(random.between(5, 120));
    options.policy.steps = static_cast<sched::StepSort>(random.between(0, 2));
    options.policy.machines = static_cast<sched::MachineSort>(random.between(0, 3));
    options.policy.room = random.chance(70) ? sched::MachineFree::DynamicWithMaxJobLimit
                                            : static_cast<sched::MachineFree>(random.between(0, 1));
    return options;
}

protocol::MachineFacts factsFor(std::size_t index, Random& random)
{
    protocol::MachineFacts facts;
    facts.name = fmt::format("m{}", index);
    facts.systems = {"x86_64-linux"};
    if (index % 2 == 0)
        facts.features = {"kvm"};
    facts.executors = {"command", "nix"};
    facts.maxJobs = static_cast<std::uint32_t>(random.between(1, 4));
    facts.cores = facts.maxJobs;
    facts.os = "linux";
    facts.speedFactor = static_cast<double>(random.between(1, 3));
    if (random.chance(50)) {
        facts.thresholds.load1 = 8;
        facts.thresholds.cpuPsi = 75;
        facts.thresholds.memoryPsi = 10;
        facts.thresholds.ioPsi = 20;
        facts.thresholds.minFreeDiskBytes = std::uint64_t{5} << 30U;
    }
    return facts;
}

Faults faultsFor(Random& random)
{
    return {.links = random.chance(60),
            .builders = random.chance(50),
            .server = random.chance(60),
            .disk = random.chance(40),
            .duplicate = random.chance(25),
            .blackHole = random.chance(20),
            .pressure = random.chance(40),
            .people = random.chance(80)};
}

// Nothing holds steps back but slots, so that what is idle is idle without a reason.
void calm(Plan& plan)
{
    plan.isCalm = plan.isStrict = true;
    plan.faults = {};
    plan.options.policy.room = sched::MachineFree::Static;
    plan.options.maxUnconfirmed = 40;
    plan.options.visitsPerPass = 20'000;
    for (protocol::MachineFacts& machine : plan.machines)
        machine.thresholds = {};
}

std::string wordsFor(const Faults& faults)
{
    std::string words;
    const auto say = [&words](bool is, const char* name) {
        words += is ? fmt::format(" {}", name) : std::string();
    };
    say(faults.links, "links");
    say(faults.builders, "builders");
    say(faults.server, "server");
    say(faults.disk, "disk");
    say(faults.duplicate, "duplicate");
    say(faults.blackHole, "black-hole");
    say(faults.pressure, "pressure");
    say(faults.people, "people");
    return words;
}

} // namespace

Drawn draw(Random& random, bool isLarge)
{
    Drawn drawn;
    Plan& plan = drawn.plan;
    plan.options = optionsFor(random);
    plan.isLarge = isLarge;
    for (std::size_t i = 0, count = random.between(2, 5); i < count; ++i)
        plan.machines.push_back(factsFor(i, random));
    plan.faults = faultsFor(random);
    // The first two always come back and their identities are taken.
    plan.faults.blackHole = plan.faults.blackHole && plan.machines.size() > 2;
    std::vector<const Kind*> kinds;
    if (isLarge || random.chance(15)) {
        calm(plan);
        const std::uint64_t number = isLarge || random.chance(10) ? 4 : random.between(0, 3);
        kinds.push_back(&kKinds[number]);
    } else {
        for (const Kind& kind : kKinds)
            if (random.chance(kind.percent))
                kinds.push_back(&kind);
        if (kinds.empty())
            kinds.push_back(&kKinds.front());
    }
    for (const Kind* kind : kinds) {
        drawn.workloads.push_back(kind->make());
        drawn.workloads.back()->prepare(plan, random);
        drawn.words += fmt::format("{}{}", drawn.words.empty() ? "" : "+", kind->name);
    }
    drawn.words += wordsFor(plan.faults);
    return drawn;
}

} // namespace penstock::sim
