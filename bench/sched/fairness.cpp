// SPDX-License-Identifier: GPL-3.0-or-later
// B. Fairness: share groups on 16 machines of 8 slots. In any hour in which a group always had work waiting,
// its machine time against its entitlement: of what the groups without a backlog left over, its part by
// shares.
#include "bench/sched/replay.h"
#include "bench/sched/suites.h"
#include "tests/support/workload_requests.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

namespace penstock::bench {
namespace {

const std::string kSection = "B fairness";
constexpr std::size_t kMachines = 16;
constexpr std::uint32_t kSlots = 8;
constexpr double kCapacity = kMachines * kSlots;
constexpr std::size_t kHour = 60; // spans

struct Tenant {
    std::uint32_t shares = 100;
    double medianSeconds = 60;
    double spread = 1.0;
    std::size_t backlog = 300; // kept filled up to so many
    std::size_t from = 0;      // minutes in which it submits
    std::size_t to = SIZE_MAX;
};

struct Scene {
    std::string name;
    std::vector<Tenant> tenants;
    std::size_t minutes = 12 * kHour;
};

std::vector<Scene> scenes(const SuiteSettings& settings)
{
    const std::size_t minutes = settings.quick ? 3 * kHour : 12 * kHour;
    std::vector<Scene> all;
    all.push_back({"shares 100, 200, 300, 400", {{100}, {200}, {300}, {400}}, minutes});
    Scene crowd{"one huge tenant and 40 small ones", {}, minutes};
    crowd.tenants.push_back({100, 60, 1.0, settings.quick ? std::size_t{20'000} : std::size_t{100'000}});
    for (std::size_t i = 0; i < 40; ++i)
        crowd.tenants.push_back({static_cast<std::uint32_t>(100 + 100 * (i % 3)), 45, 1.0, 150});
    all.push_back(std::move(crowd));
    Scene many{"200 tenants, more than slots", std::vector<Tenant>(200), minutes};
    for (Tenant& tenant : many.tenants)
        tenant.backlog = 20;
    all.push_back(std::move(many));
    all.push_back(
        {"steps of 10 s beside steps of 20 min", {{100, 10, 0.5, 2'000}, {100, 1'200, 0.5}}, minutes});
    Scene coming{"tenants come and go", {{100}, {200}}, minutes};
    for (std::size_t i = 0; i < 8; ++i)
        coming.tenants.push_back(
            {100 * static_cast<std::uint32_t>(1 + i % 4), 60, 1.0, 300, (i + 1) * kHour, (i + 4) * kHour});
    all.push_back(std::move(coming));
    return all;
}

std::string nameOf(std::size_t tenant)
{
    return fmt::format("tenant-{}", tenant);
}

// Feeds the tenants and remembers who had work waiting in each minute.
class Tenants {
public:
    Tenants(const Scene& scene, std::uint64_t seed)
        : m_scene(scene), m_seed(seed), m_waiting(scene.tenants.size())
    {}

