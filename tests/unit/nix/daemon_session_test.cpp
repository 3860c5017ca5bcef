// SPDX-License-Identifier: GPL-3.0-or-later
// DaemonConnection against sessions recorded from real daemons: our requests must be the recorded bytes, and
// the recorded answers must be understood, whole or damaged.
#include "shared/nixdaemon/daemon_connection.h"
#include "tests/support/golden.h"
#include "tests/support/scripted_transport.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace penstock::nixdaemon {
namespace {

using test::readGolden;
using test::ScriptedTransport;

const nix::StoreDir kDir = nix::StoreDir::standard();

nix::StorePath pathOf(std::string_view baseName)
{
    return nix::StorePath::fromBaseName(baseName).value();
}

struct Recorder final : DaemonEvents {
    std::vector<std::string> lines, phases, messages;
    std::size_t started = 0, stopped = 0;
    void activityStarted(const Activity&) override { ++started; }
    void activityStopped(std::uint64_t) override { ++stopped; }
    void logLine(std::uint64_t, std::string_view line) override { lines.emplace_back(line); }
    void phase(std::uint64_t, std::string_view name) override { phases.emplace_back(name); }
    void message(std::string_view text) override { messages.emplace_back(text); }
};

struct Request {
    nix::StorePath drvPath;
    nix::BasicDerivation drv;
};

// Reads a recorded BuildDerivation request, so that it can be written again.
Result<Request> readBuildRequest(WireReader& reader)
{
    PENSTOCK_TRY_VOID(reader.number()); // operation
    PENSTOCK_TRY(auto drvPath, reader.path(kDir));
    nix::BasicDerivation drv;
    PENSTOCK_TRY(std::uint64_t outputs, reader.count());
    for (; outputs > 0; --outputs) {
        PENSTOCK_TRY(const std::string name, reader.string());
        nix::DerivationOutput& output = drv.outputs[name];
        PENSTOCK_TRY(output.path, reader.optionalPath(kDir));
        PENSTOCK_TRY(output.method, reader.string());
        PENSTOCK_TRY(output.hash, reader.string());
    }
    PENSTOCK_TRY(drv.inputs, reader.paths(kDir));
    PENSTOCK_TRY(drv.platform, reader.string());
    PENSTOCK_TRY(drv.builder, reader.string());
    PENSTOCK_TRY(drv.arguments, reader.strings());
    PENSTOCK_TRY(std::uint64_t variables, reader.count());
    for (; variables > 0; --variables) {
        PENSTOCK_TRY(const std::string key, reader.string());
        PENSTOCK_TRY(drv.environment[key], reader.string());
    }
    PENSTOCK_TRY_VOID(reader.number()); // mode
    return Request{std::move(drvPath), std::move(drv)};
}

// The recordings begin with a handshake and SetOptions of so many bytes.
std::vector<Request> readBuildRequests(const std::string& bytes, std::size_t preamble, std::size_t count)
{
    std::string unused;
    ScriptedTransport transport(bytes.substr(preamble), unused);
    WireReader reader(transport);
    std::vector<Request> requests;
    while (requests.size() < count)
        requests.push_back(readBuildRequest(reader).value());
    return requests;
}

ConnectionSettings recordedSettings(bool withOverride)
{
    ConnectionSettings settings;
    settings.keepGoing = false;
    settings.cores = 1;
    if (withOverride)
        settings.overrides["max-build-log-size"] = "0";
    return settings;
}

class RecordedBuild : public ::testing::TestWithParam<unsigned> {};

TEST_P(RecordedBuild, IsRepeatedByteForByte)
{
    const std::string name = fmt::format("nix/wire/build-1.{}", GetParam());
    const std::string recorded = readGolden(name + ".request.bin");
    const std::string settings = setOptionsRequest(recordedSettings(true)).value().bytes();
    const auto requests = readBuildRequests(recorded, 4 * 8 + settings.size(), 3);

    std::string sent;
    DaemonOptions options;
    options.announcedMinor = GetParam();
    auto opened = DaemonConnection::over(
        std::make_unique<ScriptedTransport>(readGolden(name + ".response.bin"), sent), options);
    ASSERT_TRUE(opened) << opened.error().message;
    DaemonConnection& connection = **opened;
    EXPECT_EQ(connection.greeting().minor, GetParam());
    EXPECT_EQ(connection.greeting().nixVersion, GetParam() >= 33 ? "2.8.0" : "");
    ASSERT_TRUE(connection.setOptions(recordedSettings(true)));

    Recorder events;
    const auto built =
        connection.buildDerivation(requests[0].drvPath, requests[0].drv, BuildMode::Normal, events);
    ASSERT_TRUE(built) << built.error().message;
    EXPECT_EQ(built->status, BuildStatus::Built);
    EXPECT_EQ(events.lines, (std::vector<std::string>{"to the log"}));
    EXPECT_EQ(events.phases, (std::vector<std::string>{"buildPhase"}));
    EXPECT_EQ(events.started, events.stopped);
    EXPECT_EQ(built->outputs.size(), GetParam() >= 28 ? 2U : 0U);
    if (GetParam() >= 28) {
        EXPECT_EQ(built->outputs.at("dev"), requests[0].drv.outputs.at("dev").path);
    }
    const auto again =
        connection.buildDerivation(requests[1].drvPath, requests[1].drv, BuildMode::Normal, events);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->status, BuildStatus::AlreadyValid);
    const auto failed =
        connection.buildDerivation(requests[2].drvPath, requests[2].drv, BuildMode::Normal, events);
    ASSERT_TRUE(failed) << failed.error().message;
    EXPECT_EQ(failed->status, BuildStatus::PermanentFailure);
    EXPECT_NE(failed->error.find("failed with exit code"), std::string::npos) << failed->error;
    EXPECT_EQ(failed->error.find('\x1b'), std::string::npos);
    EXPECT_EQ(sent, recorded);
}

