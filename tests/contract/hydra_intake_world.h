// SPDX-License-Identifier: GPL-3.0-or-later
// An Intake on a real database with Hydra's tables, a store in memory with derivation files in a directory, and a farm
// that takes jobs as the real one does: references must be live, and what is durable is in the side tables.
#pragma once

#include "server/cache/local_store.h"
#include "server/hydra/intake.h"
#include "shared/base/mutex.h"
#include "tests/support/hydra_database.h"
#include "tests/support/memory_nix_store.h"
#include "tests/support/memory_object_store.h"
#include "tests/support/nix_fixture.h"
#include "tests/support/temp_directory.h"

#include <chrono>
#include <functional>
#include <gmock/gmock.h>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace penstock::test {

// Its answers to the question what is there can be made to fail.
class FaultyNixStore final : public nixstore::StoreAccess {
public:
    [[nodiscard]] const nix::StoreDir& storeDir() const override { return inner.storeDir(); }
    [[nodiscard]] Result<nix::StorePathSet> validPaths(const nix::StorePathSet& paths, bool substitute) override;
    [[nodiscard]] Result<std::optional<nix::NarInfo>> info(const nix::StorePath& path) override
    {
        return inner.info(path);
    }
    [[nodiscard]] Result<void> readNar(const nix::NarInfo& info, const ByteSink& sink) override;
    [[nodiscard]] Result<void> addNar(const nix::NarInfo& info, const ByteSource& nar) override
    {
        return inner.addNar(info, nar);
    }
    [[nodiscard]] Result<void> addRoot(const nix::StorePath& path, const std::string& link) override
    {
        return inner.addRoot(path, link);
    }
    void setBroken(bool isBroken);
    void setNarError(const nix::StorePath& path, Error error);
    [[nodiscard]] std::size_t questions() const;

    MemoryNixStore inner;

private:
    mutable Mutex m_mutex;
    bool m_isBroken PENSTOCK_GUARDED_BY(m_mutex) = false;
    std::map<nix::StorePath, Error> m_narErrors PENSTOCK_GUARDED_BY(m_mutex);
    std::size_t m_questions PENSTOCK_GUARDED_BY(m_mutex) = 0;
};

struct FarmJob {
    work::JobSpec spec;
    std::optional<WallTime> bumped;
    std::vector<std::string> full;       // names of steps it came with
    std::vector<std::string> references; // names of those that lived
    std::string root;
};

class TableFarm final : public hydra::FarmPort {
public:
    explicit TableFarm(const std::string& url) : m_session(url) {}

    void submit(std::vector<jobs::ParsedJob> jobs, hydra::Answer<std::vector<JobId>> answer) override;
    void cancel(JobId job, std::string why, hydra::Answer<void> answer) override;
    void bump(std::vector<hydra::JobBump> bumps, hydra::Answer<void> answer) override;
    void setShares(std::string group, std::uint32_t shares, hydra::Answer<void> answer) override;

    [[nodiscard]] std::map<int, FarmJob> open() const; // by build
    [[nodiscard]] std::optional<FarmJob> jobOf(int build) const;
    [[nodiscard]] std::vector<int> builds() const; // once for each open job
    [[nodiscard]] std::map<std::string, std::uint32_t> shares() const;
    [[nodiscard]] std::vector<int> cancelled() const; // builds
    [[nodiscard]] std::size_t submissions() const;
    [[nodiscard]] std::size_t conflicts() const;
    void refuse(std::vector<Error> next); // so many submissions
    void refuseShares(std::size_t next); // so many orders
    void refuseJobsNamed(std::string name, Error error);
    // Jobs that are cancelled from now on keep what runs of them, until it is over.
    void stopSlowly();
    void letStopped();
    void hold(); // what is submitted is neither taken nor answered
    void letGo();
    // A step ended, and nobody told the intake.
    void forgetStep(const std::string& name);

private:
    [[nodiscard]] Result<std::vector<JobId>> take(std::vector<jobs::ParsedJob>& jobs) PENSTOCK_REQUIRES(m_mutex);
    void dropRow(JobId job) PENSTOCK_REQUIRES(m_mutex);

