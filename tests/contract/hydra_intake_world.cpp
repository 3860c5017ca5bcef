// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/contract/hydra_intake_world.h"

#include "server/hydra/side_tables.h"
#include "shared/base/text.h"
#include "shared/nix/nar.h"
#include "tests/support/nar_samples.h"
#include "tests/support/postgres_fixture.h"

#include <cstdlib>
#include <fmt/format.h>
#include <fstream>

namespace penstock::test {
namespace {

std::string nameOf(const jobs::ParsedStep& step)
{
    const auto path = nix::StorePath::parse(nix::StoreDir::standard(),
                                            std::get<work::NixWork>(*step.spec.work).drvPath);
    return std::string(path->name().substr(0, path->name().size() - 4));
}

std::string narOfDirectory(const std::map<std::string, std::string>& files)
{
    std::string nar;
    nix::NarWriter writer(sinkInto(nar));
    const auto file = [&](const std::string& name, const std::string& content) {
        EXPECT_TRUE(writer.beginFile(name, content.size(), false));
        EXPECT_TRUE(content.empty() || writer.content(content));
    };
    EXPECT_TRUE(writer.beginDirectory(""));
    std::string open; // one level is enough
    for (const auto& [path, content] : files) {
        const std::size_t slash = path.find('/');
        const std::string directory = slash == std::string::npos ? "" : path.substr(0, slash);
        EXPECT_TRUE(directory == open || open.empty() || writer.endDirectory());
        EXPECT_TRUE(directory == open || directory.empty() || writer.beginDirectory(directory));
        open = directory;
        file(slash == std::string::npos ? path : path.substr(slash + 1), content);
    }
    EXPECT_TRUE(open.empty() || writer.endDirectory());
    EXPECT_TRUE(writer.endDirectory());
    EXPECT_TRUE(writer.finish());
    return nar;
}

std::chrono::seconds patience()
{
    const char* slowness = std::getenv("PENSTOCK_TEST_SLOWNESS");
    return std::chrono::seconds(20 * parseUnsigned(slowness == nullptr ? "1" : slowness).value_or(1));
}

} // namespace

// ------------------------------------------------------------------------------------------------------ the store

Result<nix::StorePathSet> FaultyNixStore::validPaths(const nix::StorePathSet& paths, bool substitute)
{
    {
        const MutexLock lock(m_mutex);
        ++m_questions;
        if (m_isBroken)
            return fail(ErrorCode::Unavailable, "the store does not answer");
    }
    return inner.validPaths(paths, substitute);
}

Result<void> FaultyNixStore::readNar(const nix::NarInfo& info, const ByteSink& sink)
{
    {
        const MutexLock lock(m_mutex);
        if (const auto found = m_narErrors.find(info.path); found != m_narErrors.end())
            return fail(found->second);
    }
    return inner.readNar(info, sink);
}

void FaultyNixStore::setNarError(const nix::StorePath& path, Error error)
{
    const MutexLock lock(m_mutex);
    m_narErrors.insert_or_assign(path, std::move(error));
}

void FaultyNixStore::setBroken(bool isBroken)
{
    const MutexLock lock(m_mutex);
    m_isBroken = isBroken;
}

std::size_t FaultyNixStore::questions() const
{
    const MutexLock lock(m_mutex);
    return m_questions;
}

// ------------------------------------------------------------------------------------------------------- the farm

Result<std::vector<JobId>> TableFarm::take(std::vector<jobs::ParsedJob>& jobs)
{
    std::set<std::string> live = m_live;
    std::map<JobId, FarmJob> added;
    for (jobs::ParsedJob& job : jobs) {
        if (m_badNameError && job.spec.name == m_badName)
            return fail(*m_badNameError);
        FarmJob taken{job.spec, job.bumped, {}, {}, nameOf(job.steps.back())};
        EXPECT_TRUE(job.claimsRootsOnly);
        EXPECT_TRUE(job.steps.back().root);
        for (std::size_t at = 0; at < job.steps.size(); ++at) {
            const jobs::ParsedStep& step = job.steps[at];
            if (step.isReference && !live.contains(nameOf(step)))
                return fail(ErrorCode::Conflict, "no live step for " + nameOf(step));
            for (const std::uint32_t input : step.dependsOn)
                EXPECT_LT(input, at) << "inputs come first";
            live.insert(nameOf(step));
            (step.isReference ? taken.references : taken.full).push_back(nameOf(step));
        }
        added.emplace(JobId(++m_lastJob), std::move(taken));
    }
    m_live = live;
    std::vector<JobId> ids;
    for (auto& [id, job] : added) {
        m_session.run(fmt::format("UPDATE penstock.hydra_builds SET job = {0}, step = {0} WHERE build = {1}",
                                  id.value(), job.spec.sourceId));
        ids.push_back(id);
        m_jobs.emplace(id, std::move(job));
    }
    return ids;
}

void TableFarm::submit(std::vector<jobs::ParsedJob> jobs, hydra::Answer<std::vector<JobId>> answer)
{
    Result<std::vector<JobId>> taken;
    {
        const MutexLock lock(m_mutex);
        ++m_submissions;
        if (m_isHolding) {
            m_held.push_back({std::move(jobs), std::move(answer)});
            return;
        }
        if (!m_refusals.empty()) {
            taken = fail(m_refusals.front());
            m_refusals.erase(m_refusals.begin());
        } else {
            taken = take(jobs);
        }
        if (!taken && taken.error().code == ErrorCode::Conflict)
            ++m_conflicts;
    }
    answer(std::move(taken));
}

void TableFarm::cancel(JobId job, std::string why, hydra::Answer<void> answer)
{
    EXPECT_FALSE(why.empty());
    Result<void> done;
    {
        const MutexLock lock(m_mutex);
        const auto found = m_jobs.find(job);
        if (found == m_jobs.end()) {
            done = fail(ErrorCode::NotFound, "no such job");
        } else {
            m_cancelled.push_back(static_cast<int>(found->second.spec.sourceId));
            if (m_stopsSlowly)
                m_stopping.push_back(job);
            else
                dropRow(job);
            m_live.erase(found->second.root);
            m_jobs.erase(found);
        }
    }
    answer(done);
}

void TableFarm::dropRow(JobId job)
{
    m_session.run(fmt::format("DELETE FROM penstock.hydra_builds WHERE job = {}", job.value()));
}

void TableFarm::stopSlowly()
{
    const MutexLock lock(m_mutex);
    m_stopsSlowly = true;
}

void TableFarm::letStopped()
{
    const MutexLock lock(m_mutex);
    for (const JobId job : std::exchange(m_stopping, {}))
        dropRow(job);
}

void TableFarm::bump(std::vector<hydra::JobBump> bumps, hydra::Answer<void> answer)
{
    {
        const MutexLock lock(m_mutex);
        for (const hydra::JobBump& bump : bumps)
            if (const auto found = m_jobs.find(bump.job); found != m_jobs.end())
                found->second.bumped = bump.at;
    }
    answer({});
}

void TableFarm::setShares(std::string group, std::uint32_t shares, hydra::Answer<void> answer)
{
    Result<void> done;
    {
        const MutexLock lock(m_mutex);
        if (m_shareRefusals > 0) {
            --m_shareRefusals;
            done = fail(ErrorCode::Unavailable, "the database does not keep up");
        } else {
            m_shares.insert_or_assign(std::move(group), shares);
        }
    }
    answer(done);
}

std::map<int, FarmJob> TableFarm::open() const
{
    const MutexLock lock(m_mutex);
    std::map<int, FarmJob> all;
    for (const auto& [id, job] : m_jobs)
        all.emplace(static_cast<int>(job.spec.sourceId), job);
    return all;
}

std::vector<int> TableFarm::builds() const
{
    const MutexLock lock(m_mutex);
    std::vector<int> all;
    for (const auto& [id, job] : m_jobs)
        all.push_back(static_cast<int>(job.spec.sourceId));
    return all;
}

std::optional<FarmJob> TableFarm::jobOf(int build) const
{
    auto all = open();
    const auto found = all.find(build);
    return found == all.end() ? std::nullopt : std::optional(std::move(found->second));
}

std::map<std::string, std::uint32_t> TableFarm::shares() const
{
    const MutexLock lock(m_mutex);
    return m_shares;
}
std::vector<int> TableFarm::cancelled() const
{
    const MutexLock lock(m_mutex);
    return m_cancelled;
}
std::size_t TableFarm::submissions() const
{
    const MutexLock lock(m_mutex);
    return m_submissions;
}
std::size_t TableFarm::conflicts() const
{
    const MutexLock lock(m_mutex);
    return m_conflicts;
}
void TableFarm::refuse(std::vector<Error> next)
{
    const MutexLock lock(m_mutex);
    m_refusals = std::move(next);
}
void TableFarm::refuseShares(std::size_t next)
{
    const MutexLock lock(m_mutex);
    m_shareRefusals = next;
}
void TableFarm::refuseJobsNamed(std::string name, Error error)
{
    const MutexLock lock(m_mutex);
    m_badName = std::move(name);
    m_badNameError = std::move(error);
}
void TableFarm::hold()
{
    const MutexLock lock(m_mutex);
    m_isHolding = true;
}
void TableFarm::letGo()
{
    std::vector<Held> held;
    {
        const MutexLock lock(m_mutex);
        m_isHolding = false;
        held = std::exchange(m_held, {});
        m_submissions -= held.size();
    }
    for (Held& each : held)
        submit(std::move(each.jobs), std::move(each.answer));
}
void TableFarm::forgetStep(const std::string& name)
{
    const MutexLock lock(m_mutex);
    m_live.erase(name);
}

// ------------------------------------------------------------------------------------------------------ the world

IntakeWorld::IntakeWorld() : m_recorder(m_database.url()), m_farm(m_database.url())
{
    store::postgres::StopSignal stop;
    auto connection = store::postgres::Connection::open(m_database.url(), "test", stop);
    EXPECT_TRUE(connection) << connection.error().message;
    EXPECT_TRUE(connection->runScript("CREATE SCHEMA penstock"));
    EXPECT_TRUE(hydra::makeSideTables(*connection));
    auto store = cache::LocalStore::open(m_nix, std::make_unique<MemoryObjectStore>(), {}, testLogger());
    EXPECT_TRUE(store) << store.error().message;
    m_store = *std::move(store);
    m_options.databaseUrl = m_database.url();
    m_options.rescan = std::chrono::milliseconds(300);
}

IntakeWorld::~IntakeWorld() = default;

void IntakeWorld::start()
{
    m_intake = std::make_unique<hydra::Intake>(m_options,
                                               hydra::IntakeParts{m_farm, *m_store, m_clock, testLogger(), m_fetch,
                                                                  m_mostToCompute},
                                               hydra::IntakePlaces{nix::StoreDir::standard(), m_files.path()});
    m_intake->start();
}

TestDerivation IntakeWorld::derive(const std::string& name, std::vector<TestDerivation> inputs,
                                   std::vector<std::string> outputs)
{
    TestDerivation made = makeDerivation(
        nix::StoreDir::standard(),
        {.name = name, .script = "true", .outputs = std::move(outputs), .inputs = std::move(inputs)});
    std::ofstream(m_files.path() + "/" + made.path.baseName()) << made.text(nix::StoreDir::standard());
    return made;
}

void IntakeWorld::build(const TestDerivation& derivation, const std::map<std::string, std::string>& files,
                        const nix::StorePathSet& references)
{
    for (const auto& [name, output] : derivation.drv.outputs) {
        std::string nar = narOfDirectory(files);
        NarSample sample = sampleOf("x", "");
        sample.info.path = *output.path;
        sample.info.narHash = nix::hashOf(nar);
        sample.info.narSize = nar.size();
        sample.info.references = references;
        const auto added = m_nix.addNar(sample.info, sourceOf(std::move(nar)));
        EXPECT_TRUE(added) << added.error().message;
    }
}

HydraBuild IntakeWorld::rowOf(const TestDerivation& derivation, HydraBuild row) const
{
    row.job = derivation.drv.name;
    row.drvPath = pathOf(derivation);
    row.outputs.clear();
    for (const auto& [name, output] : derivation.drv.outputs)
        row.outputs.push_back({name, output.path->print(nix::StoreDir::standard())});
    return row;
}

int IntakeWorld::queue(const TestDerivation& derivation, HydraBuild row)
{
    return m_database.insertBuild(rowOf(derivation, std::move(row)));
}

void IntakeWorld::waitUntil(const std::string& what, const std::function<bool()>& condition)
{
    const auto deadline = std::chrono::steady_clock::now() + patience();
    while (!condition()) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "waited in vain until " << what;
        m_database.run("SELECT pg_sleep(0.005)");
    }
}

bool IntakeWorld::isFinished(int build)
{
    return m_database.value(fmt::format("SELECT finished FROM builds WHERE id = {}", build)) == "1";
}

std::vector<std::string> IntakeWorld::buildFinished()
{
    std::vector<std::string> told = m_recorder.take();
    std::erase_if(told, [](const std::string& each) { return !each.starts_with("build_finished"); });
    return told;
}

} // namespace penstock::test