INSTANTIATE_TEST_SUITE_P(Minors, RecordedBuild, ::testing::Values(27U, 34U));

TEST(RecordedSession, OfNix224IsUnderstoodWithItsNewerLayouts)
{
    const std::string recorded = readGolden("nix/wire/build-1.38.request.bin");
    const std::string settings = setOptionsRequest(recordedSettings(false)).value().bytes();
    // Magic, version, one feature (40 bytes with its length), two obsolete numbers.
    const std::size_t handshake = 2 * 8 + 8 + 40 + 2 * 8;
    const auto requests = readBuildRequests(recorded, handshake + settings.size(), 2);

    std::string sent;
    auto opened = DaemonConnection::over(
        std::make_unique<ScriptedTransport>(readGolden("nix/wire/build-1.38.response.bin"), sent), {});
    ASSERT_TRUE(opened) << opened.error().message;
    DaemonConnection& connection = **opened;
    EXPECT_EQ(connection.greeting().minor, 38U);
    EXPECT_EQ(connection.greeting().nixVersion, "2.24.15");
    EXPECT_EQ(connection.findTrust(), Trust::Trusted);
    const std::size_t ownHandshake = sent.size();
    ASSERT_TRUE(connection.setOptions(recordedSettings(false)));

    Recorder events;
    const auto built =
        connection.buildDerivation(requests[0].drvPath, requests[0].drv, BuildMode::Normal, events);
    ASSERT_TRUE(built) << built.error().message;
    EXPECT_EQ(built->status, BuildStatus::Built);
    EXPECT_EQ(built->outputs.at("out"), requests[0].drv.outputs.at("out").path);
    EXPECT_EQ(built->startTime, 1795235172U);
    EXPECT_FALSE(built->cpuUser);
    const auto failed =
        connection.buildDerivation(requests[1].drvPath, requests[1].drv, BuildMode::Normal, events);
    ASSERT_TRUE(failed) << failed.error().message;
    EXPECT_EQ(failed->status, BuildStatus::PermanentFailure);
    EXPECT_EQ(events.lines, (std::vector<std::string>{"to the log", "going wrong"}));
    const auto info = connection.queryPathInfo(*requests[0].drv.outputs.at("out").path);
    ASSERT_TRUE(info && info->has_value());
    EXPECT_EQ((*info)->deriver, requests[0].drvPath);
    const auto ensured = connection.ensurePath(pathOf("11111111111111111111111111111111-none"), events);
    ASSERT_FALSE(ensured);
    EXPECT_EQ(ensured.error().message,
              "path '/nix/store/11111111111111111111111111111111-none' does not exist and cannot be created");
    EXPECT_EQ(sent.substr(ownHandshake) + beginRequest(Operation::SyncWithGc).bytes(),
              recorded.substr(handshake));
    // The recorded ping is what finds out that the connection goes on; the recording ends there.
    EXPECT_EQ(connection.ping().error().code, ErrorCode::Unavailable);
}

class RecordedQueries : public ::testing::TestWithParam<unsigned> {};

