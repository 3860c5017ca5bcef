// SPDX-License-Identifier: GPL-3.0-or-later
// Workload: what a simulated farm is asked for. Several may be put together in one run, each knows nothing of
// the others. It changes the plan before anything runs, begins, adds to it while things break, and takes back
// what would keep work from its end when things heal. One thread.
#pragma once

#include "tests/sim/site.h"

#include <cstdint>
#include <memory>
#include <string_view>

namespace penstock::sim {

class Workload {
public:
    Workload() = default;
    Workload(const Workload&) = delete;
    Workload& operator=(const Workload&) = delete;
    virtual ~Workload() = default;

    virtual void prepare(Plan& plan, Random& random) = 0;
    virtual void begin(Site& site) = 0;
    virtual void disturb(Site& site) = 0; // about once a second
    virtual void heal(Site& site) = 0;
    virtual void check(Site& site) = 0; // at the end, when no rule was broken before
};

// What most workloads have nothing to say about.
class QuietWorkload : public Workload {
public:
    void prepare(Plan&, Random&) override {}
    void begin(Site&) override {}
    void disturb(Site&) override {}
    void heal(Site&) override {}
    void check(Site&) override {}
};

[[nodiscard]] std::unique_ptr<Workload> randomGraphs();  // jobs that share steps, and fail
[[nodiscard]] std::unique_ptr<Workload> sharedGraph();   // jobs that claim only their roots, over one large graph
[[nodiscard]] std::unique_ptr<Workload> bursts();        // nothing for long, then much at once
[[nodiscard]] std::unique_ptr<Workload> tenants();       // many small ones beside a huge one
[[nodiscard]] std::unique_ptr<Workload> architectures(); // one saturated, one with little to do
[[nodiscard]] std::unique_ptr<Workload> evaluation();    // thousands of derivations of realistic shape
[[nodiscard]] std::unique_ptr<Workload> resources();     // cpus, memory, named amounts, experience
[[nodiscard]] std::unique_ptr<Workload> limits();        // concurrency groups, quotas of namespaces
[[nodiscard]] std::unique_ptr<Workload> operations();    // people who bump, hold, pause, trust, remove
[[nodiscard]] std::unique_ptr<Workload> unsupported();   // what no machine can run

// A job of one command, any system.
[[nodiscard]] core::JobRequest commandJob(std::string_view name);

} // namespace penstock::sim
