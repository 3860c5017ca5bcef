// SPDX-License-Identifier: GPL-3.0-or-later
// Site: one simulated farm with everything that a workload or a fault may lay hands on. Plan: what a run is
// made of, drawn from its seed before anything runs. One thread.
#pragma once

#include "tests/sim/ledger.h"
#include "tests/sim/sim_builder.h"
#include "tests/sim/sim_server.h"
#include "tests/sim/world.h"

#include <fmt/format.h>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace penstock::sim {

// One run has some of these, not all: a fault that is always there hides what happens without it.
struct Faults {
    bool links = false;
    bool builders = false; // crashes, and one that lies
    bool server = false;
    bool disk = false;
    bool duplicate = false; // two builders with one identity
    bool blackHole = false; // one machine fails everything at once
    bool pressure = false;  // others load the machines, above their thresholds
    bool people = false;    // drains, cancels, reopens
};

struct Plan {
    core::CoreOptions options;
    Faults faults;
    std::vector<protocol::MachineFacts> machines; // the first two come back always
    Duration faultyTime{std::chrono::seconds(300)};
    bool isCalm = false;   // no faults: numbers are checked
    bool isStrict = false; // and no step waits while a machine with a free slot could take it
    bool comparesOrder = true;
    bool isLarge = false;
};

class Site {
public:
    Site(World& inWorld, const Plan& inPlan)
        : plan(inPlan), world(inWorld), ledger(inWorld, plan.options), server(inWorld, ledger, plan.options)
    {}

    void addBuilders();
    void submit(std::vector<core::JobRequest> jobs);
    // Asks for something; what came of it is a path that may be reached.
    template <class Event> void order(const std::string& name, Event event)
    {
        server.order(std::move(event), [this, name](const auto& answer) {
            world.reach(answer ? name + ".done" : fmt::format("{}.{}", name, toString(answer.error().code)));
        });
    }
    [[nodiscard]] SimBuilder& anyBuilder()
    {
        return *builders.at(world.random.between(0, builders.size() - 1));
    }
    // One that is probably open.
    [[nodiscard]] JobId anyJob();

    const Plan plan;
    World& world;
    Ledger ledger;
    SimServer server;
    Truths truths;
    std::vector<std::unique_ptr<SimBuilder>> builders;
    std::vector<JobId> known;
    bool isHealing = false;
    std::map<std::string, std::uint32_t> shares; // of groups whose use is compared with them
};

} // namespace penstock::sim
