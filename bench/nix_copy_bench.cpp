// SPDX-License-Identifier: GPL-3.0-or-later
// Question: how fast does a closure go from one nix-daemon's store to another's through our code, beside `nix
// copy` between the same two? Sizes: 500 paths of 1 MB each, and 2,000 tiny ones. Budget: 1.5 times nix copy;
// 1,000 tiny paths a second. Needs nix-daemon. Usage: bench_nix_copy [PATHS [BYTES]]
#include "shared/base/text.h"
#include "shared/nixdaemon/daemon_connection.h"
#include "shared/nixstore/daemon_store.h"
#include "tests/support/nar_samples.h"
#include "tests/support/nix_fixture.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace {

using namespace penstock;

constexpr std::size_t kWorkers = 3;

template <class T> T orDie(Result<T> result)
{
    if (!result) {
        fmt::print(stderr, "bench_nix_copy: {}\n", result.error().message);
        std::exit(1);
    }
    if constexpr (!std::is_void_v<T>)
        return *std::move(result);
}

double seconds(const std::function<void()>& work)
{
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::unique_ptr<test::NixFixture> startNix()
{
    test::NixFixtureOptions options;
    options.isChroot = true;
    return orDie(test::NixFixture::start(options));
}

std::shared_ptr<nixdaemon::DaemonPool> poolOf(const test::NixFixture& nix)
{
    nixdaemon::PoolOptions options;
    options.maxConnections = kWorkers;
    return orDie(nixdaemon::DaemonPool::create(nix.socketPath(), options));
}

// The paths, and one that refers to all of them.
nix::StorePath fill(nixstore::StoreAccess& store, std::size_t paths, std::size_t bytes)
{
    nix::StorePathSet all;
    for (std::size_t i = 0; i < paths; ++i) {
        std::string content(bytes, '\0');
        for (std::size_t at = 0; at < bytes; ++at)
            content[at] = static_cast<char>((at * 2654435761U + i * 40503U) >> 13U);
        const test::NarSample sample = test::sampleOf(fmt::format("path-{}-{}", bytes, i), content);
        orDie(store.addNar(sample.info, test::sourceOf(sample.nar)));
        all.insert(sample.info.path);
    }
    const test::NarSample top = test::sampleOf(fmt::format("top-{}", bytes), "all of them", all);
    orDie(store.addNar(top.info, test::sourceOf(top.nar)));
    return top.info.path;
}

// One thread reads, this one adds; a pipe between them.
void copyOne(nixstore::StoreAccess& from, nixstore::StoreAccess& to, const nix::NarInfo& info)
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        std::exit(1);
    ::fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
    std::thread reader([&] {
        orDie(from.readNar(info, [&](std::string_view bytes) -> Result<void> {
            while (!bytes.empty())
                bytes.remove_prefix(static_cast<std::size_t>(::write(ends[1], bytes.data(), bytes.size())));
            return {};
        }));
        ::close(ends[1]);
    });
    orDie(to.addNar(info, [&](std::span<char> into) -> Result<std::size_t> {
        return static_cast<std::size_t>(::read(ends[0], into.data(), into.size()));
    }));
    reader.join();
    ::close(ends[0]);
}

void copyBig(nixstore::StoreAccess& from, nixstore::StoreAccess& to, const std::vector<nix::NarInfo>& closure)
{
    std::atomic<std::size_t> next = 0;
    std::vector<std::thread> workers;
    for (std::size_t worker = 0; worker < kWorkers; ++worker)
        workers.emplace_back([&] {
            // The last refers to the others.
            for (std::size_t i = next++; i + 1 < closure.size(); i = next++)
                copyOne(from, to, closure[i]);
        });
    for (std::thread& worker : workers)
        worker.join();
    copyOne(from, to, closure.back());
}

void copyTiny(nixstore::StoreAccess& from, const test::NixFixture& to,
              const std::vector<nix::NarInfo>& closure)
{
    const auto daemon = orDie(nixdaemon::DaemonConnection::open(to.socketPath(), {}));
    std::vector<nixdaemon::NarToAdd> nars;
    for (const nix::NarInfo& info : closure) {
        std::string nar;
        orDie(from.readNar(info, test::sinkInto(nar)));
        nars.push_back({info.path,
                        {info.deriver, info.narHash, info.references, 0, info.narSize, false, {}, {}},
                        test::sourceOf(std::move(nar))});
    }
    orDie(daemon->addMultipleToStore(nars, {false, true}));
}

void measure(std::size_t paths, std::size_t bytes)
{
    const auto interrupt = orDie(nixdaemon::Interrupt::create());
    const auto source = startNix();
    nixstore::DaemonStore from(poolOf(*source), interrupt);
    const nix::StorePath top = fill(from, paths, bytes);
    const bool isTiny = bytes < 10'000;

    const auto ours = startNix();
    nixstore::DaemonStore to(poolOf(*ours), interrupt);
    const double own = seconds([&] {
        const auto closure = orDie(nixstore::closureOf(from, {top}, 1'000'000));
        if (isTiny)
            copyTiny(from, *ours, closure);
        else
            copyBig(from, to, closure);
    });
    const auto theirs = startNix();
    const double nixCopy = seconds([&] {
        orDie(
            theirs->run({"nix", "copy", "--no-check-sigs", "--from",
                         fmt::format("unix://{}?root={}", source->socketPath(), source->localStore()), "--to",
                         fmt::format("unix://{}", theirs->socketPath()), top.print(source->storeDir())}));
    });
    const double total = static_cast<double>(paths) * static_cast<double>(bytes) / 1e6;
    fmt::print("{} paths of {} bytes: ours {:.2f} s ({:.0f} MB/s, {:.0f} paths/s), nix copy {:.2f} s; {:.2f} "
               "times as "
               "fast\n",
               paths, bytes, own, total / own, static_cast<double>(paths) / own, nixCopy, nixCopy / own);
}

std::size_t argument(int count, char** values, int index, std::size_t otherwise)
{
    if (index >= count)
        return otherwise;
    return orDie(parseUnsigned(values[index]));
}

} // namespace

int main(int count, char** values)
{
    if (count > 1) {
        measure(argument(count, values, 1, 500), argument(count, values, 2, 1'000'000));
        return 0;
    }
    measure(500, 1'000'000);
    measure(2000, 200);
    return 0;
}
