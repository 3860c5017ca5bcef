// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/workloads.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <numbers>

namespace penstock::test {
namespace {

constexpr std::size_t kBootstrap = 24; // the last of them is the hub
constexpr std::size_t kCore = 400;     // libraries and tools, after the bootstrap
constexpr std::size_t kFamilies = 20;

// Packages that take long, by their place in the set: compilers early, browsers late, where few depend on
// them.
struct Heavy {
    std::size_t place;
    double minutes;
};
constexpr Heavy kHeavy[] = {{60, 50},     {90, 80},    {140, 30},    {200, 45},   {320, 70},    {700, 25},
                            {1'000, 40},  {1'500, 90}, {2'000, 35},  {2'600, 60}, {3'100, 100}, {3'700, 45},
                            {4'200, 120}, {4'900, 75}, {5'300, 180}, {5'800, 60}, {6'200, 95}};

double unit(sim::Random& random) // in (0, 1]
{
    return (static_cast<double>(random.next() >> 11U) + 1.0) / 9007199254740992.0;
}

// A place below the limit, the early ones far more often.
std::uint32_t popular(sim::Random& random, std::size_t limit)
{
    const double drawn = std::pow(static_cast<double>(limit), unit(random)) - 1.0;
    return static_cast<std::uint32_t>(std::min(static_cast<std::size_t>(drawn), limit - 1));
}

Duration seconds(double value)
{
    return Duration(static_cast<std::int64_t>(value * 1000.0) * 1000);
}

} // namespace

double logNormal(sim::Random& random, double median, double spread)
{
    const double radius = std::sqrt(-2.0 * std::log(unit(random)));
    return median * std::exp(spread * radius * std::cos(2.0 * std::numbers::pi * unit(random)));
}

PackageSet::PackageSet(std::size_t packages, std::uint64_t seed)
{
    sim::Random random(seed);
    m_packages.reserve(packages);
    addBootstrap(random);
    while (m_packages.size() < packages)
        addPackage(random, packages);
    countAffected();
}

void PackageSet::addBootstrap(sim::Random& random)
{
    for (std::uint32_t i = 0; i < kBootstrap; ++i) {
        Package package{
            fmt::format("bootstrap{}-1.0", i), {}, std::clamp(logNormal(random, 90, 1.0), 10.0, 900.0)};
        if (i > 0)
            package.dependsOn.push_back(i - 1);
        m_packages.push_back(std::move(package));
    }
    m_packages.back().name = "stdenv";
}

double PackageSet::secondsOf(std::size_t index, std::size_t total, sim::Random& random) const
{
    for (const Heavy& heavy : kHeavy)
        if (heavy.place == index)
            return heavy.minutes * 60.0;
    const bool isTest = index > total - total / 12;
    return isTest ? std::clamp(logNormal(random, 120, 0.6), 20.0, 1'200.0)
                  : std::clamp(logNormal(random, 20, 1.3), 1.0, 3'600.0);
}

void PackageSet::addPackage(sim::Random& random, std::size_t total)
{
    const std::size_t index = m_packages.size();
    const std::uint32_t hub = kBootstrap - 1;
    Package package{fmt::format("package{}-1.0", index), {hub}, secondsOf(index, total, random)};
    const std::size_t core = std::min(index, kBootstrap + kCore) - kBootstrap;
    std::vector<std::uint32_t>& needs = package.dependsOn;
    const auto addCore = [&] {
        if (core > 0)
            needs.push_back(static_cast<std::uint32_t>(kBootstrap) + popular(random, core));
    };
    const std::uint64_t wanted = 1 + static_cast<std::uint64_t>(std::min(logNormal(random, 3, 0.8), 40.0));
    for (std::uint64_t i = 0; i < wanted; ++i) {
        const std::uint64_t kind = random.between(0, 99);
        if (kind < 65 || index < kBootstrap + kCore)
            addCore();
        else if (kind < 90) { // a recent one of its own family
            const std::size_t back = kFamilies * random.between(1, 12);
            if (index - kBootstrap > back)
                needs.push_back(static_cast<std::uint32_t>(index - back));
        } else
            needs.push_back(static_cast<std::uint32_t>(random.between(hub, index - 1)));
    }
    if (index >= kBootstrap + kCore) // its interpreter
        needs.push_back(static_cast<std::uint32_t>(kBootstrap + 10 * (index % kFamilies)));
    std::sort(needs.begin(), needs.end());
    needs.erase(std::unique(needs.begin(), needs.end()), needs.end());
    m_packages.push_back(std::move(package));
}

void PackageSet::countAffected()
{
    // One bit a package: does it need the one in question.
    m_affected.assign(m_packages.size(), 0);
    std::vector<bool> affected(m_packages.size());
    for (std::size_t changed = 0; changed < m_packages.size(); ++changed) {
        std::fill(affected.begin(), affected.end(), false);
        affected[changed] = true;
        std::uint32_t count = 1;
        for (std::size_t i = changed + 1; i < m_packages.size(); ++i) {
            const auto& needs = m_packages[i].dependsOn;
            affected[i] = std::any_of(std::lower_bound(needs.begin(), needs.end(), changed), needs.end(),
                                      [&affected](std::uint32_t other) { return affected[other]; });
            count += affected[i] ? 1U : 0U;
        }
        m_affected[changed] = count;
        if (changed > kBootstrap + kCore + 600)
            break; // changes of single leaves make no evaluation worth a thousand steps
    }
}

Evaluation PackageSet::evaluate(std::size_t steps, sim::Random& random) const
{
    std::size_t changed = 0;
    if (steps < m_packages.size()) {
        // One of the few that come nearest.
        std::vector<std::pair<std::size_t, std::size_t>> near;
        for (std::size_t i = kBootstrap; i < m_packages.size() && m_affected[i] > 0; ++i)
            near.emplace_back(m_affected[i] > steps ? m_affected[i] - steps : steps - m_affected[i], i);
        std::sort(near.begin(), near.end());
        changed = near[random.between(0, std::min<std::size_t>(near.size(), 5) - 1)].second;
    }
    Evaluation evaluation;
    constexpr std::uint32_t kNone = UINT32_MAX;
    std::vector<std::uint32_t> place(m_packages.size(), kNone);
    for (std::size_t i = changed; i < m_packages.size(); ++i) {
        TrueStep step;
        for (const std::uint32_t need : m_packages[i].dependsOn)
            if (place[need] != kNone)
                step.dependsOn.push_back(place[need]);
        if (i != changed && step.dependsOn.empty())
            continue;
        step.name = m_packages[i].name;
        step.duration = seconds(m_packages[i].seconds * logNormal(random, 1.0, 0.15));
        step.root = true;
        place[i] = static_cast<std::uint32_t>(evaluation.steps.size());
        for (const std::uint32_t need : step.dependsOn)
            evaluation.steps[need].root = false;
        evaluation.steps.push_back(std::move(step));
    }
    return evaluation;
}

Evaluation largeEvaluation(std::size_t steps, std::uint64_t seed)
{
    sim::Random random(seed);
    Evaluation evaluation{"everything", "project:everything", Duration(0), {}};
    evaluation.steps.reserve(steps);
    for (std::size_t i = 0; i < steps; ++i) {
        TrueStep step;
        step.name = fmt::format("package{}-1.0", i);
        step.duration = seconds(std::clamp(logNormal(random, 20, 1.3), 1.0, 3'600.0));
        step.root = true;
        if (i > 0) {
            step.dependsOn = {
                0, popular(random, i), popular(random, i), popular(random, i),
                static_cast<std::uint32_t>(i - random.between(1, std::min<std::uint64_t>(i, 200)))};
            std::sort(step.dependsOn.begin(), step.dependsOn.end());
            step.dependsOn.erase(std::unique(step.dependsOn.begin(), step.dependsOn.end()),
                                 step.dependsOn.end());
        }
        for (const std::uint32_t need : step.dependsOn)
            evaluation.steps[need].root = false;
        evaluation.steps.push_back(std::move(step));
    }
    return evaluation;
}

std::vector<StepKind> stepKinds(std::size_t count, std::uint64_t seed)
{
    constexpr std::uint32_t kThreads[] = {1'000, 1'000, 2'000, 900, 4'000, 1'500, 4'000, 8'000};
    sim::Random random(seed);
    std::vector<StepKind> kinds;
    for (std::size_t i = 0; i < count; ++i) {
        StepKind kind{fmt::format("kind{}", i), std::clamp(logNormal(random, 60, 0.7), 10.0, 600.0)};
        kind.milliThreads = kThreads[i % std::size(kThreads)];
        if (i % 5 == 3)
            kind.ioPermille = static_cast<std::uint32_t>(random.between(100, 300));
        kinds.push_back(std::move(kind));
    }
    return kinds;
}

Duration durationOf(const StepKind& kind, std::uint64_t seed, std::uint64_t number)
{
    sim::Random random(seed * 1'000'003 + number);
    return seconds(std::max(logNormal(random, kind.medianSeconds, kind.spread), 1.0));
}

std::vector<Evaluation> mixedEvaluations(const PackageSet& packages, const MixSettings& settings)
{
    sim::Random shape(settings.seed);
    sim::Random truth(settings.seed * 1'000 + settings.run);
    std::vector<Evaluation> all;
    for (std::size_t i = 0; i < settings.evaluations; ++i) {
        const std::size_t size = i % 4 == 0 && settings.largest >= packages.size()
                                     ? packages.size()
                                     : shape.between(settings.smallest, settings.largest);
        Evaluation evaluation = packages.evaluate(size, truth);
        evaluation.name = fmt::format("evaluation-{}", i);
        evaluation.shareGroup = fmt::format("project:jobset-{}", i);
        evaluation.arrival = i == 0 ? Duration(0) : shape.duration(Duration(0), settings.arrivals);
        all.push_back(std::move(evaluation));
    }
    return all;
}

} // namespace penstock::test
