// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/build/build_view.h"
#include "client/build/closure.h"
#include "client/build/local_nix.h"
#include "client/build/upload.h"
#include "shared/base/mutex.h"

#include <gtest/gtest.h>
#include <map>
#include <numeric>

namespace penstock::client {
namespace {

Closure closureOf(std::initializer_list<std::size_t> sizes)
{
    Closure closure;
    for (const auto size : sizes) {
        closure.derivations.push_back("/nix/store/" + std::to_string(closure.derivations.size()) + ".drv");
        closure.sizes.push_back(static_cast<std::uint32_t>(size));
    }
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
    EXPECT_EQ(std::accumulate(parts->begin(), parts->end(), std::size_t{0}), closure.derivations.size());
    std::size_t next = 0;
    for (const auto count : *parts) {
        monitor::ClientMessage message;
        for (std::size_t at = 0; at < count; ++at, ++next) {
            auto& derivation = *message.mutable_build_part()->add_derivations();
            derivation.set_path(closure.derivations[next]);
            derivation.set_text(std::string(closure.sizes[next], 'x'));
        }
        EXPECT_LE(message.ByteSizeLong(), kMaxPartBytes);
    }
}

TEST(Needs, AreReadFromTheBeginningOfADerivation)
{
    const auto needs =
        needsOf(R"(Derive([("out","/s/1","r:sha256","ab")],[("/s/b.drv",["dev","out"]),("/s/c.drv",[])],)"
                R"(["/s/src \"quoted\"","/s/two"],"x86_64-linux","/bin/sh",[],[("A","B")]))");
    ASSERT_TRUE(needs) << needs.error().message;
    EXPECT_EQ(needs->derivations, (std::vector<std::string>{"/s/b.drv", "/s/c.drv"}));
    EXPECT_EQ(needs->sources, (std::vector<std::string>{"/s/src \"quoted\"", "/s/two"}));
    EXPECT_FALSE(needsOf(""));
    EXPECT_FALSE(needsOf("Derive([(\"out\""));
    EXPECT_FALSE(needsOf(R"(DrvWithVersion("xp-dyn-drv",[],[],[]))"));
}

struct ClosureWalk : ::testing::Test {
    // A derivation by its name, with what it needs.
    void add(const std::string& name, const std::vector<std::string>& below, const std::vector<std::string>& sources)
    {
        std::string text = "Derive([],[";
        for (const auto& input : below)
            text += (text.back() == '[' ? "(\"" : ",(\"") + pathOf(input) + "\",[\"out\"])";
        text += "],[";
        for (const auto& source : sources)
            text += (text.back() == '[' ? "\"" : ",\"") + sourceOf(source) + "\"";
        texts[pathOf(name)] = text + "],\"\",\"\",[],[])";
    }
    static std::string pathOf(const std::string& name) { return sourceOf(name) + ".drv"; }
    static std::string sourceOf(const std::string& name) { return "/nix/store/" + std::string(32, '0') + "-" + name; }
    Result<Closure> read(const std::vector<std::string>& roots)
    {
        std::vector<Root> asked;
        for (const auto& root : roots)
            asked.push_back({pathOf(root), {}});
        return readClosure(nix::StoreDir::standard(), asked, [this](const std::string& path) -> Result<std::string> {
            const MutexLock lock(mutex);
            ++reads[path];
            const auto found = texts.find(path);
            if (found == texts.end())
                return fail(ErrorCode::NotFound, "no " + path);
            return found->second;
        });
    }
    std::map<std::string, std::string> texts;
    Mutex mutex;
    std::map<std::string, int> reads;
};

TEST_F(ClosureWalk, GivesEachDerivationOnceAfterAllItNeeds)
{
    add("a", {"b", "c"}, {"one"});
    add("b", {"d"}, {"two", "one"});
    add("c", {"d", "b"}, {});
    add("d", {}, {});
    const auto closure = read({"a", "b"});
    ASSERT_TRUE(closure) << closure.error().message;
    EXPECT_EQ(closure->derivations, (std::vector<std::string>{pathOf("d"), pathOf("b"), pathOf("c"), pathOf("a")}));
    EXPECT_EQ(closure->sources, (std::vector<std::string>{sourceOf("one"), sourceOf("two")}));
    ASSERT_EQ(closure->sizes.size(), 4U);
    EXPECT_EQ(closure->sizes.front(), texts[pathOf("d")].size());
    for (const auto& [path, count] : reads)
        EXPECT_EQ(count, 1) << path;
}

TEST_F(ClosureWalk, NamesWhatIsMissing)
{
    add("a", {"b"}, {});
    const auto closure = read({"a"});
    ASSERT_FALSE(closure);
    EXPECT_NE(closure.error().message.find(pathOf("b")), std::string::npos);
}

TEST_F(ClosureWalk, ReadsAWideLevelTogether)
{
    std::vector<std::string> middle;
    for (int at = 0; at < 1'000; ++at) {
        middle.push_back("m" + std::to_string(at));
        add(middle.back(), {"base"}, {"s" + std::to_string(at % 10)});
    }
    add("base", {}, {});
    add("top", middle, {});
    const auto closure = read({"top"});
    ASSERT_TRUE(closure);
    EXPECT_EQ(closure->derivations.size(), 1'002U);
    EXPECT_EQ(closure->derivations.front(), pathOf("base"));
    EXPECT_EQ(closure->derivations.back(), pathOf("top"));
    EXPECT_EQ(closure->sources.size(), 10U);
    for (const auto& [path, count] : reads)
        EXPECT_EQ(count, 1) << path;
    texts.erase(pathOf("m777"));
    const auto broken = read({"top"});
    ASSERT_FALSE(broken);
    EXPECT_NE(broken.error().message.find("m777"), std::string::npos);
}

TEST_F(ClosureWalk, GoesAsDeepAsItMust)
{
    constexpr int kDepth = 50'000;
    for (int at = 0; at < kDepth; ++at)
        add("n" + std::to_string(at),
            at == 0 ? std::vector<std::string>{} : std::vector{"n" + std::to_string(at - 1)}, {});
    const auto closure = read({"n" + std::to_string(kDepth - 1)});
    ASSERT_TRUE(closure);
    EXPECT_EQ(closure->derivations.size(), std::size_t{kDepth});
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
