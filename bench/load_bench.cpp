// SPDX-License-Identifier: GPL-3.0-or-later
// Question: how long do 200,000 derivations take from their files into the queue, closure checked, and where does the
// time go? Budget: 20 s cold, 300 MB beside the derivations' own text, on one core.
//   bench_load [COUNT [BYTES [DIR]]]   derivations, bytes of each (about), where their files are made (default
//                                      200000 1000 /tmp/penstock-bench-load)
// The files are a real closure: every path and output path is the right one. They are dropped from the page cache
// before they are read.
#include "bench/memory.h"
#include "client/build/closure.h"
#include "server/core/farm_core.h"
#include "server/jobs/build_spec.h"
#include "server/jobs/presence.h"
#include "shared/nix/drv.h"
#include "shared/nix/modulo.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <optional>
#include <string>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

namespace penstock::bench {
namespace {

constexpr std::size_t kInputs = 6;
constexpr std::size_t kLayer = 1'000; // as many do not need each other

std::uint64_t residentBytes()
{
    std::ifstream file("/proc/self/statm");
    std::uint64_t pages = 0;
    std::uint64_t resident = 0;
    file >> pages >> resident;
    return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

double cpuSeconds()
{
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

template <class T> T good(Result<T> result)
{
    if (result)
        return *std::move(result);
    fmt::print(stderr, "{}\n", result.error().message);
    std::exit(1);
}

class Phase {
public:
    explicit Phase(std::string name) : m_name(std::move(name)), m_began(std::chrono::steady_clock::now()) {}
    ~Phase()
    {
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - m_began;
        rusage usage{};
        ::getrusage(RUSAGE_SELF, &usage);
        fmt::print("{:<28} {:>8.2f} s, {:>6.2f} s of cpu   {:>6} MB resident, {:>6} MB of our own, peak {} MB\n",
                   m_name, took.count(), cpuSeconds() - m_cpuBefore, residentBytes() >> 20U, bytesInUse() >> 20,
                   usage.ru_maxrss >> 10);
        std::fflush(stdout);
    }
    Phase(const Phase&) = delete;
    Phase& operator=(const Phase&) = delete;

private:
    std::string m_name;
    std::chrono::steady_clock::time_point m_began;
    double m_cpuBefore = cpuSeconds();
};

struct Made {
    nix::StorePath drv;
    nix::StorePath out;
};

void dropFromCache(const std::string& file)
{
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return;
    static_cast<void>(::posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED));
    static_cast<void>(::close(descriptor));
}

// The last one needs all the others, by way of those it needs.
std::string makeClosure(const nix::StoreDir& dir, std::size_t count, std::size_t bytes)
{
    std::filesystem::create_directories(dir.text());
    nix::ModuloHashes hashes(dir);
    std::vector<Made> made;
    made.reserve(count);
    std::uint64_t seed = 1;
    const auto draw = [&seed](std::size_t below) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        return (seed >> 33U) % below;
    };
    const auto source = good(nix::StorePath::fromBaseName("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz-builder.sh"));
    for (std::size_t at = 0; at < count; ++at) {
        nix::Derivation drv;
        drv.name = fmt::format("package-{}-1.{}", at, at % 7);
        drv.platform = "x86_64-linux";
        drv.builder = "/bin/sh";
        drv.arguments = {"-e", source.print(dir)};
        drv.inputSources.insert(source);
        const std::size_t below = at / kLayer * kLayer; // those of lower layers
        if (at >= kLayer)
            drv.inputDerivations[made[at - kLayer].drv].outputs.insert("out");
        for (std::size_t input = 1; input < kInputs && below > 0; ++input)
            drv.inputDerivations[made[draw(below)].drv].outputs.insert("out");
        if (at + 1 == count)
            for (std::size_t last = at > kLayer ? at - kLayer : 0; last < at; ++last)
                drv.inputDerivations[made[last].drv].outputs.insert("out");
        drv.environment["name"] = drv.name;
        drv.environment["out"] = "";
        drv.environment["system"] = drv.platform;
        drv.outputs["out"] = {};
        drv.outputs["out"].path = source; // of the right kind while it is hashed
        const std::size_t size = nix::printDerivation(dir, drv).size();
        if (size < bytes)
            drv.environment["buildCommand"] = std::string(bytes - size, 'x');
        const auto out = good(nix::computeOutputPath(dir, drv.name, "out", good(hashes.masked(drv)).hash));
        drv.outputs["out"].path = out;
        drv.environment["out"] = out.print(dir);
        const auto path = good(nix::computeDerivationPath(dir, drv));
        if (auto added = hashes.add(path, drv); !added)
            std::exit(1);
        const std::string file = path.print(dir);
        if (!std::filesystem::exists(file))
            std::ofstream(file, std::ios::binary) << nix::printDerivation(dir, drv);
        made.push_back({path, out});
    }
    ::sync();
    for (const Made& one : made)
        dropFromCache(one.drv.print(dir));
    return made.back().drv.print(dir);
}

core::JobRequest requestOf(jobs::ParsedJob&& job)
{
    core::JobRequest request{std::move(job.spec), {}};
    for (jobs::ParsedStep& step : job.steps)
        request.steps.push_back({std::move(step.spec), std::move(step.dependsOn), step.root, step.cached});
    job.steps = {};
    return request;
}

int run(std::size_t count, std::size_t bytes, const std::string& directory)
{
    const auto dir = good(nix::StoreDir::parse(directory));
    std::string root;
    {
        const Phase phase("made, and dropped from cache");
        root = makeClosure(dir, count, bytes);
    }
    const auto began = std::chrono::steady_clock::now();
    client::Closure closure;
    {
        const Phase phase("client: closure read");
        closure = good(client::readClosure(dir, {{root, {}}}, client::readDerivationFile));
    }
    std::optional<jobs::BuildAssembler> assembler(std::in_place, dir, std::size_t{2} << 30U);
    {
        const Phase phase("texts read, server: checked");
        for (const std::string& path : closure.derivations) {
            const auto added = assembler->add(path, good(client::readDerivationFile(path)));
            if (!added)
                return fmt::print(stderr, "{}\n", added.error().message), 1;
        }
    }
    closure = {};
    jobs::ParsedJob job;
    {
        const Phase phase("server: assembled");
        job = good(std::move(*assembler).finish(std::vector<std::string>{root}, {}, {"ann", {}}));
        assembler.reset();
    }
    {
        const Phase phase("server: looked up, none there");
        jobs::leaveOutPresent(job, {});
    }
    core::FarmCore core(core::CoreOptions{});
    std::vector<core::Command> commands;
    {
        const Phase phase("core: submitted");
        core::SubmitJobs submit{RequestId(1), {}};
        submit.jobs.push_back(requestOf(std::move(job)));
        std::vector<core::Event> events;
        events.emplace_back(std::move(submit));
        commands = core.apply(events, Now{Instant{std::chrono::hours(1)}, WallTime::fromMicros(1)});
    }
    {
        const Phase phase("rows given away");
        commands.clear();
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    fmt::print("{:<28} {:>8.2f} s for {} steps\n", "in all", took.count(),
               core.totals().stepsBlocked + core.totals().stepsReady);
    return 0;
}

} // namespace
} // namespace penstock::bench

int main(int count, char** arguments)
{
    const auto number = [&](int at, std::size_t otherwise) {
        return count > at ? static_cast<std::size_t>(std::strtoull(arguments[at], nullptr, 10)) : otherwise;
    };
    return penstock::bench::run(number(1, 200'000), number(2, 1'000),
                                count > 3 ? arguments[3] : "/tmp/penstock-bench-load");
}