    Truth start(const protocol::Assignment& assignment)
    {
        std::uint32_t tenant = 0;
        const std::string_view digits =
            std::string_view(assignment.name).substr(std::string_view("tenant-").size());
        static_cast<void>(std::from_chars(digits.data(), digits.data() + digits.size(), tenant));
        --m_waiting[tenant];
        const Tenant& settings = m_scene.tenants[tenant];
        const test::StepKind kind{"", settings.medianSeconds, settings.spread};
        return {test::durationOf(kind, m_seed, assignment.step.value()), 1000, 0, tenant};
    }
    void fill(Replay& replay, std::size_t minute)
    {
        std::vector<bool> backlogged;
        core::SubmitJobs submit{RequestId(minute + 1), {}};
        for (std::size_t i = 0; i < m_waiting.size(); ++i) {
            const Tenant& tenant = m_scene.tenants[i];
            backlogged.push_back(m_waiting[i] > 0);
            if (minute < tenant.from || minute >= tenant.to)
                continue;
            test::CommandSettings job;
            job.name = job.shareGroup = nameOf(i);
            for (; m_waiting[i] < tenant.backlog; ++m_waiting[i])
                submit.jobs.push_back(test::commandJob(job));
        }
        m_backlogged.push_back(std::move(backlogged));
        if (!submit.jobs.empty())
            replay.send(std::move(submit));
    }
    // Had work at the beginning and the end of each minute.
    [[nodiscard]] bool backlogged(std::size_t tenant, std::size_t minute) const
    {
        return minute + 1 < m_backlogged.size() && (minute == 0 || m_backlogged[minute][tenant]) &&
               m_backlogged[minute + 1][tenant];
    }

private:
    const Scene& m_scene;
    std::uint64_t m_seed;
    std::vector<std::size_t> m_waiting;
    std::vector<std::vector<bool>> m_backlogged; // at the beginning of each minute
};

struct Worst {
    double percent = 0; // of the farm's capacity
    std::size_t tenant = 0;
    std::size_t minute = 0;
    std::size_t judged = 0;
    double leastServed = 100; // percent of its entitlement that a tenant got in an hour
};

struct Minute { // slots on average; both zero while the tenant has nothing waiting
    double used = 0;
    double entitled = 0;
};
using Account = std::vector<std::vector<Minute>>; // of each tenant in each minute

Account accountOf(const Scene& scene, const Tenants& tenants, const std::vector<std::vector<Duration>>& usage)
{
    const std::size_t count = scene.tenants.size();
    const auto used = [&usage](std::size_t tenant, std::size_t minute) {
        return minute < usage[tenant].size() ? static_cast<double>(usage[tenant][minute].count()) /
                                                   static_cast<double>(kUsageSpan.count())
                                             : 0.0;
    };
    Account account(count, std::vector<Minute>(scene.minutes));
    for (std::size_t minute = 0; minute < scene.minutes; ++minute) {
        double shares = 0;
        double left = kCapacity;
        for (std::size_t i = 0; i < count; ++i) {
            if (tenants.backlogged(i, minute))
                shares += scene.tenants[i].shares;
            else
                left -= used(i, minute);
        }
        for (std::size_t i = 0; i < count; ++i)
            if (tenants.backlogged(i, minute))
                account[i][minute] = {used(i, minute), left * scene.tenants[i].shares / shares};
    }
    return account;
}

// Of all hours, from any minute on, in which a tenant had work waiting without a break.
Worst worstHour(const Scene& scene, const Tenants& tenants, const Account& account)
{
    Worst worst;
    for (std::size_t i = 0; i < account.size(); ++i) {
        std::size_t inRow = 0;
        for (std::size_t minute = 0; minute < scene.minutes; ++minute) {
            inRow = tenants.backlogged(i, minute) ? inRow + 1 : 0;
            if (inRow < kHour)
                continue;
            Minute hour;
            for (std::size_t k = minute + 1 - kHour; k <= minute; ++k) {
                hour.used += account[i][k].used;
                hour.entitled += account[i][k].entitled;
            }
            ++worst.judged;
            worst.leastServed = std::min(worst.leastServed, 100.0 * hour.used / hour.entitled);
            const double percent = 100.0 * std::abs(hour.used - hour.entitled) / (kCapacity * kHour);
            if (percent > worst.percent) {
                worst.percent = percent;
                worst.tenant = i;
                worst.minute = minute + 1 - kHour;
            }
        }
    }
    return worst;
}

void measure(const Scene& scene, Report& report, const SuiteSettings& settings)
{
    Tenants tenants(scene, settings.seed);
    core::CoreOptions options;
    options.policy.room = sched::MachineFree::Static;
    Replay replay(
        options,
        {.reportEvery = std::chrono::seconds(30), .sharesCores = false, .groups = scene.tenants.size()},
        [&tenants](const protocol::Assignment& assignment) { return tenants.start(assignment); });
    for (std::size_t i = 0; i < scene.tenants.size(); ++i)
        replay.send(core::SetShares{RequestId(1), {nameOf(i), scene.tenants[i].shares}});
    for (std::size_t i = 0; i < kMachines; ++i)
        replay.addMachine(test::machineFacts(fmt::format("m{}", i), kSlots, kSlots));
    for (std::size_t minute = 0; minute <= scene.minutes; ++minute)
        replay.at(kUsageSpan * static_cast<std::int64_t>(minute),
                  [&tenants, minute](Replay& farm) { tenants.fill(farm, minute); });
    replay.run(kUsageSpan * static_cast<std::int64_t>(scene.minutes));
    if (replay.refusals() > 0)
        report.broken(kSection, "a request was refused: " + replay.firstRefusal());
    const auto usage = replay.usage();
    Duration total{0};
    for (const auto& spans : usage)
        for (const Duration span : spans)
            total += span;
    const Worst worst = worstHour(scene, tenants, accountOf(scene, tenants, usage));
    if (worst.judged == 0)
        report.broken(kSection, scene.name + ": no tenant had work waiting for an hour");
    report.add({kSection, fmt::format("{}: slots in use", scene.name),
                100.0 * static_cast<double>(total.count()) /
                    static_cast<double>((kUsageSpan * static_cast<std::int64_t>(scene.minutes)).count()) /
                    (kMachines * kSlots),
                "%", Gate::Gated, Budget::AtLeast, 99});
    report.add({kSection,
                fmt::format("{}: worst error of any hour ({} from minute {})", scene.name,
                            nameOf(worst.tenant), worst.minute),
                worst.percent, "% of farm", Gate::Gated, Budget::AtMost, 2});
    // With many tenants the error above is small even for one that gets nothing.
    report.add({kSection, fmt::format("{}: least that a tenant got of its part of an hour", scene.name),
                worst.leastServed, "%", Gate::Gated, Budget::AtLeast, 50});
}

} // namespace

void fairness(Report& report, const SuiteSettings& settings)
{
    for (const Scene& scene : scenes(settings))
        measure(scene, report, settings);
}

} // namespace penstock::bench
