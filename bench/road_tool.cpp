// SPDX-License-Identifier: GPL-3.0-or-later
// The roads of builders, for programs that measure: paths into a daemon's store, from there to a server, and from a
// server into another store, each by the code that builders use. Prints JSON: seconds, CPU seconds and peak memory
// of this process.
//     road_tool fill SOCKET STORE_DIR COUNT BYTES      prints the paths; two thirds of the bytes go in compression
//     road_tool send|fetch SOCKET STORE_DIR SERVER STREAMS < paths
#include "shared/base/text.h"
#include "shared/nixdaemon/daemon_pool.h"
#include "shared/nixstore/daemon_store.h"
#include "shared/transfer/fetcher.h"
#include "shared/transfer/sender.h"
#include "tests/support/nar_samples.h"

#include <chrono>
#include <cstdlib>
#include <fmt/format.h>
#include <iostream>
#include <sys/resource.h>

namespace {

using namespace penstock;

template <class T> T orDie(Result<T> result)
{
    if (!result) {
        fmt::print(stderr, "road_tool: {}\n", result.error().message);
        std::exit(1);
    }
    if constexpr (!std::is_void_v<T>)
        return *std::move(result);
}

std::uint64_t numberOf(const std::string& text)
{
    return orDie(parseUnsigned(text));
}

double ownSeconds()
{
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// A third of it is noise, so that it compresses as programs do.
std::string contentOf(std::uint64_t number, std::uint64_t bytes)
{
    std::string content(bytes, 'x');
    std::uint64_t state = number * 2 + 1;
    for (std::size_t at = 0; at < bytes; ++at) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        content[at] = at % 96 < 32 ? static_cast<char>(state >> 56U) : static_cast<char>('a' + at % 7);
    }
    return content;
}

int fill(nixstore::StoreAccess& store, std::uint64_t count, std::uint64_t bytes)
{
    constexpr std::size_t kAtOnce = 64;
    std::vector<test::NarSample> samples;
    const auto add = [&] {
        std::vector<nixstore::NarToTake> nars;
        for (const test::NarSample& sample : samples)
            nars.push_back({sample.info, test::sourceOf(sample.nar)});
        std::size_t added = 0;
        orDie(store.addNars(nars, added));
        for (const test::NarSample& sample : samples)
            fmt::print("{}\n", sample.info.path.print(store.storeDir()));
        samples.clear();
    };
    for (std::uint64_t i = 0; i < count; ++i) {
        samples.push_back(test::addressedSample(store.storeDir(), fmt::format("path-{}-{}", bytes, i),
                                                contentOf(i * 977 + bytes, bytes)));
        if (samples.size() == kAtOnce || bytes > 10'000'000)
            add();
    }
    if (!samples.empty())
        add();
    return 0;
}

nix::StorePathSet readPaths(const nix::StoreDir& dir)
{
    nix::StorePathSet paths;
    for (std::string line; std::getline(std::cin, line);)
        paths.insert(orDie(nix::StorePath::parse(dir, line)));
    return paths;
}

transfer::TransferProgress travel(bool isSending, const std::shared_ptr<nixdaemon::DaemonPool>& pool,
                                  const nix::StoreDir& dir, const std::string& server, unsigned streams)
{
    const auto road = std::make_shared<const transfer::Road>(
        transfer::RoadOptions{[server] { return server; }, "", std::nullopt, dir},
        std::make_shared<transfer::RoadClients>(curl::HttpClientOptions{}));
    const transfer::StoreMaker store = [pool](const nixdaemon::Interrupt& interrupt) {
        return std::make_unique<nixstore::DaemonStore>(pool, interrupt);
    };
    const auto interrupt = orDie(nixdaemon::Interrupt::create());
    if (isSending)
        return orDie(transfer::Sender({streams, "/tmp"}).send({readPaths(dir), road, store, interrupt}));
    return orDie(transfer::Fetcher({streams}).fetch({readPaths(dir), road, store, interrupt}));
}

} // namespace

int main(int count, char** values)
{
    const std::vector<std::string> words(values + 1, values + count);
    if (words.size() != 5) {
        fmt::print(stderr, "usage: see the first lines of bench/road_tool.cpp\n");
        return 2;
    }
    const nix::StoreDir dir = orDie(nix::StoreDir::parse(words[2]));
    nixdaemon::PoolOptions options;
    options.daemon.storeDir = dir;
    options.maxConnections = 16;
    const auto pool = orDie(nixdaemon::DaemonPool::create(words[1], options));
    if (words[0] == "fill") {
        nixstore::DaemonStore store(pool, orDie(nixdaemon::Interrupt::create()));
        return fill(store, numberOf(words[3]), numberOf(words[4]));
    }
    const auto began = std::chrono::steady_clock::now();
    const double before = ownSeconds();
    const auto moved = travel(words[0] == "send", pool, dir, words[3], static_cast<unsigned>(numberOf(words[4])));
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - began;
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    fmt::print(R"({{"paths": {}, "bytes": {}, "seconds": {:.3f}, "cpu": {:.3f}, "peak_mb": {}}})", moved.paths,
               moved.bytes, taken.count(), ownSeconds() - before, used.ru_maxrss / 1024);
    return 0;
}
