// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/build_intake.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace penstock::app {
namespace {

// A store that only says what it has.
class Shelf final : public cache::OutputStore {
public:
    nix::StorePathSet has;
    std::size_t questions = 0;
    std::function<Result<void>()> onQuestion = [] { return Result<void>(); };

    const nix::StoreDir& storeDir() const override { return m_dir; }
    Result<nix::StorePathSet> findMany(const nix::StorePathSet& paths) override
    {
        ++questions;
        PENSTOCK_TRY_VOID(onQuestion());
        nix::StorePathSet found;
        for (const nix::StorePath& path : paths)
            if (has.contains(path))
                found.insert(path);
        return found;
    }
    std::string describe() const override { return "the shelf"; }

    Result<std::optional<nix::NarInfo>> find(const nix::StorePath&) override { return no(); }
    Result<std::optional<nix::NarInfo>> findDigest(std::string_view) override { return no(); }
    Result<void> readFile(const nix::NarInfo&, cache::ByteRange, const ByteSink&) override { return no(); }
    Result<void> readNar(const nix::NarInfo&, const ByteSink&) override { return no(); }
    Result<std::unique_ptr<cache::NarIntake>> receive(const nix::NarInfo&, compress::Method) override { return no(); }
    Result<nix::NarInfo> adopt(const nix::NarInfo&, compress::Method) override { return no(); }
    Result<void> publish(std::vector<nix::NarInfo>) override { return no(); }
    compress::EncoderOptions wantedEncoding() const override { return {}; }
    std::string narKey(const nix::NarInfo&) const override { return {}; }
    Result<void> putLog(std::string_view, const ByteSource&) override { return no(); }
    Result<std::optional<std::string>> getLog(std::string_view, std::size_t) override { return no(); }

private:
    static tl::unexpected<Error> no() { return fail(ErrorCode::Internal, "nobody asks that here"); }
    nix::StoreDir m_dir = nix::StoreDir::standard();
};

struct TestClock final : Clock {
    Now time{{std::chrono::hours(1)}, WallTime::fromMicros(1)};
    Now now() const override { return time; }
};

struct BuildIntakeTest : ::testing::Test {
    static std::string pathOf(std::size_t step) { return fmt::format("/nix/store/{:032}-s", step); }
    // Each step needs the one before; the last is the root.
    static jobs::ParsedJob chain(std::size_t steps)
    {
        jobs::ParsedJob job;
        for (std::size_t at = 0; at < steps; ++at) {
            jobs::ParsedStep step;
            step.root = at + 1 == steps;
            if (at > 0)
                step.dependsOn = {static_cast<std::uint32_t>(at - 1)};
            work::NixWork work;
            work.outputs = {{"out", pathOf(at)}};
            step.spec.work = std::make_shared<const work::Work>(std::move(work));
            job.steps.push_back(std::move(step));
        }
        return job;
    }
    void put(std::size_t step) { shelf.has.insert(nix::StorePath::parse(shelf.storeDir(), pathOf(step)).value()); }
    PreparedBuild prepare(std::size_t steps)
    {
        return withoutPresent(chain(steps), shelf, clock, std::chrono::seconds(10));
    }
    Shelf shelf;
    TestClock clock;
};

TEST_F(BuildIntakeTest, LeavesOutWhatTheStoreHasAndCountsIt)
{
    put(6);
    const PreparedBuild prepared = prepare(10);
    EXPECT_EQ(prepared.job.steps.size(), 3U);
    EXPECT_EQ(prepared.needless, 7U);
    EXPECT_EQ(prepared.note, "");
    EXPECT_EQ(shelf.questions, 1U);
}

TEST_F(BuildIntakeTest, ARootThatIsThereIsTheWholeJob)
{
    put(9);
    const PreparedBuild prepared = prepare(10);
    ASSERT_EQ(prepared.job.steps.size(), 1U);
    EXPECT_TRUE(prepared.job.steps.front().cached);
    EXPECT_EQ(prepared.needless, 10U);
}

TEST_F(BuildIntakeTest, BuildsEverythingAndSaysSoWhenTheStoreDoesNotAnswer)
{
    put(9);
    shelf.onQuestion = [] { return fail(ErrorCode::Unavailable, "no route to it"); };
    const PreparedBuild prepared = prepare(10);
    EXPECT_EQ(prepared.job.steps.size(), 10U);
    EXPECT_FALSE(prepared.job.steps.back().cached);
    EXPECT_EQ(prepared.needless, 0U);
    EXPECT_NE(prepared.note.find("the shelf"), std::string::npos);
    EXPECT_NE(prepared.note.find("no route to it"), std::string::npos);
    EXPECT_EQ(shelf.questions, 1U) << "a store that does not answer is asked once";
}

TEST_F(BuildIntakeTest, StopsAskingASlowStoreAndKeepsWhatItSaid)
{
    put(9'000 - 1'000); // found by the first question; the second one would find the next
    put(100);
    shelf.onQuestion = [this]() -> Result<void> {
        clock.time.mono = clock.time.mono + std::chrono::seconds(11);
        return {};
    };
    jobs::ParsedJob job = chain(9'000);
    job.steps[5'000].root = true; // wanted for itself, below what is there
    const PreparedBuild prepared = withoutPresent(std::move(job), shelf, clock, std::chrono::seconds(10));
    EXPECT_EQ(shelf.questions, 1U);
    EXPECT_NE(prepared.note.find("10 seconds"), std::string::npos);
    EXPECT_EQ(prepared.job.steps.size(), 999U + 5'001U);
}

TEST_F(BuildIntakeTest, APathOutsideTheStoreIsNotKnownToBeThere)
{
    jobs::ParsedJob job = chain(1);
    work::NixWork work;
    work.outputs = {{"out", "/other/place"}};
    job.steps.front().spec.work = std::make_shared<const work::Work>(std::move(work));
    const PreparedBuild prepared = withoutPresent(std::move(job), shelf, clock, std::chrono::seconds(10));
    EXPECT_FALSE(prepared.job.steps.front().cached);
    EXPECT_NE(prepared.note.find("/other/place"), std::string::npos);
}

} // namespace
} // namespace penstock::app
