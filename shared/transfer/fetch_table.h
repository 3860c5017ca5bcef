// SPDX-License-Identifier: GPL-3.0-or-later
// FetchTable: which store paths are on their way to this machine's store, for whom, and what may be fetched
// next: each path once, whatever number of jobs want it; references before referrers; small paths in batches.
// Knows no thread and no clock: Fetcher calls it under its lock. Internal to shared/transfer.
#pragma once

#include "shared/transfer/road.h"
#include "shared/transfer/store_maker.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace penstock::transfer {

// NARs up to this size are held in memory and added many at once.
inline constexpr std::uint64_t kSmallNar = 64U << 10U;
inline constexpr std::size_t kMaxBatchPaths = 64;

// One caller's wish. Must be withdrawn before it is destroyed.
struct FetchJob {
    std::shared_ptr<const Road> road;
    StoreMaker store;
    TransferProgress progress = {};
    std::optional<Error> error = std::nullopt; // it is over
    std::vector<nix::StorePath> tasks = {};    // the table's
    [[nodiscard]] bool isOver() const { return error.has_value() || progress.pathsDone == progress.paths; }
};

// What one worker fetches: one path, or several small ones, references first.
struct FetchBatch {
    nixdaemon::Interrupt interrupt; // raised when nobody wants any of it any more
    std::shared_ptr<const Road> road;
    StoreMaker store;
    std::vector<nix::NarInfo> infos = {};
    const FetchJob* job = nullptr; // whose road it is; for comparison only
};

class FetchTable {
public:
    // A point in time: what is finished after it need not be fetched by who looked into the store then.
    [[nodiscard]] std::uint64_t serial() const { return m_serial; }
    // missing: references first.
    void add(FetchJob& job, std::vector<nix::NarInfo> missing, std::uint64_t lookedAt);
    void withdraw(FetchJob& job);

    [[nodiscard]] bool hasReady() const { return !m_ready.empty(); }
    // Something is ready. workers: how many share what is.
    [[nodiscard]] std::shared_ptr<FetchBatch> take(nixdaemon::Interrupt interrupt, std::size_t workers);
    // The first `good` paths are in the store. With a failure it is that of the next one, for the job whose
    // road it was; what others want, and the rest, is tried again.
    void settle(const FetchBatch& batch, std::size_t good, const std::optional<Error>& failure);
    // The job that is first in line cannot be served.
    void refuseFirst(const Error& error);

private:
    enum class State : std::uint8_t { Waiting, Ready, Running };
    struct Task {
        nix::NarInfo info;
        std::uint64_t order; // of arrival
        State state = State::Waiting;
        std::size_t waitsFor = 0; // references on their way
        std::vector<nix::StorePath> referrers = {};
        std::vector<FetchJob*> jobs = {}; // the first one's road is used
        std::shared_ptr<FetchBatch> batch = nullptr;
    };
    using Tasks = std::map<nix::StorePath, Task>;

    Task& open(nix::NarInfo info);
    void collect(FetchBatch& batch, Task& first, std::size_t most);
    void makeReady(Task& task);
    void again(Task& task);
    void finish(Tasks::iterator task);
    void erase(Tasks::iterator task);

    Tasks m_tasks;
    std::map<std::uint64_t, Task*> m_ready;             // by order
    std::map<nix::StorePath, std::uint64_t> m_finished; // when; while there are jobs
    std::size_t m_jobs = 0;
    std::uint64_t m_serial = 0;
    std::uint64_t m_nextOrder = 0;
};

} // namespace penstock::transfer
