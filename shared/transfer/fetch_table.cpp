// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/transfer/fetch_table.h"

#include "shared/base/check.h"

#include <algorithm>
#include <utility>

namespace penstock::transfer {
namespace {

constexpr std::size_t kMaxFinished = 100'000;

} // namespace

void FetchTable::add(FetchJob& job, std::vector<nix::NarInfo> missing, std::uint64_t lookedAt)
{
    ++m_jobs;
    for (nix::NarInfo& info : missing) {
        ++job.progress.paths;
        job.progress.bytes += info.narSize;
        const auto finished = m_finished.find(info.path);
        if (finished != m_finished.end() && finished->second > lookedAt) {
            ++job.progress.pathsDone;
            job.progress.bytesDone += info.narSize;
            continue;
        }
        const auto known = m_tasks.find(info.path);
        Task& task = known == m_tasks.end() ? open(std::move(info)) : known->second;
        task.jobs.push_back(&job);
        job.tasks.push_back(task.info.path);
    }
}

FetchTable::Task& FetchTable::open(nix::NarInfo info)
{
    const nix::StorePath path = info.path;
    Task& task = m_tasks.emplace(path, Task{std::move(info), ++m_nextOrder}).first->second;
    for (const nix::StorePath& reference : task.info.references) {
        const auto needed = m_tasks.find(reference);
        if (reference == path || needed == m_tasks.end())
            continue;
        needed->second.referrers.push_back(path);
        ++task.waitsFor;
    }
    again(task);
    return task;
}

void FetchTable::makeReady(Task& task)
{
    task.state = State::Ready;
    m_ready.emplace(task.order, &task);
}

void FetchTable::again(Task& task)
{
    task.batch.reset();
    task.state = State::Waiting;
    if (task.waitsFor == 0)
        makeReady(task);
}

// Somebody who wants a referrer looks after itself: what it waits for is no longer under way, so it may
// start.
void FetchTable::erase(Tasks::iterator task)
{
    m_ready.erase(task->second.order);
    const auto referrers = std::move(task->second.referrers);
    m_tasks.erase(task);
    for (const nix::StorePath& path : referrers) {
        const auto found = m_tasks.find(path);
        if (found == m_tasks.end())
            continue;
        Task& referrer = found->second;
        PENSTOCK_CHECK(referrer.waitsFor > 0);
        if (--referrer.waitsFor == 0 && referrer.state == State::Waiting)
            makeReady(referrer);
    }
}

void FetchTable::finish(Tasks::iterator task)
{
    if (m_finished.size() >= kMaxFinished)
        m_finished.clear(); // at worst something is fetched once more
    m_finished[task->first] = ++m_serial;
    for (FetchJob* const job : task->second.jobs) {
        ++job->progress.pathsDone;
        job->progress.bytesDone += task->second.info.narSize;
    }
    erase(task);
}

void FetchTable::withdraw(FetchJob& job)
{
    std::vector<std::shared_ptr<FetchBatch>> touched;
    for (const nix::StorePath& path : job.tasks) {
        const auto found = m_tasks.find(path);
        if (found == m_tasks.end() || std::erase(found->second.jobs, &job) == 0 ||
            !found->second.jobs.empty())
            continue;
        if (found->second.state == State::Running)
            touched.push_back(found->second.batch);
        else
            erase(found);
    }
    for (const auto& batch : touched) {
        const bool isWanted = std::ranges::any_of(batch->infos, [&](const nix::NarInfo& info) {
            const auto found = m_tasks.find(info.path);
            return found != m_tasks.end() && found->second.batch == batch && !found->second.jobs.empty();
        });
        if (!isWanted)
            batch->interrupt.raise();
    }
    job.tasks.clear();
    PENSTOCK_CHECK(m_jobs > 0);
    if (--m_jobs == 0)
        m_finished.clear();
}

// Adds small paths to a batch, as long as all they refer to is in the store or in the batch before them.
void FetchTable::collect(FetchBatch& batch, Task& first, std::size_t most)
{
    std::map<const Task*, std::size_t> served; // references of a waiting task that the batch has
    std::vector<Task*> taken;
    const auto take = [&](Task& task) {
        m_ready.erase(task.order);
        task.state = State::Running;
        batch.infos.push_back(task.info);
        taken.push_back(&task);
    };
    const auto fits = [&](const Task& task) {
        return task.info.narSize <= kSmallNar && task.jobs.front() == batch.job;
    };
    take(first);
    if (!fits(first))
        return;
    for (std::size_t at = 0; at < taken.size() && taken.size() < most; ++at) {
        for (const nix::StorePath& path : taken[at]->referrers) {
            const auto found = m_tasks.find(path);
            if (found == m_tasks.end() || found->second.state != State::Waiting || taken.size() >= most)
                continue;
            if (++served[&found->second] == found->second.waitsFor && fits(found->second))
                take(found->second);
        }
        if (at + 1 < taken.size() || taken.size() >= most)
            continue;
        const auto next = std::ranges::find_if(m_ready, [&](const auto& each) { return fits(*each.second); });
        if (next != m_ready.end())
            take(*next->second);
    }
}

std::shared_ptr<FetchBatch> FetchTable::take(nixdaemon::Interrupt interrupt, std::size_t workers)
{
    Task& first = *m_ready.begin()->second;
    FetchJob& job = *first.jobs.front();
    auto batch =
        std::make_shared<FetchBatch>(FetchBatch{std::move(interrupt), job.road, job.store, {}, &job});
    // A few paths are better fetched side by side than in one batch.
    const std::size_t share = job.tasks.size() / (2 * std::max<std::size_t>(workers, 1)) + 1;
    collect(*batch, first, std::min(kMaxBatchPaths, share));
    for (const nix::NarInfo& info : batch->infos)
        m_tasks.at(info.path).batch = batch;
    return batch;
}

void FetchTable::settle(const FetchBatch& batch, std::size_t good, const std::optional<Error>& failure)
{
    for (std::size_t at = 0; at < batch.infos.size(); ++at) {
        const auto found = m_tasks.find(batch.infos[at].path);
        PENSTOCK_CHECK(found != m_tasks.end());
        if (at < good) {
            finish(found);
            continue;
        }
        Task& task = found->second;
        const auto owner = std::ranges::find(task.jobs, batch.job);
        if (at == good && failure && owner != task.jobs.end()) {
            (*owner)->error = failure;
            task.jobs.erase(owner);
        }
        if (task.jobs.empty())
            erase(found);
        else
            again(task);
    }
}

void FetchTable::refuseFirst(const Error& error)
{
    const auto found = m_tasks.find(m_ready.begin()->second->info.path);
    for (FetchJob* const job : found->second.jobs)
        job->error = error;
    found->second.jobs.clear();
    erase(found);
}

} // namespace penstock::transfer
