// SPDX-License-Identifier: GPL-3.0-or-later
// Questions: (1) how long does an output take from files to a signed, durable path in a `file://` cache with
// zstd, beside `nix copy --to file://…?compression=zstd` of the installed Nix? Goal: at most half. (2) how
// many tiny paths a second are received and published? Goal: 1,000/s. Sizes that matter: 256 MiB in one path
// that compresses to about a third; 10,000 paths. Figures are medians of three; exit 1 when a goal is missed.
//     bench_cache [MEBIBYTES [PATHS]]
#include "server/cache/binary_cache.h"
#include "server/cache/dir_store.h"
#include "shared/base/byte_pipe.h"
#include "shared/base/text.h"
#include "tests/support/nix_fixture.h"
#include "tests/support/temp_directory.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <memory>
#include <random>
#include <set>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

namespace penstock::cache {
namespace {

namespace fs = std::filesystem;
constexpr int kRuns = 3;

struct SilentLogger final : Logger {
    void log(LogLevel, std::string_view, std::initializer_list<LogField>) override {}
};

template <class T> T must(Result<T> result)
{
    if (!result) {
        fmt::print(stderr, "bench_cache: {}\n", result.error().message);
        std::exit(2);
    }
    return *std::move(result);
}
void must(Result<void> result)
{
    if (!result) {
        fmt::print(stderr, "bench_cache: {}\n", result.error().message);
        std::exit(2);
    }
}

double secondsOf(const std::function<void()>& work)
{
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Of this program, or of the children it has waited for.
double cpuSeconds(int whose)
{
    rusage used{};
    ::getrusage(whose, &used);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

double median(const std::function<double()>& run)
{
    std::vector<double> times;
    for (int i = 0; i < kRuns; ++i)
        times.push_back(run());
    std::sort(times.begin(), times.end());
    return times[kRuns / 2];
}

// Files of words: about a third remains of them.
void makeTree(const std::string& root, std::size_t mebibytes)
{
    std::mt19937 random(1);
    std::vector<std::string> words;
    for (int i = 0; i < 4096; ++i) {
        std::string word;
        for (auto length = 3 + random() % 9; length > 0; --length)
            word.push_back(static_cast<char>('a' + random() % 26));
        words.push_back(word + ' ');
    }
    fs::create_directories(root);
    for (std::size_t i = 0; i < mebibytes; ++i) {
        std::string text;
        while (text.size() < (1U << 20U))
            text += words[random() % words.size()];
        std::ofstream(fmt::format("{}/file-{:05}", root, i), std::ios::binary) << text;
    }
}

void writeFile(nix::NarWriter& nar, const fs::path& path)
{
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    std::string buffer(256U << 10U, '\0');
    must(nar.beginFile(path.filename().string(), fs::file_size(path), false));
    for (ssize_t got = 0; (got = ::read(file, buffer.data(), buffer.size())) > 0;)
        must(nar.content(std::string_view(buffer).substr(0, static_cast<std::size_t>(got))));
    ::close(file);
}

void writeTree(const std::string& root, const ByteSink& sink)
{
    nix::NarWriter nar(sink);
    must(nar.beginDirectory(""));
    std::set<fs::path> files;
    for (const auto& entry : fs::directory_iterator(root))
        files.insert(entry.path());
    for (const fs::path& path : files)
        writeFile(nar, path);
    must(nar.endDirectory());
    must(nar.finish());
}

std::unique_ptr<BinaryCache> openCache(const std::string& path, const nix::StoreDir& dir, unsigned threads)
{
    static const SystemClock clock;
    static SilentLogger logger;
    StoreUri uri = must(parseStoreUri("file://" + path));
    BinaryCacheOptions options =
        binaryCacheOptions(uri, {must(nix::SecretKey::fromSeed("bench-1", bytesOf(std::string(32, 'k'))))});
    options.storeDir = dir;
    options.encoding.threads = threads;
    return must(BinaryCache::open(must(DirStore::open(path)), std::move(options), clock, logger));
}

double threadSeconds()
{
    std::timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// As on a farm: a builder, which knows hash and size from its store, compresses; the server checks all of it again
// meanwhile. Gives the seconds of CPU of the server's half.
double store(BinaryCache& cache, const nix::NarInfo& info, const std::string& tree)
{
    BytePipe link(1U << 20U);
    std::thread builder([&] {
        const auto encoder = must(compress::makeEncoder(cache.wantedEncoding()));
        const ByteSink toServer = [&](std::string_view bytes) { return link.write(bytes); };
        writeTree(tree, [&](std::string_view nar) { return encoder->push(nar, toServer); });
        must(encoder->finish(toServer));
        link.finish();
    });
    const double before = threadSeconds();
    const auto intake = must(cache.receive(info, compress::Method::Zstd));
    std::string piece(64U << 10U, '\0');
    for (std::size_t count = 0; (count = must(link.read(piece))) > 0;)
        must(intake->push(std::string_view(piece).substr(0, count)));
    builder.join();
    must(cache.publish({must(intake->finish())}));
    return threadSeconds() - before;
}

bool large(std::size_t mebibytes)
{
    const test::TempDirectory directory;
    const auto nix = must(test::NixFixture::start());
    const std::string tree = directory.path() + "/tree";
    makeTree(tree, mebibytes);
    const std::string line = must(nix->run({"nix-store", "--add", tree}));
    const std::string path = line.substr(0, line.find('\n'));
    nix::Hasher hasher;
    writeTree(path, [&hasher](std::string_view bytes) -> Result<void> {
        hasher.update(bytes);
        return {};
    });
    const std::uint64_t size = hasher.byteCount();
    const nix::NarInfo info{must(nix::StorePath::parse(nix->storeDir(), path)),
                            {},
                            {},
                            {},
                            {},
                            std::move(hasher).finish(),
                            size,
                            {},
                            {},
                            {},
                            {},
                            {}};
    const std::string target = directory.path() + "/cache";
    const double childrenBefore = cpuSeconds(RUSAGE_CHILDREN);
    const double theirs = median([&] {
        fs::remove_all(target);
        return secondsOf([&] {
            must(nix->run({"nix", "copy", "--to", "file://" + target + "?compression=zstd", path}));
        });
    });
    double serverCpu = 0;
    const auto ours = [&](unsigned threads) {
        return median([&] {
            fs::remove_all(target);
            const auto cache = openCache(target, nix->storeDir(), threads);
            return secondsOf([&] { serverCpu = store(*cache, info, path); });
        });
    };
    const double theirCpu = (cpuSeconds(RUSAGE_CHILDREN) - childrenBefore) / kRuns;
    const double before = cpuSeconds(RUSAGE_SELF);
    const double plain = ours(0);
    const double plainCpu = (cpuSeconds(RUSAGE_SELF) - before) / kRuns;
    const double threaded = ours(2);
    const double threadedCpu = (cpuSeconds(RUSAGE_SELF) - before) / kRuns - plainCpu;
    fmt::print(
        "{} MiB to file:// with zstd: nix copy {:.2f} s; ours {:.2f} s ({:.2f} x), with parallel-compression "
        "{:.2f} s ({:.2f} x); seconds of CPU {:.2f}, {:.2f}, {:.2f}, of which "
        "the server's half {:.2f}\n",
        mebibytes, theirs, plain, theirs / plain, threaded, theirs / threaded, theirCpu, plainCpu, threadedCpu,
        serverCpu);
    return theirs / std::min(plain, threaded) >= 2;
}

std::string smallNar(std::size_t number)
{
    std::string nar;
    nix::NarWriter writer([&nar](std::string_view bytes) -> Result<void> {
        nar.append(bytes);
        return {};
    });
    must(writer.beginFile("", 20, false));
    must(writer.content(fmt::format("the content {:08}", number)));
    must(writer.finish());
    return nar;
}

bool small(std::size_t count)
{
    // Removed at the end only: ext4 spends most of its time on stepping around inodes that went within five seconds.
    std::vector<std::unique_ptr<test::TempDirectory>> directories;
    const double taken = median([count, &directories] {
        directories.push_back(std::make_unique<test::TempDirectory>());
        const auto cache = openCache(directories.back()->path() + "/cache", nix::StoreDir::standard(), 0);
        std::vector<nix::NarInfo> infos;
        std::vector<std::string> bodies;
        const auto encoder = [](std::string_view nar) {
            std::string body;
            const ByteSink sink = [&body](std::string_view bytes) -> Result<void> {
                body.append(bytes);
                return {};
            };
            const auto made = must(compress::makeEncoder({}));
            must(made->push(nar, sink));
            must(made->finish(sink));
            return body;
        };
        for (std::size_t i = 0; i < count; ++i) {
            const std::string nar = smallNar(i);
            const std::string digest = nix::hashOf(fmt::format("p{}", i)).base32().substr(20, 32);
            nix::StorePathSet references; // chains of 100
            if (i % 100 != 0)
                references.insert(infos.back().path);
            infos.push_back({must(nix::StorePath::fromBaseName(fmt::format("{}-p{}", digest, i))),
                             {},
                             {},
                             {},
                             {},
                             nix::hashOf(nar),
                             nar.size(),
                             references,
                             {},
                             {},
                             {},
                             {}});
            bodies.push_back(encoder(nar));
        }
        return secondsOf([&] {
            std::vector<nix::NarInfo> staged(count, infos.front());
            std::vector<std::thread> uploads;
            for (std::size_t t = 0; t < 4; ++t)
                uploads.emplace_back([&, t] {
                    for (std::size_t i = t; i < count; i += 4) {
                        const auto intake = must(cache->receive(infos[i], compress::Method::Zstd));
                        must(intake->push(bodies[i]));
                        staged[i] = must(intake->finish());
                    }
                });
            for (std::thread& upload : uploads)
                upload.join();
            must(cache->publish(std::move(staged)));
            nix::StorePathSet paths;
            for (const nix::NarInfo& info : infos)
                paths.insert(info.path);
            if (must(cache->findMany(paths)).size() != count)
                std::exit(2);
        });
    });
    fmt::print("{} tiny paths received and published: {:.2f} s, {:.0f}/s\n", count, taken,
               static_cast<double>(count) / taken);
    return static_cast<double>(count) / taken >= 1000;
}

} // namespace
} // namespace penstock::cache

int main(int argc, char** argv)
{
    const auto number = [&](int index, std::uint64_t usual) {
        return argc > index ? penstock::parseUnsigned(argv[index]).value_or(usual) : usual;
    };
    const bool isSmallFast = penstock::cache::small(number(2, 10'000)); // first: see its directories
    const bool isLargeFast = penstock::cache::large(number(1, 256));
    return isLargeFast && isSmallFast ? 0 : 1;
}
