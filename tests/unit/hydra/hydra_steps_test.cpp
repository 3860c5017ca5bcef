// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/hydra_steps.h"

#include "tests/support/temp_directory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <thread>

namespace penstock::app {
namespace {

constexpr const char* kNamed = "/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-named.drv";
constexpr const char* kBuilt = "/nix/store/11bgd045z0d4icpbc2yyz4gx48ak44la-built.drv";

struct NullLogger final : Logger {
    void log(LogLevel, std::string_view, std::initializer_list<LogField>) override {}
};

struct Steps : ::testing::Test {
    Steps() { options.dataDir = directory.path(); }

    bool hasLog(const char* drvPath) const
    {
        return std::filesystem::exists(hydra::buildLogPath(directory.path(), drvPath).value());
    }

    test::TempDirectory directory;
    hydra::Options options;
    SystemClock clock;
    NullLogger logger;
};

TEST_F(Steps, ADerivationThatIsBuiltAsAnotherHasTheLogOfThat)
{
    HydraSteps steps(options, nix::StoreDir::standard(), clock, logger);
    logs::LogStore logs(directory.path() + "/ours", {}, logger, [](AttemptId, std::uint64_t, bool) {}, &steps.tap());
    // Told by the store's thread, which knows nothing of how far the start is.
    std::thread writer([&] {
        for (std::uint64_t attempt = 1; attempt <= 100; ++attempt)
            steps.builtAs(AttemptId{attempt}, attempt == 7 ? kBuilt : kNamed);
    });
    steps.useLogs(logs);
    writer.join();
    std::promise<void> done;
    logs.running(AttemptId{7}, [&] { done.set_value(); });
    done.get_future().wait();
    EXPECT_TRUE(hasLog(kBuilt));
    EXPECT_FALSE(hasLog(kNamed));
}

TEST_F(Steps, ALogIsUploadedUnderTheNameOfWhatWasBuilt)
{
    HydraSteps steps(options, nix::StoreDir::standard(), clock, logger);
    steps.builtAs(AttemptId{7}, kBuilt);
    EXPECT_EQ(steps.takeSubject(AttemptId{8}, kNamed), kNamed);
    EXPECT_EQ(steps.takeSubject(AttemptId{7}, kNamed), kBuilt);
    EXPECT_EQ(steps.takeSubject(AttemptId{7}, kNamed), kNamed) << "it is over";
}

} // namespace
} // namespace penstock::app
