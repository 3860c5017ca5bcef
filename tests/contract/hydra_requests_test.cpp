// SPDX-License-Identifier: GPL-3.0-or-later
// What people ask the intake for (PUT /build, POST /build_one).
#include "tests/contract/hydra_intake_world.h"

#include <filesystem>
#include <fstream>
#include <future>
#include <sys/stat.h>

namespace penstock::test {
namespace {

class HydraRequests : public IntakeWorld {};

// Whoever asks is a loop, and the store may be far away.
TEST_F(HydraRequests, ReadsTheDerivationOfAnAddedBuildOnAThreadOfItsOwn)
{
    const auto a = derive("a");
    const std::string file = m_files.path() + "/" + a.path.baseName();
    std::filesystem::remove(file);
    ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0); // who opens it waits for a writer
    start();
    std::promise<Result<hydra::BuildId>> answer;
    auto asked = std::async(std::launch::async, [&] {
        m_intake->addBuild(a.path.baseName(), 1,
                           [&](Result<hydra::BuildId> build) { answer.set_value(std::move(build)); });
    });
    EXPECT_EQ(asked.wait_for(std::chrono::seconds(5)), std::future_status::ready);
    std::ofstream(file) << a.text(nix::StoreDir::standard());
    const auto added = answer.get_future().get();
    EXPECT_TRUE(added) << added.error().message;
    stop();
}

TEST_F(HydraRequests, ABuildThatIsFinishedNeedsNoLoading)
{
    m_options.monitorsQueue = false;
    const int finished = m_database.insertFinishedBuild(rowOf(derive("a")), 1);
    start();
    std::promise<Result<void>> answer;
    m_intake->buildOne(finished, [&](Result<void> done) { answer.set_value(std::move(done)); });
    const auto done = answer.get_future().get();
    EXPECT_TRUE(done) << done.error().message;
    EXPECT_TRUE(m_farm.open().empty());
    stop();
}

TEST_F(HydraRequests, RefusesRequestsWhenTooManyWaitForTheDatabase)
{
    m_options.databaseUrl = "postgresql:///none?host=/nowhere";
    start();
    waitUntil("the database is missed", [&] { return !m_intake->counters().lastError.empty(); });
    Mutex mutex;
    std::size_t refused = 0;
    const auto ask = [&](int build) {
        m_intake->buildOne(build, [&](const Result<void>& done) {
            const MutexLock lock(mutex);
            EXPECT_FALSE(done);
            ++refused;
        });
    };
    for (int build = 1; build <= 1'000; ++build)
        ask(build % 2);
    EXPECT_EQ(refused, 0U);
    m_database.run("SELECT pg_sleep(0.2)"); // it takes them in meanwhile
    ask(1);
    EXPECT_EQ(refused, 1U);
    m_intake->addBuild(derive("a").path.baseName(), 1, [&](const Result<hydra::BuildId>& build) {
        ASSERT_FALSE(build);
        EXPECT_EQ(build.error().code, ErrorCode::Unavailable);
        ++refused;
    });
    EXPECT_EQ(refused, 2U);
    stop();
}

} // namespace
} // namespace penstock::test
