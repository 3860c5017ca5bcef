// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/hydra_desk.h"

#include "server/app/process_metrics.h"
#include "server/http/render_hydra.h"

#include <algorithm>
#include <set>
#include <utility>

namespace penstock::app {
namespace {

constexpr std::size_t kMachinesAtOnce = 200; // asked of the core in one turn
constexpr Duration kFleetFresh = std::chrono::seconds(1);

constexpr std::string_view kNoHydra = "this server serves no Hydra; it was started without --hydra";

std::set<work::StepState> statesOf(http::HydraSteps which)
{
    using work::StepState;
    switch (which) {
    case http::HydraSteps::Live: return {StepState::Blocked, StepState::Ready, StepState::Delayed, StepState::Running};
    case http::HydraSteps::Runnable: return {StepState::Ready, StepState::Delayed};
    case http::HydraSteps::Queued: return {StepState::Ready, StepState::Delayed, StepState::Running};
    case http::HydraSteps::Scheduled: return {StepState::Running};
    }
    return {};
}

std::uint64_t totalOf(const core::Totals& totals, const std::set<work::StepState>& states)
{
    std::uint64_t sum = 0;
    for (const auto& [state, count] : {std::pair(work::StepState::Blocked, totals.stepsBlocked),
                                       std::pair(work::StepState::Ready, totals.stepsReady),
                                       std::pair(work::StepState::Delayed, totals.stepsDelayed),
                                       std::pair(work::StepState::Running, totals.stepsRunning)})
        sum += states.contains(state) ? count : 0;
    return sum;
}

http::HydraBuild toBuild(hydra::ShownBuild&& row)
{
    return {static_cast<std::uint64_t>(row.id),
            std::move(row.drvPath),
            row.jobset,
            std::move(row.job),
            row.timestamp,
            row.maxSilent,
            row.timeout,
            row.priority,
            row.globalPriority};
}

} // namespace

struct HydraDesk::FleetInMaking {
    std::vector<MachineId> ids;
    std::size_t at = 0;
    http::JsonWriter out;
    MachineKeys keys;
    std::size_t count = 0;
    std::size_t inUse = 0;
    std::set<std::string> features;
};

struct HydraDesk::StepsInMaking {
    std::set<work::StepState> states;
    StepId from{0};
    std::size_t limit = 0;
    http::HydraList<http::HydraStep> list;
    http::Answer<http::HydraList<http::HydraStep>> answer;
};

HydraDesk::HydraDesk(HydraDeskParts parts)
    : m_parts(parts), m_started(parts.clock.now().mono), m_alive(std::make_shared<bool>(true))
{}

HydraDesk::~HydraDesk()
{
    *m_alive = false;
}

void HydraDesk::serve(HydraHooks hooks)
{
    m_reader = std::make_unique<hydra::StatusReader>(hooks.databaseUrl);
    m_hooks = std::move(hooks);
    readJobsetIds(); // so that they are there when somebody asks
}

http::HydraCounters HydraDesk::counters() const
{
    return m_hooks && m_hooks->counters ? m_hooks->counters() : http::HydraCounters();
}

HydraCopies HydraDesk::copies() const
{
    HydraCopies sum;
    if (m_parts.further == nullptr)
        return sum;
    for (const cache::OutboxStatus& each : m_parts.further->status()) {
        sum.waiting += each.queue.waiting;
        sum.finished += each.queue.finished;
        sum.failures += each.queue.failures;
    }
    return sum;
}

void HydraDesk::addMetrics(std::vector<http::MetricFamily>& families) const
{
    const Now now = m_parts.clock.now();
    appendHydraCopies(copies(), families);
    appendHydraClock(now, now.mono - m_started, families);
    appendProcessMetrics(families);
}

template <class T> http::Answer<T> HydraDesk::bringHome(http::Answer<T> answer)
{
    return [&loop = m_parts.loop, alive = m_alive, answer = std::move(answer)](Result<T> result) {
        loop.post([alive, answer, result = std::move(result)]() mutable {
            if (*alive)
                answer(std::move(result));
        });
    };
}

template <class T>
void HydraDesk::ask(std::function<T(const core::FarmCore&, Now)> question, std::function<void(T)> answer)
{
    m_parts.dispatcher.ask([&loop = m_parts.loop, alive = m_alive, question = std::move(question),
                            answer = std::move(answer)](const core::FarmCore& farm, Now now) {
        loop.post([alive, answer, result = question(farm, now)]() mutable {
            if (*alive)
                answer(std::move(result));
        });
    });
}

// -------------------------------------------------------------------------------------------------- machines

void HydraDesk::fleet(FleetAnswer answer)
{
    if (m_fleet && m_parts.clock.now().mono - m_fleet->made < kFleetFresh)
        return answer(*m_fleet);
    m_fleetAsked.push_back(std::move(answer));
    if (m_fleetAsked.size() > 1)
        return;
    ask<std::vector<MachineId>>([](const core::FarmCore& farm, Now) { return farm.machines(); },
                                [this](std::vector<MachineId> ids) {
                                    auto making = std::make_shared<FleetInMaking>();
                                    making->ids = std::move(ids);
                                    making->out.beginObject();
                                    collect(std::move(making));
                                });
}

void HydraDesk::collect(std::shared_ptr<FleetInMaking> making)
{
    if (making->at == making->ids.size())
        return finish(*making);
    const std::size_t end = std::min(making->at + kMachinesAtOnce, making->ids.size());
    std::vector<MachineId> part(making->ids.begin() + static_cast<std::ptrdiff_t>(making->at),
                                making->ids.begin() + static_cast<std::ptrdiff_t>(end));
    making->at = end;
    using Machines = std::vector<std::pair<MachineId, http::HydraMachine>>;
    ask<Machines>(
        [part = std::move(part)](const core::FarmCore& farm, Now now) {
            Machines machines;
            for (const MachineId id : part)
                if (auto machine = farm.machine(id))
                    if (auto view = hydraMachine(*std::move(machine), now))
                        machines.emplace_back(id, *std::move(view));
            return machines;
        },
        [this, making](Machines machines) {
            for (auto& [id, machine] : machines) {
                ++making->count;
                making->inUse += machine.jobs.empty() ? 0U : 1U;
                making->features.insert(machine.supportedFeatures.begin(), machine.supportedFeatures.end());
                making->out.key(making->keys.keyOf(machine.name, id));
                http::writeHydraMachine(making->out, machine);
            }
            collect(making);
        });
}

void HydraDesk::finish(FleetInMaking& making)
{
    making.out.endObject();
    m_fleet = Fleet{std::make_shared<const std::string>(std::move(making.out).take()), making.count, making.inUse,
                    {making.features.begin(), making.features.end()}, m_parts.clock.now().mono};
    const Fleet fleet = *m_fleet; // an answer may ask again
    for (const FleetAnswer& answer : std::exchange(m_fleetAsked, {}))
        answer(fleet);
}

void HydraDesk::machines(http::Answer<http::HydraMachines> answer)
{
    fleet([answer = std::move(answer)](const Fleet& fleet) { answer(http::HydraMachines{fleet.text, fleet.count}); });
}

// ---------------------------------------------------------------------------------------------------- status

void HydraDesk::status(http::Answer<http::HydraStatus> answer)
{
    fleet([this, answer = std::move(answer)](const Fleet& fleet) {
        ask<http::HydraFarm>(
            [&dispatcher = m_parts.dispatcher](const core::FarmCore& farm, Now now) {
                return hydraFarm(farm, dispatcher.counters(), now);
            },
            [this, fleet, answer](http::HydraFarm farm) {
                addHydraCounters(farm, counters(), m_hooks.has_value());
                farm.uptime = m_parts.clock.now().mono - m_started;
                farm.features = fleet.features;
                farm.machines = fleet.count;
                farm.machinesInUse = fleet.inUse;
                farm.uploadsWaiting = copies().waiting;
                jobsets([farm = std::move(farm), text = fleet.text,
                         answer](Result<std::vector<http::HydraJobset>> jobsets) mutable {
                    if (!jobsets)
                        return answer(fail(std::move(jobsets).error()));
                    farm.jobsets = jobsets->size();
                    answer(http::HydraStatus{std::move(farm), text, *std::move(jobsets)});
                });
            });
    });
}

void HydraDesk::jobsets(http::Answer<std::vector<http::HydraJobset>> answer)
{
    ask<std::vector<core::ShareView>>(
        [](const core::FarmCore& farm, Now now) { return farm.shares(now); },
        [this, answer = std::move(answer)](const std::vector<core::ShareView>& shares) {
            std::vector<http::HydraJobset> jobsets;
            for (const core::ShareView& share : shares)
                if (!m_hooks || share.group.find(':') != std::string::npos) // other groups are no jobsets
                    jobsets.push_back(hydraJobset(share));
            if (m_reader != nullptr && m_jobsetIds.fill(jobsets, m_parts.clock.now().mono))
                readJobsetIds();
            answer(std::move(jobsets));
        });
}

void HydraDesk::readJobsetIds()
{
    m_reader->jobsets(bringHome<JobsetIds::Map>(
        [this](auto ids) { m_jobsetIds.came(std::move(ids), m_parts.clock.now().mono); }));
}

// ------------------------------------------------------------------------------------------ builds and steps

void HydraDesk::builds(http::HydraPage page, http::Answer<http::HydraList<http::HydraBuild>> answer)
{
    if (m_reader == nullptr)
        return answer(http::HydraList<http::HydraBuild>());
    const auto after = static_cast<std::int64_t>(page.after);
    m_reader->builds(after, page.limit + 1, // one more tells whether there is more
                     bringHome<hydra::ShownBuilds>([page, answer = std::move(answer)](auto rows) {
                         if (!rows)
                             return answer(fail(std::move(rows).error()));
                         http::HydraList<http::HydraBuild> list;
                         list.total = rows->total;
                         for (hydra::ShownBuild& row : rows->builds) {
                             if (list.items.size() == page.limit) {
                                 list.next = list.items.back().id;
                                 break;
                             }
                             list.items.push_back(toBuild(std::move(row)));
                         }
                         answer(std::move(list));
                     }));
}

void HydraDesk::steps(http::HydraSteps which, http::HydraPage page,
                      http::Answer<http::HydraList<http::HydraStep>> answer)
{
    auto making = std::make_shared<StepsInMaking>();
    making->states = statesOf(which);
    making->from = StepId(page.after + 1);
    making->limit = page.limit;
    making->answer = std::move(answer);
    ask<std::uint64_t>([states = making->states](const core::FarmCore& farm,
                                                 Now) { return totalOf(farm.totals(), states); },
                       [this, making](std::uint64_t total) {
                           making->list.total = total;
                           gather(making);
                       });
}

void HydraDesk::gather(std::shared_ptr<StepsInMaking> making)
{
    const std::size_t left = making->limit - making->list.items.size();
    ask<core::LiveSteps>(
        [states = making->states, from = making->from, left](const core::FarmCore& farm, Now) {
            return farm.liveSteps(states, from, left);
        },
        [this, making](core::LiveSteps part) {
            for (core::LiveStep& step : part.steps)
                making->list.items.push_back(hydraStep(std::move(step)));
            if (part.next && making->list.items.size() < making->limit) {
                making->from = *part.next;
                return gather(making);
            }
            if (part.next && !making->list.items.empty())
                making->list.next = making->list.items.back().id;
            addOwners(making);
        });
}

void HydraDesk::addOwners(std::shared_ptr<StepsInMaking> making)
{
    if (m_reader == nullptr || making->list.items.empty())
        return making->answer(std::move(making->list));
    std::vector<StepId> ids;
    for (const http::HydraStep& step : making->list.items)
        ids.emplace_back(step.id);
    m_reader->owners(ids, bringHome<std::map<StepId, hydra::StepOwner>>([making](auto owners) {
                         if (!owners)
                             return making->answer(fail(std::move(owners).error()));
                         for (http::HydraStep& step : making->list.items) {
                             const auto found = owners->find(StepId(step.id));
                             if (found == owners->end())
                                 continue;
                             step.lowestBuild = static_cast<std::uint64_t>(found->second.lowestBuild);
                             step.globalPriority = found->second.globalPriority;
                         }
                         making->answer(std::move(making->list));
                     }));
}

// -------------------------------------------------------------------------------------------------- the rest

void HydraDesk::uploads(std::uint32_t limit, http::Answer<http::HydraList<std::string>> answer)
{
    const std::uint64_t further = copies().waiting; // of up to a few hundred paths each
    const std::size_t most = std::size_t{limit} + 1; // one more tells whether there is more
    m_parts.transfers.findWaiting(most, [most, further, answer = std::move(answer)](
                                            Result<std::vector<std::string>> paths) {
        if (!paths)
            return answer(fail(std::move(paths).error()));
        http::HydraList<std::string> list;
        list.items = *std::move(paths);
        list.total = std::max<std::uint64_t>(further, list.items.size());
        if (list.items.size() == most) {
            list.items.pop_back();
            list.isTotalLeast = true;
        }
        answer(std::move(list));
    });
}

void HydraDesk::isActive(std::uint64_t build, http::Answer<bool> answer)
{
    if (m_reader == nullptr)
        return answer(false);
    m_reader->isUnfinished(static_cast<std::int64_t>(build), bringHome<bool>(std::move(answer)));
}

void HydraDesk::addBuild(std::int64_t jobset, std::string drv, http::Answer<void> answer)
{
    if (!m_hooks || !m_hooks->addBuild)
        return answer(fail(ErrorCode::NotFound, std::string(kNoHydra)));
    m_hooks->addBuild(static_cast<std::int32_t>(jobset), std::move(drv), bringHome<void>(std::move(answer)));
}

void HydraDesk::loadBuild(std::uint64_t build, http::Answer<void> answer)
{
    if (!m_hooks || !m_hooks->loadBuild)
        return answer(fail(ErrorCode::NotFound, std::string(kNoHydra)));
    m_hooks->loadBuild(build, bringHome<void>(std::move(answer)));
}

} // namespace penstock::app