    mutable Mutex m_mutex;
    HydraSession m_session PENSTOCK_GUARDED_BY(m_mutex);
    std::map<JobId, FarmJob> m_jobs PENSTOCK_GUARDED_BY(m_mutex);
    std::set<std::string> m_live PENSTOCK_GUARDED_BY(m_mutex); // derivations
    std::map<std::string, std::uint32_t> m_shares PENSTOCK_GUARDED_BY(m_mutex);
    std::vector<int> m_cancelled PENSTOCK_GUARDED_BY(m_mutex);
    bool m_stopsSlowly PENSTOCK_GUARDED_BY(m_mutex) = false;
    std::vector<JobId> m_stopping PENSTOCK_GUARDED_BY(m_mutex);
    std::vector<Error> m_refusals PENSTOCK_GUARDED_BY(m_mutex);
    std::size_t m_shareRefusals PENSTOCK_GUARDED_BY(m_mutex) = 0;
    struct Held {
        std::vector<jobs::ParsedJob> jobs;
        hydra::Answer<std::vector<JobId>> answer;
    };
    bool m_isHolding PENSTOCK_GUARDED_BY(m_mutex) = false;
    std::vector<Held> m_held PENSTOCK_GUARDED_BY(m_mutex);
    std::string m_badName PENSTOCK_GUARDED_BY(m_mutex);
    std::optional<Error> m_badNameError PENSTOCK_GUARDED_BY(m_mutex);
    std::uint64_t m_lastJob PENSTOCK_GUARDED_BY(m_mutex) = 0;
    std::size_t m_submissions PENSTOCK_GUARDED_BY(m_mutex) = 0;
    std::size_t m_conflicts PENSTOCK_GUARDED_BY(m_mutex) = 0;
};

class IntakeWorld : public testing::Test {
protected:
    IntakeWorld();
    ~IntakeWorld() override;

    void start();
    void stop() { m_intake.reset(); }
    // A derivation, its file written.
    TestDerivation derive(const std::string& name, std::vector<TestDerivation> inputs = {},
                          std::vector<std::string> outputs = {"out"});
    // Its outputs, in the store: a directory with these files.
    void build(const TestDerivation& derivation, const std::map<std::string, std::string>& files = {},
               const nix::StorePathSet& references = {});
    // A row of builds for it, job of its name.
    int queue(const TestDerivation& derivation, HydraBuild row = {});
    [[nodiscard]] HydraBuild rowOf(const TestDerivation& derivation, HydraBuild row = {}) const;
    void notify(const std::string& channel) { m_database.run("NOTIFY " + channel); }
    // Fails the test after a while.
    void waitUntil(const std::string& what, const std::function<bool()>& condition);
    [[nodiscard]] bool isFinished(int build);
    [[nodiscard]] std::vector<std::string> buildFinished(); // notifications so far
    [[nodiscard]] std::string pathOf(const TestDerivation& derivation) const
    {
        return derivation.path.print(nix::StoreDir::standard());
    }
    [[nodiscard]] std::string outputOf(const TestDerivation& derivation) const
    {
        return derivation.output().print(nix::StoreDir::standard());
    }

    HydraDatabase m_database;
    NotificationRecorder m_recorder;
    FaultyNixStore m_nix;
    TempDirectory m_files;
    std::unique_ptr<cache::LocalStore> m_store;
    TableFarm m_farm;
    SystemClock m_clock;
    std::function<Result<nix::StorePathSet>(const nix::StorePathSet&)> m_fetch;
    std::size_t m_mostToCompute = hydra::IntakeParts::kMostToCompute;
    hydra::Options m_options;
    std::unique_ptr<hydra::Intake> m_intake;
};

} // namespace penstock::test
