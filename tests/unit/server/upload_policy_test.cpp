// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/transfer/grants.h"
#include "server/transfer/nar_holds.h"
#include "server/transfer/sessions.h"
#include "server/transfer/upload_policy.h"
#include "tests/support/golden.h"

#include <gtest/gtest.h>

namespace penstock::transfer {
namespace {

const nix::StoreDir kDir = nix::StoreDir::standard();

nix::StorePath path(const std::string& name)
{
    return *nix::StorePath::fromBaseName(std::string(32, 'a') + "-" + name);
}

nix::NarInfo info(nix::StorePath at)
{
    nix::NarInfo made{std::move(at), {}, {}, {}, {}, nix::hashOf("nar"), 3, {}, {}, {}, {}, {}};
    return made;
}

// A path that its content makes.
nix::NarInfo addressed(const std::string& name, nix::AddressMethod method = nix::AddressMethod::Recursive,
                       nix::HashAlgorithm algorithm = nix::HashAlgorithm::Sha256)
{
    const nix::ContentAddress address{method, nix::hashOf("content", algorithm)};
    auto made = info(*nix::computeContentPath(kDir, name, address, {}));
    made.contentAddress = address.print();
    return made;
}

nix::SecretKey key(std::string_view name)
{
    return *nix::SecretKey::fromSeed(name, bytesOf(std::string_view("0123456789abcdef0123456789abcdef")));
}

struct UploadPolicy : ::testing::Test {
    UploadRules rules{kDir, {key("trusted-1").publicKey()}};
    AttemptFacts facts{AttemptId(7), "hello", path("hello.drv"), {}};

