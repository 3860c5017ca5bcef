// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/auth/authenticator.h"
#include "server/auth/tokens.h"
#include "tests/unit/server/feed_fixture.h"

namespace penstock::auth {
namespace {

using test::FakeTokens;
using test::StepLoop;

const PeerAddress kLocal{"127.0.0.1:5", "127.0.0.1", true, false};
const PeerAddress kFar{"10.0.0.1:5", "10.0.0.1", false, true};

TEST(Policy, SaysWhatEachKindMayDo)
{
    const Action all[] = {Action::ConnectBuilder, Action::Watch, Action::Submit, Action::Operate, Action::ManageTokens};
    const bool local[] = {true, true, true, true, true};
    const bool builder[] = {true, false, false, false, false};
    const bool client[] = {false, true, true, true, false};
    for (std::size_t at = 0; at < 5; ++at) {
        EXPECT_EQ(mayDo({Kind::Local, "local", "local"}, all[at]).has_value(), local[at]) << at;
        EXPECT_EQ(mayDo({Kind::Builder, "id", "b"}, all[at]).has_value(), builder[at]) << at;
        EXPECT_EQ(mayDo({Kind::Client, "id", "c"}, all[at]).has_value(), client[at]) << at;
    }
}

TEST(Policy, RefusesListeningWhereOthersReachItWithoutTlsAndTokens)
{
    for (const bool local : {false, true}) {
        for (const bool tls : {false, true}) {
            for (const Mode mode : {Mode::Local, Mode::Tokens}) {
                for (const bool insecure : {false, true}) {
                    const bool good = local || insecure || (tls && mode == Mode::Tokens);
                    EXPECT_EQ(checkListen({"a", local, tls, mode, insecure}).has_value(), good);
                }
            }
        }
    }
    EXPECT_NE(checkListen({"0.0.0.0:1", false, false, Mode::Tokens, false}).error().message.find("--tls-cert"),
              std::string::npos);
}

TEST(Policy, TakesOnlyLocalPeersWithoutToken)
{
    EXPECT_TRUE(mayComeWithoutToken(kLocal, Mode::Local));
    EXPECT_FALSE(mayComeWithoutToken(kFar, Mode::Local));
    EXPECT_FALSE(mayComeWithoutToken(kLocal, Mode::Tokens));
    EXPECT_FALSE(parseMode("none"));
}

TEST(Policy, RefusesForeignPagesAndStrangeHosts)
{
    EXPECT_TRUE(checkBrowser({"localhost:7780", ""}, true));
    EXPECT_TRUE(checkBrowser({"127.0.0.1:7780", "http://127.0.0.1:7780"}, true));
    EXPECT_TRUE(checkBrowser({"[::1]:7780", ""}, true));
    EXPECT_TRUE(checkBrowser({"LocalHost", ""}, true));
    EXPECT_TRUE(checkBrowser({"", ""}, true));
    EXPECT_TRUE(checkBrowser({"farm.example", ""}, false));
    EXPECT_FALSE(checkBrowser({"farm.example", ""}, true));
    EXPECT_FALSE(checkBrowser({"127.0.0.1.evil.example", ""}, true));
    EXPECT_FALSE(checkBrowser({"127.evil.example.com", ""}, true));
    EXPECT_FALSE(checkBrowser({"localhost:7780", "http://evil.example"}, true));
    EXPECT_FALSE(checkBrowser({"localhost:7780", "null"}, false));
}

TEST(Tokens, AreMadeAndChecked)
{
    const WallTime now = WallTime::fromMicros(1'000'000);
    const auto made = makeToken("builder", "b1", now + std::chrono::hours(1), now);
    ASSERT_TRUE(made);
    EXPECT_EQ(made->text.find(made->row.hash), std::string::npos);
    const auto parts = splitToken(made->text);
    ASSERT_TRUE(parts);
    EXPECT_EQ(parts->id, made->row.id);
    EXPECT_TRUE(checkToken(made->row, *parts, now));
    EXPECT_FALSE(checkToken(made->row, *parts, now + std::chrono::hours(1)));
    auto revoked = made->row;
    revoked.revoked = true;
    EXPECT_FALSE(checkToken(revoked, *parts, now));
    auto wrong = *parts;
    wrong.secret[0] = wrong.secret[0] == 'a' ? 'b' : 'a';
    EXPECT_FALSE(checkToken(made->row, wrong, now));
    EXPECT_NE(made->text, makeToken("builder", "b1", {}, now)->text);
    EXPECT_FALSE(makeToken("root", "b1", {}, now));
    EXPECT_FALSE(makeToken("client", "", {}, now));
    EXPECT_FALSE(makeToken("client", "c", now, now));
}

TEST(Tokens, NeverAppearInARefusal)
{
    for (const std::string text : {"", "pst_", "pst_0123456789abcdef_secret", "hunter2"}) {
        const auto parts = splitToken(text);
        ASSERT_FALSE(parts);
        EXPECT_TRUE(text.size() < 5 || parts.error().message.find(text) == std::string::npos);
    }
}

struct AuthenticatorTest : ::testing::Test {
    StepLoop loop;
    FakeTokens tokens;
    Authenticator authenticator{loop, tokens, Mode::Local};

    Result<Identity> ask(const PeerAddress& peer, const std::string& bearer)
    {
        Result<Identity> result = fail(ErrorCode::Internal, "no answer");
        authenticator.identify(peer, bearer, [&](Result<Identity> who) { result = std::move(who); });
        return result;
    }
};

TEST_F(AuthenticatorTest, RemembersATokenForAWhile)
{
    const auto made = *makeToken("client", "c", {}, loop.now().wall);
    tokens.rows.emplace(made.row.id, made.row);
    EXPECT_EQ(ask(kFar, made.text)->name, "c");
    EXPECT_EQ(ask(kFar, made.text)->kind, Kind::Client);
    EXPECT_EQ(tokens.asked, 1U);
    tokens.rows.at(made.row.id).revoked = true;
    authenticator.forget(made.row.id);
    EXPECT_EQ(ask(kFar, made.text).error().code, ErrorCode::Denied);
    loop.advance(std::chrono::minutes(1));
    EXPECT_FALSE(ask(kFar, made.text));
    EXPECT_EQ(tokens.asked, 3U);
}

TEST_F(AuthenticatorTest, RefusesAWrongTokenAlsoFromALocalPeer)
{
    EXPECT_EQ(ask(kLocal, "")->credential, "local");
    EXPECT_EQ(ask(kLocal, "nonsense").error().code, ErrorCode::Denied);
    EXPECT_EQ(ask(kLocal, makeToken("client", "c", {}, {})->text).error().code, ErrorCode::Denied);
    EXPECT_EQ(ask(kFar, "").error().code, ErrorCode::Denied);
    EXPECT_EQ(authenticator.refusals(), 3U);
}

TEST_F(AuthenticatorTest, SaysWhenTokensCannotBeRead)
{
    tokens.reachable = false;
    EXPECT_EQ(ask(kFar, makeToken("client", "c", {}, {})->text).error().code, ErrorCode::Unavailable);
}

} // namespace
} // namespace penstock::auth
