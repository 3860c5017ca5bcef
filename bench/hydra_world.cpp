// SPDX-License-Identifier: GPL-3.0-or-later
// Makes what a big Hydra has before it starts: derivation files in a store directory of their own, and the rows of
// unfinished builds over them, as files for COPY. bench/hydra_bench.py loads them.
//   hydra_world DIR [DERIVATIONS [BUILDS]]    default 290000 150000
// DIR/store: the files; DIR/rows/TABLE.tsv; DIR/rows/first.sql: what the rows refer to; DIR/world.json: the numbers,
// written last. A world that is there already with the same numbers is left as it is.
#include "bench/hydra_graph.h"
#include "shared/nix/hash.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace penstock::bench {
namespace {

constexpr std::size_t kBaseOf = 145; // one derivation in so many: about 2,000 of 290,000
constexpr int kTime = 1'795'000'000; // Unix seconds, when the builds were queued

struct Jobset {
    int id;
    const char* project;
    const char* name;
    int shares;
};
constexpr std::array<Jobset, 4> kJobsets{{{1, "nixpkgs", "trunk", 5000},
                                          {2, "nixpkgs", "staging-next", 2000},
                                          {3, "nixos", "release", 1000},
                                          {4, "nixos", "trunk-combined", 3000}}};
struct Plan {
    int jobset;
    const char* system;
    std::size_t share; // of 100
};
constexpr std::array<Plan, 8> kPlans{{{1, "x86_64-linux", 23},
                                      {1, "aarch64-linux", 19},
                                      {1, "aarch64-darwin", 13},
                                      {2, "x86_64-linux", 12},
                                      {2, "aarch64-linux", 10},
                                      {2, "aarch64-darwin", 8},
                                      {3, "x86_64-linux", 9},
                                      {3, "aarch64-linux", 6}}};

struct Build {
    int jobset;
    std::string job;
    const char* system;
    const MadeDerivation* derivation;