TEST_P(RecordedQueries, AreAskedAndAnsweredAsRecorded)
{
    const std::string name = fmt::format("nix/wire/session-1.{}", GetParam());
    const std::string recorded = readGolden(name + ".request.bin");
    const nix::StorePath dep = pathOf("i1j3ls10n66w1rqzxjmzvpg859cwk2yr-dep");
    const nix::StorePath main = pathOf("2c91240g1q6hq2qa1440f1h50h1h4080-main");
    const nix::StorePath none = pathOf("11111111111111111111111111111111-none");
    std::string sent;
    DaemonOptions options;
    options.announcedMinor = GetParam();
    auto opened = DaemonConnection::over(
        std::make_unique<ScriptedTransport>(readGolden(name + ".response.bin"), sent), options);
    ASSERT_TRUE(opened) << opened.error().message;
    DaemonConnection& connection = **opened;
    // Where the recording adds two paths we set options again: both are answered by the last message alone.
    for (int i = 0; i < 3; ++i)
        ASSERT_TRUE(connection.setOptions(recordedSettings(true)));
    std::size_t at = 0;
    const auto wasRecorded = [&](std::size_t from) {
        const std::size_t found = recorded.find(sent.substr(from), at);
        at = found;
        return found != std::string::npos;
    };
    std::size_t from = sent.size();
    EXPECT_EQ(connection.isValidPath(dep), true);
    EXPECT_EQ(connection.isValidPath(none), false);
    EXPECT_TRUE(wasRecorded(from));
    EXPECT_EQ(connection.queryValidPaths({dep, none}, false), (nix::StorePathSet{dep}));
    from = sent.size();
    const auto info = connection.queryPathInfo(main);
    ASSERT_TRUE(info && info->has_value());
    EXPECT_EQ((*info)->deriver, pathOf("00000000000000000000000000000000-main.drv"));
    EXPECT_EQ((*info)->narHash.base16(), "e0a3afbd963b1f37384ddf6c707d135087d82592543eecfa7213620edefcd933");
    EXPECT_EQ((*info)->references, (nix::StorePathSet{dep, main}));
    EXPECT_EQ((*info)->registrationTime, 12345678U);
    EXPECT_EQ((*info)->narSize, 736U);
    EXPECT_FALSE((*info)->isUltimate);
    EXPECT_EQ((*info)->signatures.size(), 1U);
    EXPECT_EQ((*info)->contentAddress, "");
    const auto addressed = connection.queryPathInfo(dep);
    ASSERT_TRUE(addressed && addressed->has_value());
    EXPECT_EQ((*addressed)->contentAddress,
              "fixed:r:sha256:13w19wwvpfqyfq1fixzqjphj7dil4vlv9gada02f9kpl04qnmkw4");
    EXPECT_FALSE(connection.queryPathInfo(none).value().has_value());
    EXPECT_TRUE(wasRecorded(from));
}

INSTANTIATE_TEST_SUITE_P(Minors, RecordedQueries, ::testing::Values(25U, 34U));

TEST(DaemonConnection, TakesAnErrorThatComesTwiceForTheEnd)
{
    const std::string answer = readGolden("nix/wire/session-1.34.response.bin");
    WireWriter mark;
    mark.number(0x63787470); // STDERR_ERROR
    const std::size_t second = answer.rfind(mark.bytes());
    const std::size_t first = answer.rfind(mark.bytes(), second - 1);
    const std::size_t handshake = 2 * 8 + 16 + 8;
    std::string sent;
    auto opened = DaemonConnection::over(
        std::make_unique<ScriptedTransport>(answer.substr(0, handshake) + answer.substr(first), sent), {});
    ASSERT_TRUE(opened) << opened.error().message;
    const auto complaint = (*opened)->ping();
    ASSERT_FALSE(complaint);
    EXPECT_EQ(complaint.error().code, ErrorCode::Invalid);
    EXPECT_EQ(complaint.error().message, "invalid operation 9999");
    EXPECT_EQ((*opened)->ping().error().code, ErrorCode::Unavailable);
}

TEST(DaemonConnection, RefusesWhatIsNoDaemonOrTooOld)
{
    const auto errorOf = [](std::uint64_t magic, std::uint64_t version) {
        WireWriter answer;
        answer.number(magic);
        answer.number(version);
        std::string sent;
        return DaemonConnection::over(std::make_unique<ScriptedTransport>(answer.bytes(), sent), {})
            .error()
            .code;
    };
    EXPECT_EQ(errorOf(0x12345678, 0x122), ErrorCode::Corrupt);
    EXPECT_EQ(errorOf(0x6478696f, 0x100 + kOldestMinor - 1), ErrorCode::Denied);
    EXPECT_EQ(errorOf(0x6478696f, 0x222), ErrorCode::Denied);
    EXPECT_EQ(errorOf(0x6478696f, 0x122), ErrorCode::Unavailable) << "good so far, then the end";
}

