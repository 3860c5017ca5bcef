// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/server_options.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace penstock::app {
namespace {

using Words = std::vector<std::string>;

const config::Environment kEnvironment{{"HOME", "/nonexistent"}};

Result<ServerOptions> read(const Words& words, const config::Environment& environment = kEnvironment)
{
    PENSTOCK_TRY(const auto outcome, config::parse(serverProgram(), words, environment));
    return readServerOptions(std::get<config::Values>(outcome), environment, false);
}

std::string errorOf(const Words& words)
{
    const auto options = read(words);
    return options ? std::string("accepted") : options.error().message;
}

// A config file of its own, gone with the test.
struct ConfigFile {
    std::string path = (std::filesystem::temp_directory_path() /
                        ("penstock-server-options-" + std::to_string(::getpid()) + ".toml")).string();
    explicit ConfigFile(std::string_view text) { std::ofstream(path) << text; }
    ~ConfigFile() { std::filesystem::remove(path); }
    ConfigFile(const ConfigFile&) = delete;
    ConfigFile& operator=(const ConfigFile&) = delete;
};

TEST(ServerOptions, HaveTheSchedulersDefaults)
{
    const auto options = read({});
    ASSERT_TRUE(options) << options.error().message;
    const core::CoreOptions plain;
    EXPECT_EQ(options->core.policy, plain.policy);
    EXPECT_EQ(options->core.health.failures, 3U);
    EXPECT_EQ(options->core.health.backOff, plain.health.backOff);
    EXPECT_EQ(options->core.reconnectGrace, plain.reconnectGrace);
    EXPECT_FALSE(options->core.unsupportedAfter);
    EXPECT_EQ(options->core.limits.infrastructureFailures, 4U);
    EXPECT_EQ(options->core.limits.infrastructure.initial, std::chrono::seconds(60));
    EXPECT_EQ(options->core.limits.infrastructure.factorThousandths, 3'000U);
    EXPECT_EQ(options->core.limits.infrastructure.max, std::chrono::hours(1));
}

TEST(ServerOptions, TakeEveryFlagOfTheScheduler)
{
    const auto options =
        read({"--step-sort", "Legacy", "--machine-sort", "SpeedFactorOnly", "--machine-free", "Static",
              "--share-window", "1h", "--reserve-after", "10s", "--promote-after", "2h",
              "--retry-initial", "10ms", "--retry-factor", "2.5", "--retry-max", "1s", "--max-attempts", "7",
              "--unsupported-after", "2m", "--quarantine-after", "0", "--quarantine-initial", "2s",
              "--quarantine-max", "4s", "--reconnect-grace", "1s"});
    ASSERT_TRUE(options) << options.error().message;
    const core::CoreOptions& core = options->core;
    EXPECT_EQ(core.policy, (sched::Policy{sched::StepSort::Legacy, sched::MachineSort::SpeedFactorOnly,
                                          sched::MachineFree::Static, std::chrono::hours(1), std::chrono::seconds(10),
                                          std::chrono::hours(2)}));
    EXPECT_EQ(core.limits.infrastructure.initial, std::chrono::milliseconds(10));
    EXPECT_EQ(core.limits.infrastructure.factorThousandths, 2'500U);
    EXPECT_EQ(core.limits.infrastructure.max, std::chrono::seconds(1));
    EXPECT_EQ(core.limits.infrastructureFailures, 6U);
    EXPECT_EQ(core.unsupportedAfter, std::chrono::minutes(2));
    EXPECT_EQ(core.health.failures, 0U);
    EXPECT_EQ(core.health.backOff.initial, std::chrono::seconds(2));
    EXPECT_EQ(core.health.backOff.max, std::chrono::seconds(4));
    EXPECT_EQ(core.reconnectGrace, std::chrono::seconds(1));
}

TEST(ServerOptions, NameTheFieldTheLimitAndTheValue)
{
    const auto says = [](const Words& words, const Words& parts) {
        const auto message = errorOf(words);
        for (const std::string& part : parts)
            EXPECT_NE(message.find(part), std::string::npos) << message;
    };
    says({"--step-sort", "Random"}, {"--step-sort", "Random", "Legacy", "WithCriticalPath"});
    says({"--machine-sort", "headroom"}, {"--machine-sort", "headroom", "BogomipsWithSpeedFactor"});
    says({"--share-window", "25h"}, {"--share-window", "25h"});
    says({"--share-window", "59s"}, {"--share-window", "59s"});
    says({"--max-attempts", "1001"}, {"--max-attempts", "1001", "1000"});
    says({"--quarantine-after", "1001"}, {"--quarantine-after", "1001", "1000"});
    says({"--retry-factor", "-0.5"}, {"--retry-factor", "-0.5", "0 to 100"});
    says({"--retry-factor", "101"}, {"--retry-factor", "101"});
    says({"--retry-max", "30s"}, {"--retry-max 30 s", "--retry-initial 60 s"});
    says({"--quarantine-initial", "2h"}, {"--quarantine-max 3600 s", "--quarantine-initial 7200 s"});
}

TEST(ServerOptions, ComeFromTheEnvironmentToo)
{
    auto environment = kEnvironment;
    environment["PENSTOCK_MACHINE_FREE"] = "Dynamic";
    environment["PENSTOCK_MAX_ATTEMPTS"] = "2";
    const auto options = read({}, environment);
    ASSERT_TRUE(options) << options.error().message;
    EXPECT_EQ(options->core.policy.room, sched::MachineFree::Dynamic);
    EXPECT_EQ(options->core.limits.infrastructureFailures, 1U);
}

TEST(ServerOptions, UnderstandHydrasNamesAtTopLevelAndInATable)
{
    for (const auto* prefix : {"", "[hydra]\n"}) {
        const ConfigFile file(std::string(prefix) + "stepSortFn = \"WithRdeps\"\nmachine_sort_fn = "
                                                    "\"BogomipsWithSpeedFactor\"\nmachineFreeFn = \"Static\"\n"
                                                    "maxRetries = 3\nretryInterval = 30\nretryBackoff = 2.0\n"
                                                    "maxUnsupportedTimeInS = 120\n");
        const auto options = read({"--config", file.path});
        ASSERT_TRUE(options) << options.error().message;
        const core::CoreOptions& core = options->core;
        EXPECT_EQ(core.policy.steps, sched::StepSort::WithRdeps);
        EXPECT_EQ(core.policy.machines, sched::MachineSort::BogomipsWithSpeedFactor);
        EXPECT_EQ(core.policy.room, sched::MachineFree::Static);
        EXPECT_EQ(core.limits.infrastructureFailures, 2U);
        EXPECT_EQ(core.limits.infrastructure.initial, std::chrono::seconds(30));
        EXPECT_EQ(core.limits.infrastructure.factorThousandths, 2'000U);
        EXPECT_EQ(core.unsupportedAfter, std::chrono::minutes(2));
    }
}

} // namespace
} // namespace penstock::app
