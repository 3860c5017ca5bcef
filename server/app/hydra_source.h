// SPDX-License-Identifier: GPL-3.0-or-later
// HydraSource: all that serves a Hydra, as one thing to the composition root: the lock, the projection into its tables,
// its log files, the phases of running rows, and the intake of its builds, which reaches the farm through here. Made
// before the store is opened; each piece is joined in its own time. Made, started and stopped on the net loop.
#pragma once

#include "server/app/farm_gateway.h"
#include "server/app/hydra_desk.h"
#include "server/app/hydra_steps.h"
#include "server/app/store_opening.h"
#include "server/app/server_options.h"
#include "server/cache/output_store.h"
#include "server/hydra/farm_port.h"
#include "server/hydra/intake.h"
#include "server/hydra/lock_file.h"
#include "server/hydra/options.h"
#include "server/hydra/projection.h"
#include "shared/base/loop.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace penstock::app {

class HydraSource final : public hydra::FarmPort {
public:
    // options.hydra is set. Conflict: another runner has Hydra's lock. clock and logger outlive it.
    [[nodiscard]] static Result<std::unique_ptr<HydraSource>> open(const ServerOptions& options, const Clock& clock,
                                                                   Logger& logger);
    ~HydraSource() override;

    // For the store and the logs, which it outlives.
    [[nodiscard]] store::postgres::Projection& projection() { return m_projection; }
    [[nodiscard]] HydraSteps& steps() { return m_steps; }

    struct Farm { // all live until stop()
        Loop& loop;           // the net loop
        FarmGateway& gateway;
        cache::OutputStore& outputs; // whose presence counts
        const OpenedStore* machine;  // what its substituters know is fetched through it; null: nothing is fetched
        hydra::IntakePlaces places;
    };
    // Once the farm is there and peers may come.
    void start(Farm farm);
    // What is under way ends as soon as its stores are stopped, and is not taken for an answer.
    void beginStop();
    // Waits for that. Nothing is asked of the farm any more.
    void stop();
    // For the desk of Hydra's routes; after start(). They answer as unavailable after stop().
    [[nodiscard]] HydraHooks hooks();

    void submit(std::vector<jobs::ParsedJob> jobs, hydra::Answer<std::vector<JobId>> answer) override;
    void cancel(JobId job, std::string why, hydra::Answer<void> answer) override;
    void bump(std::vector<hydra::JobBump> bumps, hydra::Answer<void> answer) override;
    void setShares(std::string group, std::uint32_t shares, hydra::Answer<void> answer) override;

private:
    HydraSource(hydra::Options options, const hydra::IntakePlaces& places, hydra::LockFile lock, const Clock& clock,
                Logger& logger);
    // Carries it to the net loop, while the farm is there.
    template <class Order> void order(Order order);

    const hydra::Options m_options;
    const Clock& m_clock;
    Logger& m_logger;
    hydra::LockFile m_lock;
    HydraSteps m_steps;
    hydra::Projection m_projection; // tells the steps
    std::optional<Farm> m_farm;
    std::shared_ptr<bool> m_alive; // orders that are carried out after stop() look here first
    std::unique_ptr<hydra::Intake> m_intake;
    Instant m_started; // the intake
};

} // namespace penstock::app
