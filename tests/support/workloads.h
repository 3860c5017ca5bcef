// SPDX-License-Identifier: GPL-3.0-or-later
// Workloads: seeded pictures of what farms are given, with the truth that a scheduler does not see (how long
// a step takes, what it really uses). For benchmarks and simulations. Pure values; one seed is one workload.
#pragma once

#include "shared/base/clock.h"
#include "tests/sim/random.h"

#include <cstdint>
#include <string>
#include <vector>

namespace penstock::test {

// Log-normal, with this median; spread is the standard deviation of the logarithm.
[[nodiscard]] double logNormal(sim::Random& random, double median, double spread);

struct TrueStep {
    std::string name;                     // equal names mean equal packages, also in other evaluations
    std::vector<std::uint32_t> dependsOn; // indices into the same vector, all smaller
    Duration duration{0};                 // alone on a machine of speed 1
    std::uint32_t milliThreads = 1000;    // threads that want to run, on average, in thousandths
    std::uint32_t ioPermille = 0;         // of what a machine's disk can do
    std::uint32_t askedCpus = 0;          // what it says it needs; 0: nothing
    bool root = false;                    // nothing in the evaluation depends on it
};

struct Evaluation {
    std::string name;
    std::string shareGroup;
    Duration arrival{0};
    std::vector<TrueStep> steps;
};

// A package set with the shape of nixpkgs: a bootstrap chain that ends in one hub that everything needs, core
// libraries that many need (popularity by Zipf), families around an interpreter, a few packages of an hour or
// more, tests at the end. Most steps take seconds.
class PackageSet {
public:
    PackageSet(std::size_t packages, std::uint64_t seed);

    // What must be rebuilt when one package changes: it and all that needs it, directly or not. The package
    // is chosen so that about so many steps result; as many as there are: the bootstrap changes too.
    // Durations differ a little from one evaluation to the next.
    [[nodiscard]] Evaluation evaluate(std::size_t steps, sim::Random& random) const;
    [[nodiscard]] std::size_t size() const { return m_packages.size(); }

private:
    struct Package {
        std::string name;
        std::vector<std::uint32_t> dependsOn; // sorted
        double seconds = 0;
    };
    void addBootstrap(sim::Random& random);
    void addPackage(sim::Random& random, std::size_t total);
    [[nodiscard]] double secondsOf(std::size_t index, std::size_t total, sim::Random& random) const;
    void countAffected();

    std::vector<Package> m_packages;
    std::vector<std::uint32_t> m_affected; // steps to rebuild when the package changes
};

// Several evaluations of one package set in different share groups, a few of them of everything; arrivals
// spread evenly at random over the time given. Equal seeds give equal sets; `run` only changes durations a
// little.
struct MixSettings {
    std::size_t evaluations = 8;
    std::size_t smallest = 1'000;
    std::size_t largest = 7'000;
    Duration arrivals{0};
    std::uint64_t seed = 1;
    std::uint64_t run = 0;
};
[[nodiscard]] std::vector<Evaluation> mixedEvaluations(const PackageSet& packages,
                                                       const MixSettings& settings);

// One evaluation of any size whose shape does not change with it: a hub first, then steps that need it, some
// popular earlier ones and a recent one. Made in one pass.
[[nodiscard]] Evaluation largeEvaluation(std::size_t steps, std::uint64_t seed);

// Kinds of steps for an endless stream, each with its own name and habits: most take one thread or two, some
// as many as eight whatever they ask for, some the disk.
struct StepKind {
    std::string name;
    double medianSeconds = 60;
    double spread = 0.8;
    std::uint32_t milliThreads = 1000;
    std::uint32_t ioPermille = 0;
};
[[nodiscard]] std::vector<StepKind> stepKinds(std::size_t count, std::uint64_t seed);
// Step number so and so of a stream: always the same.
[[nodiscard]] Duration durationOf(const StepKind& kind, std::uint64_t seed, std::uint64_t number);

// What a farm can do at best.
struct FarmSize {
    std::uint32_t slots = 0;
    double totalSpeed = 0; // of all slots together: their machines' speed factors
    double bestSpeed = 1;
};

// No schedule can end before any of these, counted from the time zero of the arrivals.
struct LowerBound {
    Duration criticalPath{0}; // the latest arrival plus longest chain, on the fastest machine
    Duration work{0};         // all work on all slots, from the arrival on
    // What neither sees: while few steps can run yet, or only few are left, slots must stand idle. The best
    // over all pairs of earliest start and remaining chain; at least the two above.
    Duration combined{0};
};
[[nodiscard]] LowerBound lowerBound(const std::vector<Evaluation>& evaluations, const FarmSize& farm);

// Longest chain of work from each step's start to the end of its evaluation.
[[nodiscard]] std::vector<Duration> remainingChains(const Evaluation& evaluation);

// What a plain list scheduler makes of it that knows the truth: each free slot takes the first ready step in
// the order given. Comparing the orders tells what each rule costs, apart from any implementation.
enum class ListOrder : std::uint8_t {
    Chain,          // the longest remaining chain of true durations
    Depth,          // the longest remaining chain, counted in steps
    ShareThenChain, // the evaluation that has used least machine time, then the longest chain
    ShareThenDepth,
    RecentShareThenChain, // as above, but who comes (back) begins level with the least served of those that
                          // wait
    // By what the evaluation runs now and its average of that, which fades with a time constant of three
    // minutes.
    FadingShareThenChain,
    RunningThenChain, // the evaluation that runs least at the moment, then the longest chain
};
[[nodiscard]] Duration listSchedule(const std::vector<Evaluation>& evaluations,
                                    const std::vector<double>& slotSpeeds, ListOrder order);

} // namespace penstock::test
