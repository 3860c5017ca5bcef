// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixdaemon/daemon_pool.h"

#include "shared/nixstore/daemon_store.h"
#include "tests/integration/nix/transfer_world.h"

#include <future>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace penstock::nixdaemon {
namespace {

using test::NarSample;
using test::NixFixture;
using test::sampleOf;
using test::sourceOf;

class PooledDaemon : public ::testing::Test {
protected:
    std::shared_ptr<DaemonPool> pool(std::size_t limit, Duration idleTime = std::chrono::seconds(60))
    {
        PoolOptions options;
        options.maxConnections = limit;
        options.idleTime = idleTime;
        return DaemonPool::create(m_nix->socketPath(), options).value();
    }
    std::unique_ptr<NixFixture> m_nix = startNix();
    Interrupt m_interrupt = Interrupt::create().value();
};

TEST_F(PooledDaemon, UsesAConnectionAgainAndDropsABrokenOne)
{
    const auto daemons = pool(2);
    const DaemonConnection* first = nullptr;
    {
        const auto lease = daemons->lease(m_interrupt);
        ASSERT_TRUE(lease) << lease.error().message;
        first = &**lease;
        EXPECT_TRUE((*lease)->ping());
    }
    {
        const auto lease = daemons->lease(m_interrupt);
        EXPECT_EQ(&**lease, first);
        EXPECT_FALSE((*lease)->narFromPath(sampleOf("gone", "").info.path,
                                           [](std::string_view) -> Result<void> { return {}; }));
    }
    EXPECT_TRUE((*daemons->lease(m_interrupt))->ping());
    m_nix->kill(); // the one that waits is dead now
    {
        const auto lease = daemons->lease(m_interrupt);
        const auto answer = lease ? (*lease)->ping() : Result<void>(tl::unexpected<Error>(lease.error()));
        ASSERT_FALSE(answer);
        EXPECT_EQ(answer.error().code, ErrorCode::Unavailable);
    }
    ASSERT_TRUE(m_nix->restart());
    EXPECT_TRUE((*daemons->lease(m_interrupt))->ping());
}

TEST_F(PooledDaemon, LetsNoMoreIntoUseThanItsBound)
{
    const auto daemons = pool(1);
    auto held = std::make_unique<Result<DaemonPool::Lease>>(daemons->lease(m_interrupt));
    ASSERT_TRUE(*held);
    const Interrupt impatient = Interrupt::create().value();
    auto waiting = std::async(std::launch::async, [&] { return daemons->lease(impatient).error().code; });
    impatient.raise();
    EXPECT_EQ(waiting.get(), ErrorCode::Cancelled);
    auto patient = std::async(std::launch::async, [&] { return (*daemons->lease(m_interrupt))->ping(); });
    held.reset();
    EXPECT_TRUE(patient.get());
}

TEST_F(PooledDaemon, ServesManyThreadsAtOnce)
{
    const auto daemons = pool(3);
    std::vector<std::future<std::size_t>> workers;
    for (int worker = 0; worker < 8; ++worker)
        workers.push_back(std::async(std::launch::async, [&, worker] {
            std::size_t good = 0;
            nixstore::DaemonStore store(daemons, m_interrupt);
            for (int i = 0; i < 10; ++i) {
                const NarSample sample = sampleOf(fmt::format("worker-{}-{}", worker, i % 5), "x");
                good += store.addNar(sample.info, sourceOf(sample.nar)).has_value() ? 1U : 0U;
            }
            return good;
        }));
    for (auto& worker : workers)
        EXPECT_EQ(worker.get(), 10U);
    EXPECT_EQ(connect(*m_nix)->queryAllValidPaths().value().size(), 40U);
}

TEST_F(PooledDaemon, ClosesWhatWaitsForTooLong)
{
    const NarSample sample = sampleOf("held-by-a-connection", "x");
    const auto isCollected = [&] {
        EXPECT_TRUE(m_nix->run({"nix-store", "--gc"}));
        return !connect(*m_nix)->isValidPath(sample.info.path).value();
    };
    const auto lasting = pool(2);
    EXPECT_TRUE((*lasting->lease(m_interrupt))->addToStoreNar(toAdd(sample), kTrusting));
    lasting->closeIdle();
    EXPECT_FALSE(isCollected()) << "the connection waits, and with it what it holds";
    EXPECT_TRUE((*lasting->lease(m_interrupt))->ping());
    const auto brief = pool(2, Duration(0));
    EXPECT_TRUE((*brief->lease(m_interrupt))->addTempRoot(sample.info.path));
    EXPECT_TRUE(
        (*lasting->lease(m_interrupt))->narFromPath(sampleOf("gone", "").info.path, {}).error().code ==
        ErrorCode::Invalid)
        << "breaks it, so that it is dropped";
    brief->closeIdle();
    for (int attempt = 0; attempt < 50 && !isCollected();
         ++attempt) { // the daemon's processes end a moment later
    }
    EXPECT_TRUE(isCollected());
}

} // namespace
} // namespace penstock::nixdaemon
