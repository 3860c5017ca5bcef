// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/transfer/fetcher.h"

#include "shared/base/byte_pipe.h"
#include "shared/nix/content_address.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace penstock::transfer {
namespace {

constexpr std::size_t kPipeBytes = 1U << 20U;
constexpr std::chrono::milliseconds kLookEvery{100}; // for an interrupt

ByteSource sourceOf(const std::string& bytes)
{
    return [&bytes, at = std::size_t{0}](std::span<char> into) mutable -> Result<std::size_t> {
        const std::size_t count = std::min(into.size(), bytes.size() - at);
        std::copy_n(bytes.data() + at, count, into.data());
        at += count;
        return count;
    };
}

Error cancelled()
{
    return {ErrorCode::Cancelled, "cancelled while inputs were on their way"};
}

} // namespace

Fetcher::Fetcher(FetcherOptions options) : m_options(std::move(options))
{
    const unsigned streams = std::clamp(m_options.streams, 1U, kMaxStreams);
    for (unsigned i = 0; i < streams; ++i)
        m_threads.emplace_back([this] { work(); });
}

Fetcher::~Fetcher()
{
    {
        const MutexLock lock(m_mutex);
        m_isStopping = true;
        m_workReady.notifyAll();
    }
    for (std::thread& thread : m_threads)
        thread.join();
}

// ------------------------------------------------------------------------------------------- the caller's
// thread

bool Fetcher::mustProve(const nix::StoreDir& dir, const nix::NarInfo& info) const
{
    return !m_options.trustedKeys.empty() &&
           !nix::isSignedBy(m_options.trustedKeys, info.signatures, nix::fingerprint(dir, info));
}

Result<void> Fetcher::checkTrust(const nix::StoreDir& dir, const nix::NarInfo& info) const
{
    if (!mustProve(dir, info) || !info.contentAddress.empty()) // the content is checked on its way
        return {};
    return fail(
        ErrorCode::Denied,
        fmt::format(
            "{} is signed by none of the {} trusted public keys; trust the server's key (penstock status "
            "shows it), or have the path signed",
            info.path.print(dir), m_options.trustedKeys.size()));
}

// References first. A valid path needs no look at what it refers to: the store keeps closures whole.
Result<std::vector<nix::NarInfo>> Fetcher::findMissing(const FetchOrder& order) const
{
    const auto store = order.store(order.interrupt);
    const auto isCancelled = [&] { return order.interrupt.isRaised(); };
    const auto withoutValid = [&](nix::StorePathSet paths) -> Result<nix::StorePathSet> {
        if (order.hold)
            PENSTOCK_TRY_VOID(order.hold(paths));
        PENSTOCK_TRY(const auto valid, store->validPaths(paths, order.substitute));
        for (const nix::StorePath& path : valid)
            paths.erase(path);
        return paths;
    };
    PENSTOCK_TRY(const auto wanted, withoutValid(order.paths));
    if (wanted.empty())
        return std::vector<nix::NarInfo>{};
    PENSTOCK_TRY(auto closure, order.road->closure(wanted, isCancelled));
    nix::StorePathSet offered;
    for (const nix::NarInfo& info : closure)
        offered.insert(info.path);
    for (const nix::StorePath& path : wanted)
        if (!offered.contains(path))
            return fail(
                ErrorCode::NotFound,
                fmt::format(
                    "neither the server nor this machine's store has {}; bring it to the server (penstock "
                    "build uploads sources), or build what makes it",
                    path.print(order.road->storeDir())));
    PENSTOCK_TRY(const auto missing, withoutValid(std::move(offered)));
    std::erase_if(closure, [&](const nix::NarInfo& info) { return !missing.contains(info.path); });
    for (const nix::NarInfo& info : closure)
        PENSTOCK_TRY_VOID(checkTrust(order.road->storeDir(), info));
    return closure;
}

Result<TransferProgress> Fetcher::fetch(const FetchOrder& order)
{
    std::uint64_t lookedAt = 0;
    {
        const MutexLock lock(m_mutex);
        lookedAt = m_table.serial();
    }
    PENSTOCK_TRY(auto missing, findMissing(order));
    if (missing.empty())
        return TransferProgress{};
    FetchJob job{order.road, order.store};
    {
        const MutexLock lock(m_mutex);
        m_table.add(job, std::move(missing), lookedAt);
        m_workReady.notifyAll();
    }
    auto outcome = await(job, order);
    const MutexLock lock(m_mutex);
    m_table.withdraw(job);
    m_workReady.notifyAll();
    return outcome;
}

