// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/hydra_source.h"

#include "server/cache/closure_copy.h"

#include "server/app/derivation_files.h"
#include "server/app/store_opening.h"

#include <utility>

namespace penstock::app {

namespace {

// Of derivations that are built as others, which are few: they are read as they start.
hydra::Resolver resolverOf(const hydra::IntakePlaces& places, HydraSteps& steps)
{
    auto files = std::make_shared<DerivationFiles>(places.storeDir, places.storeFiles);
    const auto read = [files](const std::string& drvPath) -> Result<hydra::GivenDerivation> {
        PENSTOCK_TRY(DerivationText text, files->read(drvPath));
        return hydra::GivenDerivation{std::move(text.drv), std::move(text.inputPaths)};
    };
    return {places.storeDir, read, [&steps](AttemptId attempt, const std::string& drvPath) {
                steps.builtAs(attempt, drvPath);
            }};
}

} // namespace

Result<std::unique_ptr<HydraSource>> HydraSource::open(const ServerOptions& options, const Clock& clock,
                                                       Logger& logger)
{
    PENSTOCK_TRY(const auto storeDir, nix::StoreDir::parse(options.storeDir));
    PENSTOCK_TRY(auto lock, hydra::LockFile::take(options.hydra->dataDir));
    logger.info("hydra.locked", {{"file", lock.path()}});
    const std::string files = realStoreDir(options.outputs.stores, options.storeDir, options.environment);
    return std::unique_ptr<HydraSource>(
        new HydraSource(*options.hydra, {storeDir, files}, std::move(lock), clock, logger));
}

HydraSource::HydraSource(hydra::Options options, const hydra::IntakePlaces& places, hydra::LockFile lock,
                         const Clock& clock, Logger& logger)
    : m_options(std::move(options)), m_clock(clock), m_logger(logger), m_lock(std::move(lock)),
      m_steps(m_options, places.storeDir, clock, logger),
      m_projection(m_options, clock, logger, resolverOf(places, m_steps)), m_alive(std::make_shared<bool>(true))
{
}

HydraSource::~HydraSource()
{
    stop();
}

namespace {

// By the machine's daemon into its own store, and from there to where it counts.
Result<nix::StorePathSet> fetch(const OpenedStore& machine, cache::OutputStore& outputs, const nix::StorePathSet& paths)
{
    PENSTOCK_TRY(auto valid, machine.access->validPaths(paths, true));
    if (!valid.empty() && machine.store.get() != &outputs)
        PENSTOCK_TRY_VOID(cache::copyClosure(*machine.store, outputs, valid, machine.stopping));
    return valid;
}

} // namespace

void HydraSource::start(Farm farm)
{
    m_farm.emplace(std::move(farm));
    hydra::IntakeParts parts{*this, m_farm->outputs, m_clock, m_logger};
    if (m_farm->machine != nullptr)
        parts.fetch = [&machine = *m_farm->machine, &outputs = m_farm->outputs](const nix::StorePathSet& paths) {
            return fetch(machine, outputs, paths);
        };
    m_intake = std::make_unique<hydra::Intake>(m_options, std::move(parts), m_farm->places);
    m_started = m_clock.now().mono;
    m_intake->start();
}

void HydraSource::beginStop()
{
    if (m_intake != nullptr)
        m_intake->beginStop();
}

void HydraSource::stop()
{
    *m_alive = false;
    m_intake.reset();
    m_farm.reset();
}

namespace {

Error stopped()
{
    return {ErrorCode::Unavailable, "the server is stopping; ask again when it is back"};
}

} // namespace

HydraHooks HydraSource::hooks()
{
    constexpr unsigned kOthers = 6; // the writer, two readers, that of derivations' texts, phases, that of the routes
    HydraHooks hooks;
    hooks.databaseUrl = m_options.databaseUrl;
    hooks.counters = [this, alive = m_alive] {
        return *alive ? hydraCounters(m_intake->counters(), m_clock.now().mono - m_started, kOthers)
                      : http::HydraCounters{};
    };
    hooks.loadBuild = [this, alive = m_alive](std::uint64_t build, hydra::Answer<void> answer) {
        if (!*alive)
            return answer(fail(stopped()));
        m_intake->buildOne(static_cast<hydra::BuildId>(build), std::move(answer));
    };
    hooks.addBuild = [this, alive = m_alive](std::int32_t jobset, std::string drv, hydra::Answer<void> answer) {
        if (!*alive)
            return answer(fail(stopped()));
        m_intake->addBuild(std::move(drv), jobset, [answer = std::move(answer)](const Result<hydra::BuildId>& build) {
            answer(build ? Result<void>() : Result<void>(fail(build.error())));
        });
    };
    return hooks;
}

// The intake's threads call this while m_farm stands: they end before it does.
template <class Order> void HydraSource::order(Order order)
{
    m_farm->loop.post([this, alive = m_alive, order = std::move(order)]() mutable {
        if (*alive)
            order(m_farm->gateway);
    });
}

void HydraSource::submit(std::vector<jobs::ParsedJob> jobs, hydra::Answer<std::vector<JobId>> answer)
{
    order([jobs = std::move(jobs), answer = std::move(answer)](FarmGateway& gateway) mutable {
        gateway.submit(std::move(jobs), std::move(answer));
    });
}

void HydraSource::cancel(JobId job, std::string why, hydra::Answer<void> answer)
{
    order([job, why = std::move(why), answer = std::move(answer)](FarmGateway& gateway) mutable {
        gateway.order([&](RequestId id) { return core::CancelJob{id, job, why}; }, std::move(answer));
    });
}

void HydraSource::bump(std::vector<hydra::JobBump> bumps, hydra::Answer<void> answer)
{
    order([bumps = std::move(bumps), answer = std::move(answer)](FarmGateway& gateway) mutable {
        gateway.order(
            [&bumps](RequestId id) {
                core::BumpJobs event{id, {}};
                event.orders.reserve(bumps.size());
                for (const hydra::JobBump& bump : bumps)
                    event.orders.push_back({bump.job, bump.at});
                return event;
            },
            std::move(answer));
    });
}

void HydraSource::setShares(std::string group, std::uint32_t shares, hydra::Answer<void> answer)
{
    order([row = work::ShareGroupRow{std::move(group), shares},
           answer = std::move(answer)](FarmGateway& gateway) mutable {
        gateway.order([&](RequestId id) { return core::SetShares{id, row}; }, std::move(answer));
    });
}

} // namespace penstock::app
