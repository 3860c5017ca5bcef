// SPDX-License-Identifier: GPL-3.0-or-later
// Question: what does a Hydra's backlog cost the core: 150,000 jobs that claim their roots only, over 290,000 steps
// with 2.3 million edges, handed in as the intake does, in submissions of 200 jobs with references to what is known?
// Budgets, in processor time: all in within 10 s; 700 bytes for each step with its part of the jobs; a bump of 80,000
// jobs in one event, and taking it back, under 0.4 s each, one of 100,000 in a thousand batches under 1 s; recovery
// under 15 s.
#include "bench/memory.h"
#include "server/core/farm_core.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <fmt/format.h>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace penstock::core {
namespace {

constexpr std::uint32_t kSteps = 290'000;
constexpr std::uint32_t kJobs = 150'000;
constexpr std::uint32_t kGroups = 60;
constexpr std::size_t kChunk = 200; // jobs in a submission

struct Clock { // processor time: others may use the machine as well
    static std::clock_t now() { return std::clock(); }
};

double secondsSince(std::clock_t start)
{
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

std::string pathOf(std::uint32_t step)
{
    return fmt::format("/nix/store/{:032}-package-number-{}-1.0", step, step);
}

// Package sets of about 4,800 steps: a few that everything needs, a few that each set needs, near ones. Every third is a
// source, which waits for nothing.
struct Graph {
    Graph()
    {
        std::mt19937_64 random(1);
        const auto pick = [&random](std::uint32_t bound) { return static_cast<std::uint32_t>(random() % bound); };
        below.resize(kSteps);
        for (std::uint32_t step = 1; step < kSteps; ++step) {
            if (step % 3 == 2)
                continue;
            const std::uint32_t first = step / kSet * kSet;
            const std::uint32_t place = step - first;
            std::vector<std::uint32_t>& mine = below[step];
            mine.push_back(pick(std::min(step, 300U)));
            for (int i = 0; i < 4 && place > 0; ++i)
                mine.push_back(first + pick(std::min(place, 60U)));
            for (int i = 0; i < 4 && place > 0; ++i)
                mine.push_back(step - 1 - pick(std::min(place, 400U)));
            std::sort(mine.begin(), mine.end());
            mine.erase(std::unique(mine.begin(), mine.end()), mine.end());
            edges += mine.size();
        }
        for (std::uint32_t step = 0; step < kSteps; ++step)
            roots.push_back(step);
        std::shuffle(roots.begin(), roots.end(), random);
    }
    static constexpr std::uint32_t kSet = kSteps / kGroups + 1;
    std::vector<std::vector<std::uint32_t>> below;
    std::vector<std::uint32_t> roots;
    std::uint64_t edges = 0;
};

class Backlog {
public:
    explicit Backlog(bool keepsRows) : m_core(CoreOptions{}), m_known(kSteps, false), m_keepsRows(keepsRows) {}

    void load()
    {
        const std::int64_t before = bench::bytesInUse();
        double building = 0;
        double longest = 0;
        const auto start = Clock::now();
        for (std::uint32_t done = 0; done < kJobs;) {
            const auto building0 = Clock::now();
            SubmitJobs submit{RequestId(1), {}};
            for (; submit.jobs.size() < kChunk && done < kJobs; ++done)
                submit.jobs.push_back(jobOf(m_graph.roots[done]));
            building += secondsSince(building0);
            const auto chunk = Clock::now();
            apply(std::move(submit));
            longest = std::max(longest, secondsSince(chunk));
        }
        const double all = secondsSince(start) - building;
        const auto steps = static_cast<std::uint64_t>(std::count(m_known.begin(), m_known.end(), true));
        const std::int64_t bytes = bench::bytesInUse() - before;
        if (m_keepsRows)
            return;
        fmt::print("{} jobs, {} steps, {} edges: {:.2f} s in the core, longest batch {:.3f} s; {:.0f} MB, {:.0f} bytes "
                   "for each step with its part of the jobs\n",
                   kJobs, steps, m_graph.edges, all, longest, static_cast<double>(bytes) / 1e6,
                   static_cast<double>(bytes) / static_cast<double>(steps));
    }
    void bump(std::uint32_t jobs, std::size_t inOneBatch, bool isBump, const char* what)
    {
        const auto start = Clock::now();
        std::vector<Event> events;
        for (std::uint64_t job = 1; job <= jobs; ++job) {
            events.emplace_back(BumpJob{RequestId(job), JobId(job), isBump, WallTime::fromMicros(1'000)});
            if (events.size() < inOneBatch && job < jobs)
                continue;
            run(events);
            events.clear();
        }
        fmt::print("{} {} jobs, {} a batch: {:.3f} s\n", what, jobs, inOneBatch, secondsSince(start));
    }
    // As the source does with a whole evaluation.
    void bumpAll(std::uint32_t jobs, bool isBump)
    {
        BumpJobs bumps{RequestId(1), {}};
        bumps.orders.reserve(jobs);
        for (std::uint64_t job = 1; job <= jobs; ++job)
            bumps.orders.push_back({JobId(job), isBump ? std::optional(WallTime::fromMicros(2'000)) : std::nullopt});
        const auto start = Clock::now();
        apply(std::move(bumps));
        fmt::print("{} {} jobs in one event: {:.3f} s\n", isBump ? "bumping" : "taking back", jobs, secondsSince(start));
    }
    void recover()
    {
        const auto start = Clock::now();
        FarmCore core{CoreOptions{}};
        const auto commands = core.recover(m_rows, m_now);
        fmt::print("recovery: {:.2f} s{}\n", secondsSince(start), commands ? "" : commands.error().message);
    }

private:
    [[nodiscard]] JobRequest jobOf(std::uint32_t root)
    {
        JobRequest job;
        job.spec.name = fmt::format("package-number-{}.x86_64-linux", root);
        job.spec.nameSpace = "hydra";
        job.spec.shareGroup = fmt::format("project:jobset-{}", root / Graph::kSet);
        job.spec.sourceId = root;
        job.claims = Claims::Roots;
        std::vector<std::uint32_t> order{root};
        // Each step that is new, and references to those below it that are not.
        std::map<std::uint32_t, std::uint32_t> at{{root, 0}};
        for (std::size_t done = 0; done < order.size(); ++done) {
            StepRequest step{specOf(order[done]), {}, done == 0};
            step.isReference = m_known[order[done]];
            if (!step.isReference)
                for (const std::uint32_t below : m_graph.below[order[done]]) {
                    const auto [found, isNew] = at.try_emplace(below, static_cast<std::uint32_t>(order.size()));
                    if (isNew)
                        order.push_back(below);
                    step.dependsOn.push_back(found->second);
                }
            job.steps.push_back(std::move(step));
        }
        for (const std::uint32_t step : order)
            m_known[step] = true;
        return job;
    }
    static work::StepSpec specOf(std::uint32_t step)
    {
        work::StepSpec spec;
        spec.name = fmt::format("package-number-{}-1.0", step);
        spec.placement.executor = "nix";
        spec.placement.system = step % 3 == 0 ? "aarch64-linux" : "x86_64-linux";
        const std::string path = pathOf(step);
        spec.work = std::make_shared<const work::Work>(
            work::NixWork{path + ".drv", {}, {}, {{"out", path}, {"dev", path + "-dev"}}});
        return spec;
    }
    void apply(Event event)
    {
        std::vector<Event> events;
        events.push_back(std::move(event));
        run(events);
    }
    void run(std::vector<Event>& events)
    {
        m_now.mono = m_now.mono + Duration(100);
        m_now.wall = m_now.wall + Duration(100);
        events.emplace_back(StoreConfirmed{UINT64_MAX});
        for (Command& command : m_core.consume(events, m_now)) {
            if (const auto* reply = std::get_if<Reply>(&command); reply != nullptr && !reply->answer)
                fmt::print("refused: {}\n", reply->answer.error().message);
            if (auto* persist = std::get_if<Persist>(&command))
                keep(*persist);
        }
    }
    void keep(Persist& persist)
    {
        if (!m_keepsRows)
            return;
        const auto append = [](auto& to, auto& from) {
            to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
        };
        m_rows.marks = persist.marks;
        append(m_rows.jobs, persist.changes.newJobs);
        append(m_rows.steps, persist.changes.newSteps);
        append(m_rows.dependencies, persist.changes.dependencies);
        append(m_rows.jobSteps, persist.changes.jobSteps);
    }

    Graph m_graph;
    FarmCore m_core;
    std::vector<bool> m_known;
    work::Recovery m_rows;
    bool m_keepsRows;
    Now m_now{{std::chrono::hours(1)}, WallTime::fromMicros(1'700'000'000'000'000)};
};

} // namespace
} // namespace penstock::core

int main()
{
    {
        penstock::core::Backlog backlog(false);
        backlog.load();
        backlog.bumpAll(80'000, true);
        backlog.bumpAll(80'000, false);
        backlog.bump(100'000, 100, true, "bumping");
        backlog.bump(1'000, 1, false, "taking back");
    }
    penstock::core::Backlog backlog(true);
    backlog.load();
    backlog.recover();
    return 0;
}
