// SPDX-License-Identifier: GPL-3.0-or-later
// How fast objects go into and out of S3, beside the curl program on the same server (a Ceph gateway on this
// machine, its data in memory, so the server takes most of the processor). MiB/s of one object; requests/s of
// small ones by eight threads. No budget: the figure that counts is the ratio to curl.
#include "server/cache/s3_store.h"
#include "tests/support/s3_fixture.h"

#include <chrono>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <functional>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using namespace penstock;
using cache::S3Store;

constexpr std::size_t kMiB = 1U << 20U;
constexpr std::size_t kObjectMiB = 256;
constexpr std::size_t kSmallObjects = 2000;
constexpr std::size_t kThreads = 8;

double secondsOf(const std::function<void()>& work)
{
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void need(const Result<void>& done)
{
    if (done)
        return;
    fmt::print(stderr, "s3_bench: {}\n", done.error().message);
    std::_Exit(1);
}

void report(std::string_view what, double seconds)
{
    fmt::print("{:<44} {:8.0f} MiB/s\n", what, static_cast<double>(kObjectMiB) / seconds);
}

void put(S3Store& store, std::string_view key, std::string_view bytes)
{
    auto writer = store.create(key, {});
    for (std::size_t at = 0; at < bytes.size(); at += kMiB / 4) // as a compressor gives them
        need((*writer)->write(bytes.substr(at, kMiB / 4)));
    need((*writer)->commit());
}

void get(S3Store& store, std::string_view key)
{
    std::uint64_t size = 0;
    need(store.get(key, {}, [&size](std::string_view bytes) -> Result<void> {
        size += bytes.size();
        return {};
    }));
    need(size == kObjectMiB * kMiB ? Result<void>() : fail(ErrorCode::Corrupt, "read another size"));
}

void byCurl(S3Store& store, const std::string& bytes)
{
    const std::string file = fmt::format(
        "{}/penstock-s3-bench-{}", std::filesystem::exists("/dev/shm") ? "/dev/shm" : "/tmp", ::getpid());
    std::ofstream(file, std::ios::binary) << bytes;
    const auto address = store.signPut("by-curl", {}, std::chrono::hours(1));
    report("PUT by curl, one request", secondsOf([&] {
               const auto ended = test::runProgram({"curl", "-sSf", "-T", file, address->url});
               need(ended.status == 0 ? Result<void>() : fail(ErrorCode::Unavailable, "curl PUT"));
           }));
    std::filesystem::remove(file);
}

} // namespace

int main()
{
    cache::S3StoreOptions options = test::sharedS3().newBucket();
    S3Store store(options);
    std::string bytes(kObjectMiB * kMiB, '\0');
    std::uint64_t state = 1;
    for (char& byte : bytes) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        byte = static_cast<char>(state >> 56U);
    }
    byCurl(store, bytes);
    options.partBytes = kObjectMiB * kMiB;
    S3Store whole(options);
    report("PUT, one request", secondsOf([&] { put(whole, "whole", bytes); }));
    report("PUT, parts of 8 MiB, 4 at a time", secondsOf([&] { put(store, "parts", bytes); }));
    report("PUT, the same again", secondsOf([&] { put(store, "parts", bytes); }));

    // Readable by anybody, for curl has no key.
    cache::S3Connection connection(options);
    const auto opened = connection.call({.method = "PUT",
                                         .key = "by-curl",
                                         .query = {{"acl", ""}},
                                         .headers = {{"x-amz-acl", "public-read"}}});
    need(opened && opened->isSuccess() ? Result<void>() : fail(ErrorCode::Denied, "acl"));
    report("GET by curl", secondsOf([&] {
               const auto ended =
                   test::runProgram({"curl", "-sSf", "-o", "/dev/null",
                                     fmt::format("http://{}/{}/by-curl", options.host, options.bucket)});
               need(ended.status == 0 ? Result<void>() : fail(ErrorCode::Unavailable, "curl GET"));
           }));
    report("GET", secondsOf([&] { get(store, "parts"); }));
    report("GET, the same again", secondsOf([&] { get(store, "parts"); }));

    const auto small = [&](std::string_view what, const std::function<Result<void>(std::size_t)>& work) {
        const double seconds = secondsOf([&] {
            std::vector<std::thread> threads;
            for (std::size_t thread = 0; thread < kThreads; ++thread)
                threads.emplace_back([&work, thread] {
                    for (std::size_t i = thread; i < kSmallObjects; i += kThreads)
                        need(work(i));
                });
            for (std::thread& thread : threads)
                thread.join();
        });
        fmt::print("{:<44} {:8.0f} /s\n", what, static_cast<double>(kSmallObjects) / seconds);
    };
    small("PUT of 1 kB, 8 threads", [&](std::size_t i) {
        return store.putText(fmt::format("small/{}", i), std::string_view(bytes).substr(0, 1000), {});
    });
    small("HEAD, 8 threads", [&](std::size_t i) -> Result<void> {
        auto there = store.head(fmt::format("small/{}", i));
        return there ? Result<void>() : fail(there.error());
    });
    return 0;
}