TEST(DaemonConnection, SurvivesAnswersThatAreCutOrDamaged)
{
    const std::string name = "nix/wire/build-1.34";
    const std::string answer = readGolden(name + ".response.bin");
    const std::string settings = setOptionsRequest(recordedSettings(true)).value().bytes();
    const auto requests = readBuildRequests(readGolden(name + ".request.bin"), 4 * 8 + settings.size(), 1);
    const auto play = [&](std::string bytes) -> Result<BuildResult> {
        std::string sent;
        DaemonOptions options;
        options.announcedMinor = 34;
        PENSTOCK_TRY(
            auto connection,
            DaemonConnection::over(std::make_unique<ScriptedTransport>(std::move(bytes), sent), options));
        PENSTOCK_TRY_VOID(connection->setOptions(recordedSettings(true)));
        DaemonEvents events;
        return connection->buildDerivation(requests[0].drvPath, requests[0].drv, BuildMode::Normal, events);
    };
    std::size_t needed = 0;
    for (; needed < answer.size(); needed += 8) {
        const auto cut = play(answer.substr(0, needed));
        if (cut)
            break;
        EXPECT_EQ(cut.error().code, ErrorCode::Unavailable) << "cut at " << needed;
    }
    ASSERT_LT(needed, answer.size());
    for (std::size_t at = 0; at < needed; ++at) {
        std::string damaged = answer.substr(0, needed);
        damaged[at] = static_cast<char>(static_cast<unsigned char>(damaged[at]) ^ (1U << (at % 8)));
        const auto result = play(std::move(damaged));
        if (!result) {
            EXPECT_TRUE(result.error().code == ErrorCode::Unavailable ||
                        result.error().code == ErrorCode::Corrupt ||
                        result.error().code == ErrorCode::Invalid || result.error().code == ErrorCode::Denied)
                << result.error().message;
        }
    }
}

TEST(DaemonRequests, AreCheckedBeforeTheyAreSent)
{
    const nix::StorePath drvPath = pathOf("3ghsl9sd83mc26i81adpa2fzf3yw4f68-a.drv");
    const nix::StorePath out = pathOf("94f9f6i31zwzwbf0kclq1naqxxi4c7v9-a");
    nix::BasicDerivation drv;
    EXPECT_FALSE(buildDerivationRequest(kDir, drvPath, drv, BuildMode::Normal)) << "no output";
    drv.outputs["out"].path = out;
    EXPECT_TRUE(buildDerivationRequest(kDir, drvPath, drv, BuildMode::Normal));
    EXPECT_FALSE(buildDerivationRequest(kDir, out, drv, BuildMode::Normal)) << "no .drv";
    drv.outputs["o!t"].path = out;
    EXPECT_FALSE(buildDerivationRequest(kDir, drvPath, drv, BuildMode::Normal)) << "output name";
    drv.outputs.erase("o!t");
    drv.outputs["out"].path.reset();
    EXPECT_FALSE(buildDerivationRequest(kDir, drvPath, drv, BuildMode::Normal)) << "deferred";

    EXPECT_EQ(printDerivedPath(kDir, 34, {drvPath, true, {}}), drvPath.print(kDir) + "!*");
    EXPECT_EQ(printDerivedPath(kDir, 34, {drvPath, true, {"out", "dev"}}), drvPath.print(kDir) + "!dev,out");
    EXPECT_EQ(printDerivedPath(kDir, 29, {drvPath, true, {}}), drvPath.print(kDir));
    EXPECT_EQ(printDerivedPath(kDir, 30, {drvPath, false, {}}), drvPath.print(kDir));
    EXPECT_FALSE(printDerivedPath(kDir, 29, {drvPath, false, {}})) << "it would be built";
    EXPECT_FALSE(printDerivedPath(kDir, 34, {out, true, {}})) << "no .drv";
    EXPECT_FALSE(printDerivedPath(kDir, 34, {drvPath, true, {"a,b"}})) << "output name";

    EXPECT_FALSE(addTextRequest(kDir, 34, {"a/b", "", {}}));
    ConnectionSettings settings;
    settings.overrides["timeout"] = std::string("1\0", 2);
    EXPECT_FALSE(setOptionsRequest(settings));
}

} // namespace
} // namespace penstock::nixdaemon