    Refusal judge(const nix::NarInfo& announced) const { return judgeUpload(rules, &facts, announced).refusal; }
    Refusal judgeClient(const nix::NarInfo& announced) const
    {
        return judgeUpload(rules, nullptr, announced).refusal;
    }
};

TEST_F(UploadPolicy, WantsTheOutputsOfTheAttempt)
{
    facts.outputs["out"] = {nix::OutputKind::InputAddressed, path("hello")};
    facts.outputs["dev"] = {nix::OutputKind::InputAddressed, path("hello-dev")};
    EXPECT_EQ(judge(info(path("hello"))), Refusal::None);
    EXPECT_EQ(judge(info(path("hello-dev"))), Refusal::None);
    EXPECT_EQ(judgeClient(info(path("hello"))), Refusal::Untrusted);
}

TEST_F(UploadPolicy, RefusesAPathThatIsNoOutputAndNamesThoseThatAre)
{
    facts.outputs["out"] = {nix::OutputKind::InputAddressed, path("hello")};
    const auto verdict = judgeUpload(rules, &facts, info(path("bash")));
    EXPECT_EQ(verdict.refusal, Refusal::NotAnOutput);
    EXPECT_NE(verdict.reason.find(path("bash").print(kDir)), std::string::npos) << verdict.reason;
    EXPECT_NE(verdict.reason.find(path("hello").print(kDir)), std::string::npos) << verdict.reason;
    EXPECT_NE(verdict.reason.find("attempt 7"), std::string::npos) << verdict.reason;
}

TEST_F(UploadPolicy, RefusesAnOutputWhoseContentAddressIsALie)
{
    facts.outputs["out"] = {nix::OutputKind::InputAddressed, path("hello")};
    auto lie = info(path("hello"));
    lie.contentAddress = addressed("hello").contentAddress;
    EXPECT_EQ(judge(lie), Refusal::BadAddress);
    lie.contentAddress = "fixed:nonsense";
    EXPECT_EQ(judge(lie), Refusal::BadAddress);
}

TEST_F(UploadPolicy, HoldsAFixedOutputToTheHashOfItsDerivation)
{
    const auto right = addressed("hello.tar.gz", nix::AddressMethod::Flat);
    facts.outputs["out"] = {nix::OutputKind::Fixed, right.path, *nix::ContentAddress::parse(right.contentAddress)};
    EXPECT_EQ(judge(right), Refusal::None);
    auto silent = right;
    silent.contentAddress.clear();
    EXPECT_EQ(judge(silent), Refusal::WrongFixedHash);
}

TEST_F(UploadPolicy, WantsFloatingOutputsByNameAndContent)
{
    facts.outputs["out"] = {nix::OutputKind::Floating, std::nullopt, {}, nix::AddressMethod::Recursive,
                            nix::HashAlgorithm::Sha256};
    EXPECT_EQ(judge(addressed("hello")), Refusal::None);
    EXPECT_EQ(judge(info(path("hello"))), Refusal::NotContentAddressed);
    EXPECT_EQ(judge(addressed("hello", nix::AddressMethod::Flat)), Refusal::WrongFixedHash);
    EXPECT_EQ(judge(addressed("hello", nix::AddressMethod::Recursive, nix::HashAlgorithm::Sha1)),
              Refusal::WrongFixedHash);
    EXPECT_EQ(judge(info(path("other"))), Refusal::NotAnOutput);
}

TEST_F(UploadPolicy, TakesNoDeferredOutputByItsNameAlone)
{
    facts.outputs["out"] = {nix::OutputKind::Deferred, std::nullopt};
    EXPECT_EQ(judge(info(path("hello"))), Refusal::NotAnOutput);
}

TEST_F(UploadPolicy, AResultMayNotNameAnothersPathAsItsOutput)
{
    facts.outputs["out"] = {nix::OutputKind::Floating, std::nullopt, {}, nix::AddressMethod::Recursive,
                            nix::HashAlgorithm::Sha256};
    facts.outputs["doc"] = {nix::OutputKind::InputAddressed, path("hello-doc")};
    const auto named = [this](const std::string& output, const nix::NarInfo& shown) {
        return judgeOutput(kDir, facts, output, shown).refusal;
    };
    EXPECT_EQ(named("out", addressed("hello")), Refusal::None);
    EXPECT_EQ(named("out", addressed("other")), Refusal::NotAnOutput);
    EXPECT_EQ(named("out", info(path("hello"))), Refusal::NotContentAddressed);
    EXPECT_EQ(named("doc", info(path("hello-doc"))), Refusal::None);
    EXPECT_EQ(named("doc", addressed("hello")), Refusal::NotAnOutput);
    EXPECT_EQ(named("man", addressed("hello")), Refusal::NotAnOutput);
}

// As Nix computed it: the golden derivation and where Nix built it.
TEST_F(UploadPolicy, ComputesWhereADeferredOutputMustBe)
{
    const auto storePath = [](const char* base) { return kDir.text() + "/" + base; };
    AttemptWork work;
    work.drvPath = storePath("xicd7rq8ncsmc2hfqzidd7ih61xqga8x-deferred.drv");
    work.drv = test::readGolden("nix/drv/deferred.drv");
    EXPECT_EQ(attemptFacts(AttemptId(7), kDir, work).error().code, ErrorCode::NotFound); // nobody told its input
    work.revealed.push_back({storePath("nzcxnsnxkx446c3zfrrm3n0v8r8vmd9w-floating.drv"), "out",
                             storePath("qgggmh3l96fi791a1gqbxc2lmf926cxz-floating")});
    const auto made = attemptFacts(AttemptId(7), kDir, work);
    ASSERT_TRUE(made) << made.error().message;
    facts = *made;
    EXPECT_EQ(judge(info(*nix::StorePath::fromBaseName("i0a003y587f9dknfri6ix0xvybvlxm7v-deferred"))), Refusal::None);
    EXPECT_EQ(judge(info(path("deferred"))), Refusal::NotAnOutput);
}

TEST_F(UploadPolicy, TakesWhatProvesItselfFromEverybody)
{
    EXPECT_EQ(judgeClient(addressed("source")), Refusal::None);
    EXPECT_EQ(judge(addressed("source")), Refusal::None);
    auto foreign = info(path("glibc"));
    foreign.signatures = {key("stranger-1").sign(nix::fingerprint(kDir, foreign))};
    EXPECT_EQ(judgeClient(foreign), Refusal::Untrusted);
    foreign.signatures.push_back(key("trusted-1").sign(nix::fingerprint(kDir, foreign)));
    EXPECT_EQ(judgeClient(foreign), Refusal::None);
    foreign.narSize += 1; // no longer what was signed
    EXPECT_EQ(judgeClient(foreign), Refusal::Untrusted);
}

TEST_F(UploadPolicy, RefusesWhatIsTooLargeBeforeAnythingElse)
{
    facts.outputs["out"] = {nix::OutputKind::InputAddressed, path("hello")};
    rules.maxNarBytes = 100;
    auto large = info(path("hello"));
    large.narSize = 100;
    EXPECT_EQ(judge(large), Refusal::None);
    large.narSize = 101;
    EXPECT_EQ(judge(large), Refusal::TooLarge);
}

// ------------------------------------------------------------------------------------------------------ grants

TEST(Grants, AreGoodForTheirAttemptOnly)
{
    const auto keys = *GrantKey::make("0123456789abcdef0123456789abcdef");
    const auto grant = keys.grant(AttemptId(42));
    EXPECT_TRUE(grant.starts_with("attempt-42-")) << grant;
    EXPECT_EQ(grant.size(), 11U + 64U);
    ASSERT_TRUE(keys.check(grant));
    EXPECT_EQ(*keys.check(grant), AttemptId(42));
    auto other = grant;
    other.replace(8, 2, "43");
    EXPECT_FALSE(keys.check(other));
}

TEST(Grants, OfAnotherKeyOrShapeAreDeniedWithoutBeingQuoted)
{
    const auto keys = *GrantKey::make("0123456789abcdef0123456789abcdef");
    const auto others = *GrantKey::make("fedcba9876543210fedcba9876543210");
    const auto grant = others.grant(AttemptId(42));
    auto flipped = keys.grant(AttemptId(42));
    flipped.back() = flipped.back() == '0' ? '1' : '0';
    auto upper = keys.grant(AttemptId(42));
    for (auto& c : upper)
        c = c >= 'a' && c <= 'f' ? static_cast<char>(c - 32) : c;
    for (const auto& text : {grant, flipped, upper, std::string("attempt-42-"), std::string("attempt-42"),
                             "attempt--" + grant.substr(11), "attempt-042-" + grant.substr(11),
                             std::string("pst_a_b"), std::string()}) {
        const auto checked = keys.check(text);
        ASSERT_FALSE(checked) << text;
        EXPECT_EQ(checked.error().code, ErrorCode::Denied);
        EXPECT_EQ(checked.error().message.find("attempt-42"), std::string::npos);
    }
    EXPECT_FALSE(GrantKey::make("short"));
}

// ---------------------------------------------------------------------------------------------------- sessions

Item itemOf(const nix::StorePath& at)
{
    return {info(at)};
}

TEST(Sessions, AreBoundedInNumberAndPaths)
{
    Sessions sessions({.sessions = 1, .itemsEach = 2, .items = 10});
    const Sender first{AttemptId(1), {}};
    const Sender second{AttemptId(2), {}};
    ASSERT_TRUE(sessions.open(first, nullptr, {}));
    const auto refused = sessions.open(second, nullptr, {});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::Unavailable);
    EXPECT_TRUE(sessions.announce(first, itemOf(path("a"))));
    EXPECT_TRUE(sessions.announce(first, itemOf(path("b"))));
    EXPECT_TRUE(sessions.announce(first, itemOf(path("b")))); // again is no more
    const auto full = sessions.announce(first, itemOf(path("c")));
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().code, ErrorCode::Exhausted);
    EXPECT_TRUE(sessions.drop(first).empty()); // nothing was brought
    EXPECT_EQ(sessions.items(), 0U);
    EXPECT_TRUE(sessions.open(second, nullptr, {}));
}