Result<TransferProgress> Fetcher::await(FetchJob& job, const FetchOrder& order)
{
    const SystemClock clock;
    TransferProgress told;
    for (;;) {
        TransferProgress progress;
        {
            const MutexLock lock(m_mutex);
            const auto until =
                std::chrono::steady_clock::time_point(clock.now().mono.sinceStart + kLookEvery);
            if (!job.isOver() && job.progress == told)
                m_jobsMoved.waitUntil(m_mutex, until);
            if (job.error)
                return fail(*job.error);
            progress = job.progress;
        }
        if (order.onProgress && progress != told)
            order.onProgress(progress);
        told = progress;
        if (progress.pathsDone == progress.paths)
            return progress;
        if (order.interrupt.isRaised())
            return fail(cancelled());
    }
}

// ---------------------------------------------------------------------------------------------------- the
// streams

void Fetcher::work()
{
    while (const std::shared_ptr<FetchBatch> batch = takeBatch()) {
        std::size_t good = 0;
        const Result<void> outcome = runBatch(*batch, good);
        const MutexLock lock(m_mutex);
        m_table.settle(*batch, good, outcome ? std::nullopt : std::optional(outcome.error()));
        m_workReady.notifyAll();
        m_jobsMoved.notifyAll();
    }
}

std::shared_ptr<FetchBatch> Fetcher::takeBatch()
{
    const MutexLock lock(m_mutex);
    for (;;) {
        while (!m_isStopping && !m_table.hasReady())
            m_workReady.wait(m_mutex);
        if (m_isStopping)
            return nullptr;
        auto interrupt = nixdaemon::Interrupt::create();
        if (interrupt)
            return m_table.take(*std::move(interrupt), m_threads.size());
        m_table.refuseFirst(interrupt.error());
        m_jobsMoved.notifyAll();
    }
}

Result<void> Fetcher::readNar(const FetchBatch& batch, const nix::NarInfo& info, const ByteSink& sink) const
{
    const auto isCancelled = [&] { return batch.interrupt.isRaised(); };
    if (!mustProve(batch.road->storeDir(), info))
        return batch.road->readNar(info, sink, isCancelled);
    PENSTOCK_TRY(const auto address, nix::ContentAddress::parse(info.contentAddress));
    PENSTOCK_TRY(auto check,
                 nix::ContentCheck::begin(batch.road->storeDir(), info.path, address, info.references));
    const auto checked = [&](std::string_view bytes) -> Result<void> {
        PENSTOCK_TRY_VOID(check.push(bytes));
        return sink(bytes);
    };
    PENSTOCK_TRY_VOID(batch.road->readNar(info, checked, isCancelled));
    return check.finish();
}

Result<void> Fetcher::runBatch(const FetchBatch& batch, std::size_t& good) const
{
    if (batch.infos.size() == 1 && batch.infos.front().narSize > kSmallNar) {
        PENSTOCK_TRY_VOID(runLarge(batch, batch.infos.front()));
        good = 1;
        return {};
    }
    std::vector<std::string> bytes; // small ones; stays in place
    bytes.reserve(batch.infos.size());
    std::vector<nixstore::NarToTake> nars;
    Result<void> outcome;
    for (const nix::NarInfo& info : batch.infos) {
        std::string& nar = bytes.emplace_back();
        nar.reserve(info.narSize);
        outcome = readNar(batch, info, [&nar](std::string_view piece) -> Result<void> {
            nar.append(piece);
            return {};
        });
        if (!outcome)
            break;
        nars.push_back({info, sourceOf(nar)});
    }
    if (nars.empty())
        return outcome;
    const std::size_t read = nars.size();
    std::size_t added = 0;
    const Result<void> taken = batch.store(batch.interrupt)->addNars(nars, added);
    good = taken ? read : added;
    return taken ? outcome : taken;
}

// The reader of the link pushes and the store pulls, so a second thread and a pipe stand between them.
Result<void> Fetcher::runLarge(const FetchBatch& batch, const nix::NarInfo& info) const
{
    BytePipe pipe(kPipeBytes);
    Result<void> read;
    std::thread reader;
    try {
        reader = std::thread([&] {
            read = readNar(batch, info, [&](std::string_view bytes) { return pipe.write(bytes); });
            if (read)
                pipe.finish();
            else
                pipe.fail(read.error());
        });
    } catch (const std::system_error& error) {
        return fail(ErrorCode::Unavailable,
                    fmt::format("no thread to fetch {} with: {}; raise the limit of tasks",
                                info.path.baseName(), error.what()));
    }
    const auto added =
        batch.store(batch.interrupt)->addNar(info, [&](std::span<char> into) { return pipe.read(into); });
    if (!added)
        pipe.abandon(added.error());
    else
        pipe.abandon({ErrorCode::Cancelled, "the store has it already"});
    reader.join();
    return added;
}

} // namespace penstock::transfer
