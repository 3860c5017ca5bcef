// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/transfer/sender.h"

#include "shared/transfer/fetcher.h"
#include "shared/transfer/path_upload.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

namespace penstock::transfer {
namespace {

constexpr std::chrono::milliseconds kLookEvery{100}; // for an interrupt
constexpr std::size_t kMaxRefusalsTold = 5;
constexpr unsigned kMaxTries = 3;

// References first, as far as they are among the infos. A path of a store never refers to its own referrer.
std::vector<const nix::NarInfo*> inOrder(const std::map<nix::StorePath, nix::NarInfo>& infos)
{
    std::vector<const nix::NarInfo*> ordered;
    std::set<nix::StorePath> seen;
    std::vector<std::pair<const nix::NarInfo*, nix::StorePathSet::const_iterator>> stack;
    const auto open = [&](const nix::StorePath& path) {
        const auto found = infos.find(path);
        if (found != infos.end() && seen.insert(path).second)
            stack.emplace_back(&found->second, found->second.references.begin());
    };
    for (const auto& [path, info] : infos) {
        open(path);
        while (!stack.empty()) {
            auto& [top, next] = stack.back();
            if (next == top->references.end()) {
                ordered.push_back(top);
                stack.pop_back();
            } else {
                open(*next++);
            }
        }
    }
    return ordered;
}

} // namespace

struct Sender::Task {
    Job* job;
    nix::NarInfo info;
    PathPlan plan;
};

struct Sender::Job {
    std::shared_ptr<const Road> road;
    StoreMaker store;
    nixdaemon::Interrupt interrupt; // its own: raised for the caller's, and when a path fails
    TapNar tap;
    std::vector<Task> tasks = {};   // references first; stays in place while they run
    std::size_t running = 0;
    TransferProgress progress = {};
    std::optional<Error> error = {};
    std::vector<PartsDone> parts = {};
};

Sender::Sender(SenderOptions options) : m_options(std::move(options))
{
    const unsigned streams = std::clamp(m_options.streams, 1U, kMaxStreams);
    for (unsigned i = 0; i < streams; ++i)
        m_threads.emplace_back([this] { work(); });
}

Sender::~Sender()
{
    {
        const MutexLock lock(m_mutex);
        m_isStopping = true;
        m_workReady.notifyAll();
    }
    for (std::thread& thread : m_threads)
        thread.join();
}

Result<TransferProgress> Sender::send(const SendOrder& order)
{
    for (unsigned tries = 1;; ++tries) {
        auto outcome = sendOnce(order);
        if (outcome || outcome.error().code != ErrorCode::NotFound || tries == kMaxTries)
            return outcome;
    }
}

// NotFound also when the server was started anew between bringing and publishing: it has forgotten what was
// brought.
Result<TransferProgress> Sender::sendOnce(const SendOrder& order)
{
    PENSTOCK_TRY(auto interrupt, nixdaemon::Interrupt::create());
    Job job{order.road, order.store, std::move(interrupt), order.tap};
    PENSTOCK_TRY_VOID(plan(job, order));
    PENSTOCK_TRY_VOID(await(job, order));
    const auto isCancelled = [&] { return order.interrupt.isRaised(); };
    for (std::size_t at = 0; at < job.tasks.size(); at += kMaxPathsInRequest) {
        std::vector<nix::StorePath> paths;
        for (std::size_t i = at; i < std::min(at + kMaxPathsInRequest, job.tasks.size()); ++i)
            paths.push_back(job.tasks[i].info.path);
        std::vector<PartsDone> parts;
        for (const PartsDone& done : job.parts)
            if (std::ranges::find(paths, done.path) != paths.end())
                parts.push_back(done);
        PENSTOCK_TRY_VOID(order.road->publish(paths, parts, isCancelled));
    }
    return job.progress;
}

// Wave by wave: what the server has, it has with everything below.
Result<void> Sender::plan(Job& job, const SendOrder& order) const
{
    const auto store = order.store(order.interrupt);
    const auto isCancelled = [&] { return order.interrupt.isRaised(); };
    std::map<nix::StorePath, nix::NarInfo> wanted;
    std::map<nix::StorePath, PathPlan> plans;
    nix::StorePathSet asked;
    nix::StorePathSet wave = order.paths;
    while (!wave.empty()) {
        asked.insert(wave.begin(), wave.end());
        PENSTOCK_TRY(auto infos, store->infos(wave));
        for (const nix::NarInfo& info : infos)
            wave.erase(info.path);
        if (!wave.empty())
            return fail(ErrorCode::NotFound,
                        fmt::format("{} shall go to the server and is not valid in this store",
                                    wave.begin()->print(store->storeDir())));
        PENSTOCK_TRY(auto answers, order.road->announce(infos, false, isCancelled));
        std::map<nix::StorePath, nix::NarInfo> byPath;
        for (nix::NarInfo& info : infos)
            byPath.emplace(info.path, std::move(info));
        std::string refused;
        std::size_t refusals = 0;
        for (PathPlan& plan : answers) {
            const auto info = byPath.extract(plan.path);
            if (info.empty())
                return fail(ErrorCode::Corrupt,
                            fmt::format("the server answers about {}, which was not announced",
                                        plan.path.baseName()));
            if (plan.state == PathState::Refused && ++refusals <= kMaxRefusalsTold)
                refused +=
                    fmt::format("{}{}: {}", refused.empty() ? "" : "; ", plan.path.baseName(), plan.reason);
            if (plan.state != PathState::Wanted)
                continue;
            for (const nix::StorePath& reference : info.mapped().references)
                if (!asked.contains(reference))
                    wave.insert(reference);
            wanted.emplace(plan.path, std::move(info.mapped()));
            plans.emplace(plan.path, std::move(plan));
        }
        if (refusals > 0)
            return fail(ErrorCode::Denied, fmt::format("the server refuses {} paths: {}{}", refusals, refused,
                                                       refusals > kMaxRefusalsTold ? "; and more" : ""));
    }
    for (const nix::NarInfo* info : inOrder(wanted)) {
        job.progress.bytes += info->narSize;
        job.tasks.push_back({&job, *info, std::move(plans.at(info->path))});
    }
    job.progress.paths = job.tasks.size();
    return {};
}

// Returns when no task of the job is under way any more.
Result<void> Sender::await(Job& job, const SendOrder& order)
{
    const SystemClock clock;
    TransferProgress told;
    {
        const MutexLock lock(m_mutex);
        for (Task& task : job.tasks)
            m_queue.push_back(&task);
        m_workReady.notifyAll();
    }
    for (;;) {
        TransferProgress progress;
        {
            const MutexLock lock(m_mutex);
            const bool isStopped = order.interrupt.isRaised() || job.error.has_value();
            if (isStopped) {
                std::erase_if(m_queue, [&](const Task* task) { return task->job == &job; });
                job.interrupt.raise();
            }
            if (isStopped && job.running == 0)
                return order.interrupt.isRaised()
                           ? fail(ErrorCode::Cancelled, "cancelled while outputs were on their way")
                           : fail(*job.error);
            const bool isDone = job.progress.pathsDone == job.progress.paths;
            const auto until =
                std::chrono::steady_clock::time_point(clock.now().mono.sinceStart + kLookEvery);
            if (!isDone && job.progress == told)
                m_jobsMoved.waitUntil(m_mutex, until);
            progress = job.progress;
        }
        if (order.onProgress && progress != told)
            order.onProgress(progress);
        told = progress;
        if (progress.pathsDone == progress.paths)
            return {};
    }
}

Sender::Task* Sender::takeTask()
{
    const MutexLock lock(m_mutex);
    while (!m_isStopping && m_queue.empty())
        m_workReady.wait(m_mutex);
    if (m_isStopping)
        return nullptr;
    Task* const task = m_queue.front();
    m_queue.pop_front();
    ++task->job->running;
    return task;
}

void Sender::work()
{
    while (Task* const task = takeTask()) {
        Job& job = *task->job;
        const UploadTools tools{*job.road, job.store, job.interrupt, m_options.spoolDirectory, job.tap};
        auto outcome = uploadPath(tools, task->info, std::move(task->plan));
        const MutexLock lock(m_mutex);
        if (outcome) {
            ++job.progress.pathsDone;
            job.progress.bytesDone += task->info.narSize;
            if (*outcome)
                job.parts.push_back(**std::move(outcome));
        } else if (!job.error) {
            job.error = std::move(outcome.error());
        }
        --job.running; // from here on the job may be gone
        m_jobsMoved.notifyAll();
    }
}

} // namespace penstock::transfer
