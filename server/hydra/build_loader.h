// SPDX-License-Identifier: GPL-3.0-or-later
// ChunkWalk: from builds of the queue to what becomes of each: which derivations must be read, which outputs asked for,
// and in the end a job for the farm, or why there is none. The graph only: whoever owns it reads and asks, a whole
// level at a time for all builds together, so that a store that is far away is asked seldom:
//
//     for (auto level = walk.toRead(); !level.empty(); level = walk.toRead())
//         read them, told by read(); ask the database for toLookUp(), told by recorded(); ask the store for toFind(),
//         told by found(); ask failedpaths for toCheck(), told by failed(); perhaps try to fetch toFetch(), told by
//         fetched()
//     walk.finish()
//
// Nothing is read below what is there, lives in the farm already, or has failed before. Pure; one thread.
#pragma once

#include "server/hydra/build_loader_memory.h"
#include "server/hydra/build_loader_reading.h"
#include "server/hydra/options.h"
#include "server/hydra/queue_diff.h"
#include "server/jobs/parsed_job.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace penstock::hydra {

struct LoadedChunk {
    struct Unreadable { // aborted
        QueuedBuild build;
        std::string why; // empty: its derivation is gone from the store; else for the log
    };
    struct Failed {
        QueuedBuild build;
        std::shared_ptr<const FailedDerivation> cause;
    };
    struct Present { // nothing is to be built
        QueuedBuild build;
        std::vector<work::NixOutput> outputs;
    };
    struct Fetched { // output paths that were not built; see hydra-database.md 5.3
        BuildId build; // one that needs it
        std::string drvPath;
        std::vector<work::NixOutput> outputs;
    };
    struct Job {
        QueuedBuild build;
        jobs::ParsedJob job;
    };
    std::vector<Unreadable> unreadable;
    std::vector<Failed> failed;
    std::vector<Present> present;
    std::vector<Fetched> fetched;
    std::vector<Job> jobs; // a step stands in full in the first that needs it, and as a reference in the others
    std::vector<BuildId> postponed; // need so much that the others go first
    std::vector<DrvKey> referenced; // steps taken to live in the farm
    std::vector<DrvKey> listed;     // steps in full
};

// By the full path of a derivation whose text does not tell its outputs: where an earlier build left them.
using RecordedOutputs = std::map<std::string, std::vector<work::NixOutput>>;

class ChunkWalk {
public:
    struct Limits {
        // Derivations looked at for one chunk. Above it the builds that need most are postponed.
        std::size_t maxNodes = 15'000;
        bool takesLive = true; // what the memory says of the farm
    };

    // memory outlives the walk; what is found out goes there (see finish).
    ChunkWalk(const nix::StoreDir& dir, const Options& options, PassMemory& memory, std::vector<QueuedBuild> builds,
              Limits limits);

    [[nodiscard]] std::vector<nix::StorePath> toRead();
    void read(const nix::StorePath& path, Reading reading);
    // Full paths: own derivations of builds, of which only a build can tell the outputs. Not of what they need: whoever
    // is built on those asks their steps for the paths.
    [[nodiscard]] std::vector<std::string> toLookUp() const;
    void recorded(const RecordedOutputs& outputs);
    [[nodiscard]] nix::StorePathSet toFind() const;
    void found(const nix::StorePathSet& present);
    [[nodiscard]] std::vector<std::string> toCheck() const;
    void failed(const std::set<std::string>& paths);
    // The outputs of each derivation that is to be built unless they can be had from elsewhere.
    [[nodiscard]] std::vector<nix::StorePathSet> toFetch() const;
    void fetched(const nix::StorePathSet& present);
    // When all is read: what steps are made for, what can start first in front. Builds of these may then be added.
    [[nodiscard]] std::vector<DrvKey> toBeBuilt();
    void add(QueuedBuild build); // postponed when its derivation is not among them
    // The steps of the jobs then count as live in the memory: they are about to be.
    [[nodiscard]] LoadedChunk finish() &&;

    [[nodiscard]] std::size_t readCount() const { return m_readCount; }

private:
    enum class State : std::uint8_t {
        Unread,
        Read,   // until its level is settled
        Absent, // to be built
        Present,
        Recorded, // the same of outputs that were looked up, while nothing that is to be built needs it
        Live,
        Failed,
        Unreadable,
    };
    struct Node {
        explicit Node(nix::StorePath where) : path(std::move(where)) {}
        nix::StorePath path;
        State state = State::Unread;
        bool isRoot = false;    // from the beginning
        bool isTainted = false; // it, or something to be built below it, is Failed or Unreadable
        bool isListed = false;  // stands in full in a job of this chunk
        bool wasFetched = false;
        bool isRecorded = false;
        std::uint32_t cause = 0; // the node that tainted it
        std::uint32_t visit = 0; // the last walk over it
        std::uint32_t place = 0; // in the job of that walk
        ReadDerivation derivation;
        std::shared_ptr<const work::Work> work; // in the steps made for it so far
        std::string problem; // of Unreadable; empty: gone
        std::shared_ptr<const FailedDerivation> failure;
        std::vector<std::uint32_t> inputs; // of Absent
        std::vector<std::uint32_t> dependents;
    };
    struct Build {
        QueuedBuild row;
        std::uint32_t root = 0;
        bool isPostponed = false;
        std::string problem; // its derivation's path is none
    };

    void addBuild(QueuedBuild row);
    [[nodiscard]] std::uint32_t nodeOf(const nix::StorePath& path, bool isRoot);
    void taint(std::uint32_t node, std::uint32_t cause);
    void expandLevel();
    static void forgetRecorded(Node& node);
    [[nodiscard]] bool isActive(const Build& build) const;
    [[nodiscard]] std::vector<std::uint32_t> activeRoots() const;
    std::size_t reach(const std::vector<std::uint32_t>& roots, std::vector<std::uint32_t>* unread);
    void sweep();
    [[nodiscard]] bool postponeLargest();
    void rememberFailures();
    [[nodiscard]] bool arePresent(const Node& node, const nix::StorePathSet& present) const;
    [[nodiscard]] std::vector<LoadedChunk::Fetched> fetchedFor() const;

    // build_loader_jobs.cpp
    [[nodiscard]] jobs::ParsedJob jobOf(const Build& build, LoadedChunk& chunk);
    [[nodiscard]] jobs::ParsedStep stepOf(Node& node) const;
    [[nodiscard]] jobs::ParsedStep referenceTo(Node& node) const;

    const nix::StoreDir& m_dir;
    const Options& m_options;
    PassMemory& m_memory;
    const Limits m_limits;
    std::vector<Build> m_builds;
    std::vector<Node> m_nodes;
    std::unordered_map<nix::StorePath, std::uint32_t> m_indices;
    std::vector<std::uint32_t> m_frontier; // Unread, to be read next
    std::vector<std::uint32_t> m_level;    // read last
    std::uint32_t m_visit = 0;
    std::size_t m_readCount = 0;
    bool m_mustSweep = false; // some builds need nothing more
};

// The job of a build without its steps. Exposed for tests.
[[nodiscard]] work::JobSpec jobSpecOf(const QueuedBuild& build, const Options& options);

} // namespace penstock::hydra
