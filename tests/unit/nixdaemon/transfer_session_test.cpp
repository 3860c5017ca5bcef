// SPDX-License-Identifier: GPL-3.0-or-later
// Archives in and out against sessions recorded from a real daemon, whole, damaged and interrupted.
#include "shared/nixdaemon/daemon_connection.h"
#include "tests/support/golden.h"
#include "tests/support/nar_samples.h"
#include "tests/support/scripted_transport.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace penstock::nixdaemon {
namespace {

using test::readGolden;
using test::ScriptedTransport;

nix::StorePath pathOf(std::string_view baseName)
{
    return nix::StorePath::fromBaseName(baseName).value();
}

const nix::StorePath kDep = pathOf("i1j3ls10n66w1rqzxjmzvpg859cwk2yr-dep");
const nix::StorePath kMain = pathOf("2c91240g1q6hq2qa1440f1h50h1h4080-main");
const std::string kSignature = "test-key-1:" + std::string(86, 'A') + "==";

std::string number(std::uint64_t value)
{
    WireWriter writer;
    writer.number(value);
    return writer.bytes();
}

Result<std::unique_ptr<DaemonConnection>> play(std::string answer, std::string& sent, unsigned minor = 34)
{
    DaemonOptions options;
    options.announcedMinor = minor;
    return DaemonConnection::over(std::make_unique<ScriptedTransport>(std::move(answer), sent), options);
}

// The answers of the recording behind its handshake, with another handshake before the part that is wanted.
std::string handshake(unsigned minor)
{
    WireWriter hello;
    hello.number(0x6478696f);
    hello.number(0x100U + minor);
    if (minor >= 33)
        hello.string("2.8.0");
    hello.number(0x616c7473);
    return hello.bytes();
}

// Frames of any size as one: where they are cut is the sender's choice.
std::string joinFrames(const std::string& bytes, std::size_t at)
{
    const auto numberAt = [&](std::size_t from) {
        std::uint64_t value = 0;
        for (std::size_t i = 8; i-- > 0;)
            value = value << 8U | static_cast<unsigned char>(bytes.at(from + i));
        return value;
    };
    std::string payload;
    while (const std::uint64_t size = numberAt(at)) {
        payload += bytes.substr(at + 8, size);
        at += 8 + size;
    }
    return payload;
}

class RecordedTransfer : public ::testing::TestWithParam<unsigned> {
protected:
    // The archive in the recording's answers, after the NarFromPath request.
    std::string recordedNar() const
    {
        const std::size_t magic = m_answers.find(std::string("\x0d\0\0\0\0\0\0\0nix-archive-1", 21));
        return m_answers.substr(magic, 736);
    }
    std::string m_requests = readGolden(fmt::format("nix/wire/session-1.{}.request.bin", GetParam()));
    std::string m_answers = readGolden(fmt::format("nix/wire/session-1.{}.response.bin", GetParam()));
};

TEST_P(RecordedTransfer, SendsTheArchiveAsRecorded)
{
    const std::string nar = recordedNar();
    NarToAdd main{kMain,
                  {pathOf("00000000000000000000000000000000-main.drv"),
                   nix::Hash::parse("e0a3afbd963b1f37384ddf6c707d135087d82592543eecfa7213620edefcd933",
                                    nix::HashAlgorithm::Sha256)
                       .value(),
                   {kDep, kMain},
                   12345678,
                   736,
                   false,
                   {kSignature},
                   ""},
                  test::sourceOf(nar)};
    std::string sent;
    auto daemon = play(handshake(GetParam()) + number(0x616c7473), sent, GetParam());
    ASSERT_TRUE(daemon) << daemon.error().message;
    const std::size_t before = sent.size();
    const auto added = (*daemon)->addToStoreNar(main, {false, true});
    ASSERT_TRUE(added) << added.error().message;
    const std::string ours = sent.substr(before);
    const std::string head = ours.substr(0, ours.size() - 8 - nar.size() - 8);
    const std::size_t recorded = m_requests.find(head);
    ASSERT_NE(recorded, std::string::npos) << "the request is the recorded one, byte for byte";
    EXPECT_EQ(joinFrames(ours, head.size()), nar);
    EXPECT_EQ(joinFrames(m_requests, recorded + head.size()), nar);
}

TEST_P(RecordedTransfer, ReadsTheArchiveAndStaysInStep)
{
    const std::string nar = recordedNar();
    const std::string answer = number(0x616c7473) + nar;
    ASSERT_NE(m_answers.find(answer), std::string::npos);
    std::string sent;
    auto daemon = play(handshake(GetParam()) + answer + number(0x616c7473) + number(1), sent, GetParam());
    ASSERT_TRUE(daemon);
    std::string read;
    const auto result = (*daemon)->narFromPath(kMain, test::sinkInto(read));
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(read, nar);
    EXPECT_TRUE((*daemon)->ping());
}

INSTANTIATE_TEST_SUITE_P(Minors, RecordedTransfer, ::testing::Values(25U, 34U));

TEST(Transfer, AsksAndUnderstandsTheRecordedQuestions)
{
    const std::string requests = readGolden("nix/wire/session-1.34.request.bin");
    const std::string done = number(0x616c7473);
    WireWriter referrers;
    referrers.number(1);
    referrers.path(nix::StoreDir::standard(), kMain);
    WireWriter found;
    found.path(nix::StoreDir::standard(), kMain);
    WireWriter all;
    all.paths(nix::StoreDir::standard(), {kDep, kMain});
    std::string sent;
    auto daemon = play(handshake(34) + done + referrers.bytes() + done + found.bytes() + done + number(0) +
                           done + number(1) + done + all.bytes(),
                       sent);
    ASSERT_TRUE(daemon);
    auto wasRecorded = [&, from = sent.size()]() mutable {
        const std::string request = sent.substr(std::exchange(from, sent.size()));
        return requests.find(request) != std::string::npos;
    };
    EXPECT_EQ((*daemon)->queryReferrers(kDep), (nix::StorePathSet{kMain}));
    EXPECT_TRUE(wasRecorded());
    EXPECT_EQ((*daemon)->queryPathFromHashPart(kMain.digest()).value(), kMain);
    EXPECT_TRUE(wasRecorded());
    EXPECT_EQ((*daemon)->queryPathFromHashPart(std::string(32, '1')).value(), std::nullopt);
    EXPECT_TRUE(wasRecorded());
    EXPECT_TRUE((*daemon)->addSignatures(kDep, {kSignature}));
    EXPECT_TRUE(wasRecorded());
    EXPECT_EQ((*daemon)->queryAllValidPaths(), (nix::StorePathSet{kDep, kMain}));
    EXPECT_TRUE(wasRecorded());
}

WireWriter complaint(std::string_view text)
{
    WireWriter error;
    error.number(0x63787470);
    error.string("Error");
    error.number(0);
    error.string("Error");
    error.string(text);
    error.number(0);
    error.number(0);
    return error;
}

TEST(Transfer, RecognisesAnErrorWhereverItStandsInAnArchive)
{
    const std::string nar = test::narOfFile(std::string(1000, 'n'));
    const std::size_t content = nar.find("nnn");
    // Where an item begins, which is always at a multiple of 8; and anywhere in a file that shrank.
    for (std::size_t at = 0; at < nar.size(); at += at >= content && at < content + 900 ? 1 : 8 - at % 8) {
        std::string sent;
        auto daemon = play(
            handshake(34) + number(0x616c7473) + nar.substr(0, at) + complaint("disk is bad").bytes(), sent);
        ASSERT_TRUE(daemon);
        std::string read;
        const auto result = (*daemon)->narFromPath(kMain, test::sinkInto(read));
        ASSERT_FALSE(result) << at;
        EXPECT_EQ(result.error().code, ErrorCode::Invalid) << at << ": " << result.error().message;
        EXPECT_NE(result.error().message.find("disk is bad"), std::string::npos);
        EXPECT_FALSE((*daemon)->isUsable());
    }
}

TEST(Transfer, TakesALostConnectionInAnArchiveForUnavailable)
{
    const std::string nar = test::narOfFile(std::string(100, 'n'));
    for (std::size_t at = 0; at < nar.size(); ++at) {
        std::string sent;
        auto daemon = play(handshake(34) + number(0x616c7473) + nar.substr(0, at), sent);
        ASSERT_TRUE(daemon);
        std::string read;
        EXPECT_EQ((*daemon)->narFromPath(kMain, test::sinkInto(read)).error().code, ErrorCode::Unavailable)
            << at;
    }
}

TEST(Transfer, AnswersADaemonThatAsksForThePieces)
{
    const test::NarSample sample = test::sampleOf("x", std::string(500, 'x'));
    const NarToAdd nar{sample.info.path,
                       {{}, sample.info.narHash, {}, 0, sample.info.narSize, false, {}, ""},
                       test::sourceOf(sample.nar)};
    std::string answer = handshake(21);
    for (std::size_t asked = 0; asked < sample.nar.size(); asked += 100)
        answer += number(0x64617461) + number(100);
    std::string sent;
    auto daemon = play(answer + number(0x616c7473), sent, 21);
    ASSERT_TRUE(daemon) << daemon.error().message;
    const auto added = (*daemon)->addToStoreNar(nar, {});
    ASSERT_TRUE(added) << added.error().message;
    std::string tail;
    for (std::size_t at = 0; at < sample.nar.size(); at += 100) {
        WireWriter piece;
        piece.string(sample.nar.substr(at, 100));
        tail += piece.bytes();
    }
    EXPECT_TRUE(sent.ends_with(tail));
}

TEST(Transfer, AsksForNoRealisationThatCouldKillTheDaemon)
{
    const std::string id = "sha256:" + std::string(64, 'a') + "!out";
    std::string sent;
    auto daemon = play(handshake(34), sent);
    ASSERT_TRUE(daemon);
    const std::size_t before = sent.size();
    EXPECT_EQ((*daemon)->queryRealisation(id).error().code, ErrorCode::Invalid);
    EXPECT_EQ((*daemon)->registerRealisation({id, kMain, {}, {}}).error().code, ErrorCode::Invalid);
    EXPECT_EQ(sent.size(), before) << "nothing was sent";

    WireWriter newer;
    newer.number(0x6478696f);
    newer.number(0x126);
    newer.number(0);
    newer.string("2.35.1");
    newer.number(1);
    newer.number(0x616c7473);
    DaemonOptions options;
    options.hasCaDerivations = true;
    auto newest = DaemonConnection::over(std::make_unique<ScriptedTransport>(newer.bytes(), sent), options);
    ASSERT_TRUE(newest) << newest.error().message;
    EXPECT_EQ((*newest)->queryRealisation(id).error().code, ErrorCode::Invalid);

    WireWriter answers;
    answers.number(0x616c7473);
    answers.number(1);
    answers.string("{\"id\":\"" + id + "\",\"outPath\":\"" + kMain.baseName() + "\",\"signatures\":[]}");
    auto able = DaemonConnection::over(
        std::make_unique<ScriptedTransport>(handshake(34) + answers.bytes(), sent), options);
    ASSERT_TRUE(able);
    const auto found = (*able)->queryRealisation(id);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ((*found)->outPath, kMain);
}

} // namespace
} // namespace penstock::nixdaemon
