// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/build/build_view.h"
#include "client/build/local_nix.h"
#include "client/build/upload.h"

#include <gtest/gtest.h>
#include <numeric>

namespace penstock::client {
namespace {

std::vector<LocalDerivation> closureOf(std::initializer_list<std::size_t> sizes)
{
    std::vector<LocalDerivation> closure;
    for (const auto size : sizes)
        closure.push_back({"/nix/store/" + std::to_string(closure.size()) + ".drv", std::string(size, 'x')});
    return closure;
}

TEST(PlanParts, FillsPartsUpToTheLimit)
{
    EXPECT_EQ(*planParts(closureOf({100, 100, 100}), 10'000), (std::vector<std::size_t>{3}));
    EXPECT_EQ(*planParts(closureOf({400, 400, 400}), 1'000), (std::vector<std::size_t>{2, 1}));
    EXPECT_EQ(*planParts({}, 1'000), (std::vector<std::size_t>{0}));
}

TEST(PlanParts, RefusesADerivationThatFitsNowhere)
{
    EXPECT_TRUE(planParts(closureOf({920}), 1'000)); // 920 + 16 of the path + 64
    const auto refused = planParts(closureOf({921}), 1'000);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("/nix/store/0.drv"), std::string::npos);
}

TEST(PlanParts, KeepsEveryFrameBelowTheProtocolsLimit)
{
    const auto closure = closureOf({3'000'000, 1, 200'000, 2'900'000, 2'900'000, 40, 3'100'000});
    const auto parts = planParts(closure, kMaxPartBytes);
    ASSERT_TRUE(parts);
    EXPECT_EQ(std::accumulate(parts->begin(), parts->end(), std::size_t{0}), closure.size());
    std::size_t next = 0;
    for (const auto count : *parts) {
        monitor::ClientMessage message;
        for (std::size_t at = 0; at < count; ++at, ++next) {
            auto& derivation = *message.mutable_build_part()->add_derivations();
            derivation.set_path(closure[next].path);
            derivation.set_text(closure[next].text);
        }
        EXPECT_LE(message.ByteSizeLong(), kMaxPartBytes);
    }
}

TEST(Roots, CarryTheOutputsAskedFor)
{
    EXPECT_EQ(parseRoot("/nix/store/a.drv"), (Root{"/nix/store/a.drv", {}}));
    EXPECT_EQ(parseRoot("/nix/store/a.drv!dev"), (Root{"/nix/store/a.drv", {"dev"}}));
    EXPECT_EQ(parseRoot("/nix/store/a.drv^out,dev"), (Root{"/nix/store/a.drv", {"out", "dev"}}));
    EXPECT_EQ(parseRoot("/nix/store/a.drv^*"), (Root{"/nix/store/a.drv", {}}));
}

TEST(LastLines, TakesTheEndOfALog)
{
    EXPECT_EQ(lastLines("a\nb\nc\n", 2), "b\nc");
    EXPECT_EQ(lastLines("a\nb", 20), "a\nb");
    EXPECT_EQ(lastLines("\n\n", 3), "");
    EXPECT_EQ(lastLines("only", 1), "only");
    EXPECT_EQ(lastLines("a\nb\n", 0), "");
}

TEST(StepRecords, BecomeProgress)
{
    monitor::StepRecord step;
    step.set_state(monitor::STEP_FAILED);
    step.set_result("dependency_failed");
    EXPECT_EQ(progressOf(step).phase, StepPhase::NotBuilt);
    step.set_result("failed");
    step.set_exit_code(3);
    EXPECT_EQ(progressOf(step).phase, StepPhase::Failed);
    EXPECT_EQ(progressOf(step).detail, "exit code 3");
    step.set_state(monitor::STEP_SUCCEEDED);
    step.set_result("cached");
    EXPECT_EQ(progressOf(step).phase, StepPhase::Cached);
    step.set_state(monitor::STEP_BLOCKED);
    EXPECT_EQ(progressOf(step).phase, StepPhase::Waiting);
}

} // namespace
} // namespace penstock::client