    friend bool operator<(const Build& a, const Build& b)
    {
        return std::tie(a.jobset, a.job) < std::tie(b.jobset, b.job);
    }
};

void writeText(const std::filesystem::path& file, const std::string& text)
{
    std::ofstream stream(file, std::ios::binary | std::ios::trunc);
    stream << text;
    if (!stream.flush()) {
        fmt::print(stderr, "{}: cannot be written\n", file.string());
        std::exit(1);
    }
}

std::vector<MadeCollection> makeCollections(const nix::StoreDir& dir, std::size_t derivations)
{
    std::vector<MadeCollection> made(kPlans.size());
    std::vector<std::thread> threads;
    for (std::size_t at = 0; at < kPlans.size(); ++at)
        threads.emplace_back([&, at] {
            Collection wanted{kPlans[at].system, derivations * kPlans[at].share / 100, 0, at + 1};
            wanted.base = std::max<std::size_t>(wanted.derivations / kBaseOf, 1);
            made[at] = makeCollection(dir, wanted);
        });
    for (std::thread& thread : threads)
        thread.join();
    return made;
}

// Packages and what is at the top have builds, as many as are wanted; one in twenty has one of a second jobset also.
std::vector<Build> planBuilds(const std::vector<MadeCollection>& made, std::size_t wanted)
{
    std::vector<Build> all;
    std::vector<Build> builds;
    for (std::size_t at = 0; at < made.size(); ++at)
        for (const MadeDerivation& each : made[at].derivations) {
            const Build build{kPlans[at].jobset, fmt::format("{}.{}", each.name, kPlans[at].system), kPlans[at].system,
                              &each};
            if (each.part == Part::Top)
                builds.push_back(build);
            else if (each.part == Part::Package)
                all.push_back(build);
        }
    Draw draw(7);
    for (std::size_t at = all.size(); at > 1; --at)
        std::swap(all[at - 1], all[draw.below(at)]);
    for (std::size_t at = 0; at < all.size() && builds.size() < wanted; ++at) {
        builds.push_back(all[at]);
        if (at % 20 == 0 && all[at].jobset == 1 && builds.size() < wanted) {
            builds.push_back(all[at]);
            builds.back().jobset = 4;
        }
    }
    std::sort(builds.begin(), builds.end());
    return builds;
}

void writeRows(const std::filesystem::path& rows, const nix::StoreDir& dir, const std::vector<Build>& builds)
{
    std::filesystem::create_directories(rows);
    std::string first = "insert into users (username, emailaddress, password) values ('root', 'r@example.org', '!');\n"
                        "insert into projects (name, displayname, owner) values ('nixpkgs', 'Nixpkgs', 'root'), "
                        "('nixos', 'NixOS', 'root');\n";
    for (const Jobset& jobset : kJobsets)
        first += fmt::format("insert into jobsets (id, project, name, emailoverride, schedulingshares) "
                             "values ({0}, '{1}', '{2}', '', {3});\n"
                             "insert into jobsetevals (id, jobset_id, timestamp, checkouttime, evaltime, hasnewbuilds, "
                             "hash) values ({0}, {0}, {4}, 1, 600, 1, 'world{0}');\n",
                             jobset.id, jobset.project, jobset.name, jobset.shares, kTime);
    writeText(rows / "first.sql", first);
    fmt::memory_buffer build;
    fmt::memory_buffer outputs;
    fmt::memory_buffer members;
    int id = 0;
    for (const Build& each : builds) {
        ++id;
        const bool isLong = id % 25 == 0;
        fmt::format_to(std::back_inserter(build), "{}\t0\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t1\t{}\n", id,
                       kTime + id / 1000, each.jobset, each.job, each.derivation->name,
                       each.derivation->path.print(dir), each.system, isLong ? "14400" : "\\N",
                       isLong ? "172800" : "\\N", id % 100 == 0 ? 1000 : 100);
        for (const auto& [name, path] : each.derivation->outputs)
            fmt::format_to(std::back_inserter(outputs), "{}\t{}\t{}\n", id, name, path.print(dir));
        fmt::format_to(std::back_inserter(members), "{}\t{}\t1\n", each.jobset, id);
    }
    writeText(rows / "builds.tsv", fmt::to_string(build));
    writeText(rows / "buildoutputs.tsv", fmt::to_string(outputs));
    writeText(rows / "jobsetevalmembers.tsv", fmt::to_string(members));
}

std::string describe(const std::filesystem::path& place, std::size_t derivations, std::size_t builds)
{
    return fmt::format("{{\"format\": 1, \"place\": \"{}\", \"wantedDerivations\": {}, \"wantedBuilds\": {}",
                       place.string(), derivations, builds);
}

int run(const std::filesystem::path& place, std::size_t derivations, std::size_t wanted)
{
    std::stringstream known;
    known << std::ifstream(place / "world.json").rdbuf();
    if (known.str().starts_with(describe(place, derivations, wanted))) {
        fmt::print("{}", known.str());
        return 0;
    }
    std::error_code ignored;
    std::filesystem::remove_all(place, ignored);
    const auto dir = nix::StoreDir::parse((place / "store").string());
    if (!dir)
        return fmt::print(stderr, "{}\n", dir.error().message), 1;
    std::filesystem::create_directories(dir->text());
    constexpr std::string_view kScript = "source $stdenv/setup\n";
    const auto script = nix::computeTextPath(*dir, "default-builder.sh", nix::hashOf(kScript), {});
    writeText(script->print(*dir), std::string(kScript));
    const std::vector<MadeCollection> made = makeCollections(*dir, derivations);
    const std::vector<Build> builds = planBuilds(made, wanted);
    writeRows(place / "rows", *dir, builds);
    std::size_t count = 0;
    std::size_t edges = 0;
    std::uint64_t bytes = 0;
    for (const MadeCollection& each : made) {
        count += each.derivations.size();
        edges += each.edges;
        bytes += each.bytes;
    }
    const std::string text = fmt::format("{}, \"derivations\": {}, \"builds\": {}, \"edges\": {}, \"bytes\": {}}}\n",
                                         describe(place, derivations, wanted), count, builds.size(), edges, bytes);
    writeText(place / "world.json", text);
    fmt::print("{}", text);
    return 0;
}

} // namespace
} // namespace penstock::bench

int main(int count, char** arguments)
{
    if (count < 2 || count > 4) {
        fmt::print(stderr, "usage: hydra_world DIR [DERIVATIONS [BUILDS]]\n");
        return 2;
    }
    const auto number = [&](int at, std::size_t otherwise) {
        return count > at ? static_cast<std::size_t>(std::strtoull(arguments[at], nullptr, 10)) : otherwise;
    };
    return penstock::bench::run(std::filesystem::absolute(arguments[1]), number(2, 290'000), number(3, 150'000));
}
