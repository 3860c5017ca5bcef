// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/intake.h"

#include "server/hydra/intake_board.h"
#include "server/hydra/intake_derivations.h"
#include "server/hydra/intake_loader.h"
#include "server/hydra/listener.h"
#include "shared/base/check.h"
#include "shared/base/mutex.h"

#include <chrono>
#include <fmt/format.h>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace penstock::hydra {
namespace {

constexpr std::size_t kMostRequests = 1'000; // that wait for their answers, above which people have to wait

// Each request has one from its coming to its answer, or until it is dropped.
class Places : public std::enable_shared_from_this<Places> {
public:
    // Null: all are taken.
    [[nodiscard]] std::shared_ptr<Places> take()
    {
        const MutexLock lock(m_mutex);
        if (m_taken == kMostRequests)
            return nullptr;
        ++m_taken;
        return {this, [self = shared_from_this()](Places* places) { places->giveBack(); }};
    }

private:
    void giveBack()
    {
        const MutexLock lock(m_mutex);
        --m_taken;
    }

    Mutex m_mutex;
    std::size_t m_taken PENSTOCK_GUARDED_BY(m_mutex) = 0;
};

template <class T> Answer<T> withPlace(Answer<T> answer, std::shared_ptr<Places> place)
{
    return [answer = std::move(answer), place = std::move(place)](Result<T> result) { answer(std::move(result)); };
}

auto unavailable()
{
    return fail(ErrorCode::Unavailable, "Hydra's queue is not being read now; try again later");
}

} // namespace

struct Intake::Threads {
    Threads(Options given, IntakeParts parts, IntakePlaces givenPlaces)
        : options(std::move(given)), places(std::move(givenPlaces)), clock(parts.clock),
          shares(parts.farm, parts.logger), derivations(places.storeDir, places.storeFiles, cancel),
          loader({options, parts.farm, parts.store, places.storeDir, derivations, parts.clock, parts.logger, counters,
                  shares, stop, cancel, options.useSubstitutes ? parts.fetch : nullptr, parts.mostToCompute}),
          listener({options, parts.farm, parts.clock, parts.logger, counters, shares, stop,
                    [this](bool restarted) { loader.wake(restarted); }})
    {}

    // On the listener's thread: the file may be large, and far away.
    [[nodiscard]] Result<AddedBuild> readBuild(const nix::StorePath& drv, std::int32_t jobset) const;

    const Options options;
    const IntakePlaces places;
    const Clock& clock;
    store::postgres::StopSignal stop;
    CancelToken cancel;
    const std::shared_ptr<Places> requests = std::make_shared<Places>();
    CounterBoard counters;
    ShareBoard shares;
    DerivationReader derivations;
    Loader loader;
    Listener listener;
    std::vector<std::thread> threads;
    bool isStopped = false;
};

Result<AddedBuild> Intake::Threads::readBuild(const nix::StorePath& drv, std::int32_t jobset) const
{
    const std::vector<nix::StorePath> paths{drv};
    PENSTOCK_TRY(const auto readings, derivations.read(paths));
    const std::string fullPath = drv.print(places.storeDir);
    if (const auto* broken = std::get_if<DerivationBroken>(&readings.front()))
        return fail(ErrorCode::Invalid, fmt::format("drv: {} {}", fullPath, broken->why));
    const auto* derivation = std::get_if<ReadDerivation>(&readings.front());
    if (derivation == nullptr)
        return fail(ErrorCode::Invalid, fmt::format("drv: {} is not in the server's store", fullPath));
    const auto wall = std::chrono::duration_cast<std::chrono::seconds>(clock.now().wall.sinceEpoch);
    AddedBuild build{fullPath, derivation->system, {}, jobset, wall.count()};
    for (const work::NixOutput& output : derivation->outputs)
        build.outputs.push_back({output.name, output.path});
    return build;
}

Intake::Intake(Options options, IntakeParts parts, IntakePlaces places)
    : m_threads(std::make_unique<Threads>(std::move(options), parts, std::move(places)))
{}

Intake::~Intake()
{
    stop();
}

void Intake::start()
{
    Threads& all = *m_threads;
    PENSTOCK_CHECK(all.threads.empty() && !all.isStopped);
    all.threads.emplace_back([&all] { all.listener.run(); });
    all.threads.emplace_back([&all] { all.loader.run(); });
}

void Intake::beginStop()
{
    m_threads->cancel.cancel();
    m_threads->stop.request();
}

void Intake::stop()
{
    Threads& all = *m_threads;
    if (std::exchange(all.isStopped, true))
        return;
    beginStop();
    all.listener.close();
    all.loader.close();
    for (std::thread& thread : all.threads)
        thread.join();
}

void Intake::buildOne(BuildId build, Answer<void> answer)
{
    auto place = m_threads->requests->take();
    if (!place || !m_threads->loader.buildOne(build, withPlace(answer, std::move(place))))
        answer(unavailable());
}

void Intake::addBuild(std::string drvBaseName, std::int32_t jobset, Answer<BuildId> answer)
{
    const auto path = nix::StorePath::fromBaseName(drvBaseName);
    if (!path || !path->isDerivation())
        return answer(fail(ErrorCode::Invalid, fmt::format("drv: \"{}\" is not the base name of a derivation in the "
                                                           "store, such as …-hello.drv", drvBaseName)));
    const auto read = [all = m_threads.get(), drv = *path, jobset] { return all->readBuild(drv, jobset); };
    auto place = m_threads->requests->take();
    if (!place || !m_threads->listener.addBuild(read, withPlace(answer, std::move(place))))
        answer(unavailable());
}

void Intake::rescan()
{
    m_threads->listener.rescan();
}

IntakeCounters Intake::counters() const
{
    return m_threads->counters.get();
}

} // namespace penstock::hydra
