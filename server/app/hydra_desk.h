// SPDX-License-Identifier: GPL-3.0-or-later
// HydraDesk: answers the routes of Hydra's queue runner, for a farm with and without a Hydra. Lives on the net loop.
// The core is asked in small pieces: machines a few hundred at a time and then kept as text for a second, steps in
// pages.
#pragma once

#include "server/app/further_stores.h"
#include "server/app/hydra_metrics.h"
#include "server/app/jobset_ids.h"
#include "server/dispatch/dispatcher.h"
#include "server/http/hydra_gateway.h"
#include "server/hydra/farm_port.h"
#include "server/hydra/status_reader.h"
#include "server/transfer/transfer_desk.h"
#include "shared/base/clock.h"
#include "shared/base/loop.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace penstock::app {

// Of a server that serves a Hydra.
struct HydraHooks {
    std::string databaseUrl;
    std::function<http::HydraCounters()> counters = {}; // called on the net loop; cheap
    // Answered on any thread.
    std::function<void(std::uint64_t build, hydra::Answer<void>)> loadBuild = {};
    std::function<void(std::int32_t jobset, std::string drv, hydra::Answer<void>)> addBuild = {};
};

struct HydraDeskParts { // all outlive the desk
    Loop& loop;         // the net loop
    const Clock& clock;
    dispatch::Dispatcher& dispatcher;
    FurtherStores* further; // null: there are none
    transfer::TransferDesk& transfers;
};

class HydraDesk final : public http::HydraGateway {
public:
    explicit HydraDesk(HydraDeskParts parts);
    ~HydraDesk() override;
    HydraDesk(const HydraDesk&) = delete;
    HydraDesk& operator=(const HydraDesk&) = delete;

    // Before the first question; a desk that is not told answers for the farm alone.
    void serve(HydraHooks hooks);
    // What the intake has counted; nothing without a Hydra.
    [[nodiscard]] std::optional<http::HydraCounters> intakeCounters() const
    {
        return m_hooks ? std::optional(counters()) : std::nullopt;
    }
    // The part of /metrics that only the net loop knows.
    void addMetrics(std::vector<http::MetricFamily>& families) const;

    void status(http::Answer<http::HydraStatus> answer) override;
    void machines(http::Answer<http::HydraMachines> answer) override;
    void jobsets(http::Answer<std::vector<http::HydraJobset>> answer) override;
    void builds(http::HydraPage page, http::Answer<http::HydraList<http::HydraBuild>> answer) override;
    void steps(http::HydraSteps which, http::HydraPage page,
               http::Answer<http::HydraList<http::HydraStep>> answer) override;
    void uploads(std::uint32_t limit, http::Answer<http::HydraList<std::string>> answer) override;
    void isActive(std::uint64_t build, http::Answer<bool> answer) override;
    void addBuild(std::int64_t jobset, std::string drv, http::Answer<void> answer) override;
    void loadBuild(std::uint64_t build, http::Answer<void> answer) override;

private:
    struct Fleet { // all machines, as text
        http::HydraText text;
        std::size_t count = 0;
        std::size_t inUse = 0;
        std::vector<std::string> features;
        Instant made;
    };
    struct FleetInMaking;
    struct StepsInMaking;
    using FleetAnswer = std::function<void(const Fleet&)>;

    template <class T> [[nodiscard]] http::Answer<T> bringHome(http::Answer<T> answer);
    template <class T> void ask(std::function<T(const core::FarmCore&, Now)> question, std::function<void(T)> answer);
    void fleet(FleetAnswer answer);
    void collect(std::shared_ptr<FleetInMaking> making);
    void finish(FleetInMaking& making);
    void readJobsetIds();
    void gather(std::shared_ptr<StepsInMaking> making);
    void addOwners(std::shared_ptr<StepsInMaking> making);
    [[nodiscard]] http::HydraCounters counters() const;
    [[nodiscard]] HydraCopies copies() const;

    const HydraDeskParts m_parts;
    const Instant m_started;
    std::optional<HydraHooks> m_hooks;
    std::optional<Fleet> m_fleet;
    std::vector<FleetAnswer> m_fleetAsked; // wait for the one that is being made
    JobsetIds m_jobsetIds;
    std::unique_ptr<hydra::StatusReader> m_reader;
    std::shared_ptr<bool> m_alive; // answers that come home after our end look here first
};

} // namespace penstock::app