TEST(Sessions, KeepWhatWasBroughtAgainstAnotherHash)
{
    Sessions sessions;
    const Sender sender{std::nullopt, "local"};
    ASSERT_TRUE(sessions.open(sender, nullptr, {}));
    ASSERT_TRUE(sessions.announce(sender, itemOf(path("a"))));
    auto* item = sessions.find(sender, path("a"));
    item->stage = Stage::Staged;
    item->staged = item->announced;
    auto other = itemOf(path("a"));
    other.announced.narHash = nix::hashOf("other");
    const auto refused = sessions.announce(sender, other);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::Conflict);
    EXPECT_TRUE(sessions.announce(sender, itemOf(path("a"))));
    EXPECT_EQ(sessions.find(sender, path("a"))->stage, Stage::Staged);
    EXPECT_EQ(sessions.stagedCount(), 1U);
    EXPECT_EQ(sessions.drop(sender).size(), 1U);
}

TEST(Sessions, EndWhenTheyAreIdleUnlessSomethingIsOnItsWay)
{
    Sessions sessions({.idle = std::chrono::seconds(10)});
    const Sender idle{std::nullopt, "idle"};
    const Sender busy{std::nullopt, "busy"};
    ASSERT_TRUE(sessions.open(idle, nullptr, {}));
    ASSERT_TRUE(sessions.open(busy, nullptr, {}));
    ASSERT_TRUE(sessions.announce(busy, itemOf(path("a"))));
    sessions.find(busy, path("a"))->stage = Stage::Receiving;
    (void)sessions.dropIdle(Instant{std::chrono::seconds(9)});
    EXPECT_EQ(sessions.count(), 2U);
    (void)sessions.dropIdle(Instant{std::chrono::seconds(10)});
    EXPECT_EQ(sessions.count(), 1U);
    EXPECT_NE(sessions.find(busy), nullptr);
}

TEST(NarHolds, LetAFileGoOnlyWhenNobodyNeedsIt)
{
    NarHolds holds;
    const auto nar = nix::hashOf("nar");
    ASSERT_TRUE(holds.hold(nar));
    ASSERT_TRUE(holds.hold(nar));
    EXPECT_FALSE(holds.release(nar, true));  // another sender has it
    EXPECT_TRUE(holds.release(nar, false));  // the last one: what the first stored may go
    EXPECT_FALSE(holds.hold(nar)) << "while it is being removed nobody may count on it";
    holds.removed(nar);
    ASSERT_TRUE(holds.hold(nar));
    holds.keep(nar);
    EXPECT_FALSE(holds.release(nar, true)) << "something shown needs it";
    ASSERT_TRUE(holds.hold(nar));
    EXPECT_FALSE(holds.release(nar, false)) << "nothing was stored";
}

} // namespace
} // namespace penstock::transfer
