// SPDX-License-Identifier: GPL-3.0-or-later
// DaemonConnection against a real nix-daemon with a private store.
#include "shared/nixdaemon/daemon_connection.h"
#include "shared/nixdaemon/nix_facts.h"
#include "tests/support/nix_fixture.h"

#include <cstdlib>
#include <functional>
#include <future>

#include <fmt/format.h>

#include <gtest/gtest.h>

namespace penstock::nixdaemon {
namespace {

using test::makeDerivation;
using test::NixFixture;
using test::TestDerivation;

// Keeps what the daemon tells, and calls onLine at each log line.
struct Recorder final : DaemonEvents {
    std::vector<std::string> lines, phases, builds;
    std::function<void()> onLine = [] {};

    void activityStarted(const Activity& activity) override
    {
        if (activity.type == ActivityType::Build)
            builds.push_back(std::get<std::string>(activity.fields.at(0)));
    }
    void logLine(std::uint64_t, std::string_view line) override
    {
        lines.emplace_back(line);
        onLine();
    }
    void phase(std::uint64_t, std::string_view name) override { phases.emplace_back(name); }
};

class NixDaemon : public ::testing::Test {
protected:
    void SetUp() override { startDaemon({}); }
    void startDaemon(test::NixFixtureOptions options)
    {
        m_nix.reset();
        auto started = NixFixture::start(std::move(options));
        ASSERT_TRUE(started) << started.error().message;
        m_nix = *std::move(started);
    }
    std::unique_ptr<DaemonConnection> connect(unsigned minor = kNewestMinor, ConnectionSettings settings = {})
    {
        DaemonOptions options;
        options.storeDir = m_nix->storeDir();
        options.announcedMinor = minor;
        auto connection = DaemonConnection::open(m_nix->socketPath(), options);
        if (!connection) {
            ADD_FAILURE() << connection.error().message;
            std::abort();
        }
        const auto set = (*connection)->setOptions(settings);
        EXPECT_TRUE(set) << set.error().message;
        return *std::move(connection);
    }
    TestDerivation derivation(const std::string& name, const std::string& script)
    {
        return makeDerivation(m_nix->storeDir(), {name, script});
    }
    Result<BuildResult> build(DaemonConnection& connection, const TestDerivation& drv, DaemonEvents& events,
                              nix::StorePathSet inputs = {})
    {
        return connection.buildDerivation(drv.path, nix::resolve(drv.drv, std::move(inputs)),
                                          BuildMode::Normal, events);
    }

    std::unique_ptr<NixFixture> m_nix;
};

TEST_F(NixDaemon, BuildsADerivationAndStreamsItsLogAndPhases)
{
    const auto connection = connect();
    EXPECT_EQ(connection->greeting().nixVersion.empty(), connection->greeting().minor < 33);
    const TestDerivation drv = derivation(
        "hello", "echo out; echo err >&2; echo '@nix {\"action\":\"setPhase\",\"phase\":\"buildPhase\"}'; "
                 "printf last; echo hi > $out");
    Recorder events;
    const auto result = build(*connection, drv, events);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->status, BuildStatus::Built) << result->error;
    EXPECT_EQ(events.lines, (std::vector<std::string>{"out", "err", "last"}));
    EXPECT_EQ(events.phases, (std::vector<std::string>{"buildPhase"}));
    EXPECT_EQ(events.builds, (std::vector<std::string>{drv.path.print(m_nix->storeDir())}));
    EXPECT_EQ(result->outputs.at("out"), drv.output());
    EXPECT_GT(result->startTime, 0U);

    const auto info = connection->queryPathInfo(drv.output());
    ASSERT_TRUE(info);
    ASSERT_TRUE(info->has_value());
    EXPECT_GT((*info)->narSize, 0U);
    EXPECT_TRUE((*info)->isUltimate);
    EXPECT_EQ((*info)->deriver, drv.path);

    const auto again = build(*connection, drv, events);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->status, BuildStatus::AlreadyValid);
    EXPECT_EQ(events.lines.size(), 3U) << "nothing runs again";
}

TEST_F(NixDaemon, ReportsAFailedBuildAsAResultAndGoesOn)
{
    const auto connection = connect();
    Recorder events;
    const auto result = build(*connection, derivation("fails", "echo about to fail; exit 7"), events);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->status, BuildStatus::PermanentFailure);
    EXPECT_NE(result->error.find("exit code 7"), std::string::npos) << result->error;
    EXPECT_EQ(result->error.find('\x1b'), std::string::npos);
    EXPECT_EQ(events.lines, (std::vector<std::string>{"about to fail"}));
    EXPECT_TRUE(connection->ping());
}

TEST_F(NixDaemon, ReportsAMissingOutputAsRejected)
{
    const auto connection = connect();
    Recorder events;
    const auto result = build(*connection, derivation("makes-nothing", "echo nothing"), events);
    ASSERT_TRUE(result);
    EXPECT_FALSE(isGood(result->status));
    EXPECT_FALSE(connection->isValidPath(derivation("makes-nothing", "echo nothing").output()).value());
}

TEST_F(NixDaemon, EnforcesTimeOutsAndTheLogLimit)
{
    Recorder events;
    ConnectionSettings total;
    total.overrides["timeout"] = "1";
    auto result =
        build(*connect(kNewestMinor, total), derivation("slow", "/bin/sleep 60; echo > $out"), events);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->status, BuildStatus::TimedOut);

    ConnectionSettings silent;
    silent.maxSilentSeconds = 1;
    result = build(*connect(kNewestMinor, silent), derivation("silent", "echo; /bin/sleep 60; echo > $out"),
                   events);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->status, BuildStatus::TimedOut);

    ConnectionSettings loud;
    loud.overrides["max-build-log-size"] = "1000";
    result =
        build(*connect(kNewestMinor, loud), derivation("loud", "while :; do echo 0123456789; done"), events);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->status, BuildStatus::LogLimitExceeded);
}

TEST_F(NixDaemon, StopsABuildThatIsCancelledFromAnotherThread)
{
    const auto connection = connect();
    Recorder events;
    std::future<void> canceller;
    events.onLine = [&] { canceller = std::async(std::launch::async, [&] { connection->cancel(); }); };
    const auto result =
        build(*connection, derivation("cancelled", "echo started; /bin/sleep 60; echo > $out"), events);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::Cancelled);
    EXPECT_EQ(connection->ping().error().code, ErrorCode::Unavailable) << "of no more use";
}

TEST_F(NixDaemon, DoesNotTakeADaemonThatDiedForAFailedBuild)
{
    const auto connection = connect();
    Recorder events;
    events.onLine = [&] { m_nix->kill(); };
    const auto result =
        build(*connection, derivation("orphan", "echo started; /bin/sleep 60; echo > $out"), events);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::Unavailable);

    DaemonOptions options;
    options.storeDir = m_nix->storeDir();
    const auto nobody = DaemonConnection::open(m_nix->socketPath(), options);
    ASSERT_FALSE(nobody);
    EXPECT_EQ(nobody.error().code, ErrorCode::Unavailable);
    ASSERT_TRUE(m_nix->restart());
    EXPECT_TRUE(connect()->ping());
}

TEST_F(NixDaemon, AddsDerivationsAndBuildsTheirClosure)
{
    const nix::StoreDir& dir = m_nix->storeDir();
    const auto connection = connect();
    const TestDerivation leaf =
        makeDerivation(dir, {"leaf", "echo leaf > $out; echo dev > $dev", {"out", "dev"}});
    const TestDerivation top = makeDerivation(
        dir, {"top", "read x < " + leaf.output().print(dir) + "; echo top $x > $out", {"out"}, {leaf}});
    for (const TestDerivation& drv : {leaf, top}) {
        const auto added = connection->addTextToStore(drv.path.name(), drv.text(dir), drv.drv.references());
        ASSERT_TRUE(added) << added.error().message;
        EXPECT_EQ(*added, drv.path) << "the daemon computes the path that we do";
    }
    const auto missing = connection->queryMissing({{top.path, true, {}}});
    ASSERT_TRUE(missing) << missing.error().message;
    EXPECT_EQ(missing->willBuild, (nix::StorePathSet{leaf.path, top.path}));
    const auto outputs = connection->queryDerivationOutputMap(leaf.path);
    ASSERT_TRUE(outputs);
    EXPECT_EQ(outputs->at("dev"), leaf.output("dev"));

    Recorder events;
    const auto results = connection->buildPathsWithResults({{top.path, true, {}}}, BuildMode::Normal, events);
    ASSERT_TRUE(results) << results.error().message;
    ASSERT_EQ(results->size(), 1U);
    EXPECT_EQ(results->begin()->first, top.path.print(dir) + "!*");
    EXPECT_EQ(results->begin()->second.status, BuildStatus::Built) << results->begin()->second.error;
    const nix::StorePathSet wanted{leaf.output(), leaf.output("dev"), top.output()};
    EXPECT_EQ(connection->queryValidPaths(wanted, false), wanted);
    EXPECT_TRUE(connection->addTempRoot(top.output()));
    EXPECT_TRUE(connection->ensurePath(top.output(), events));
}

TEST_F(NixDaemon, TakesManyTemporaryRootsAtOnce)
{
    const auto connection = connect();
    nix::StorePathSet paths;
    for (int i = 0; i < 3000; ++i)
        paths.insert(derivation(fmt::format("root-{}", i), "").output());
    const auto added = connection->addTempRoots(paths);
    EXPECT_TRUE(added) << added.error().message;
    EXPECT_TRUE(connection->addTempRoots({}));
    EXPECT_TRUE(connection->ping()) << "all answers were read";
}

TEST_F(NixDaemon, RefusesAWrongOutputPathInADerivation)
{
    const nix::StoreDir& dir = m_nix->storeDir();
    const auto connection = connect();
    TestDerivation drv = derivation("wrong", "echo > $out");
    drv.drv.environment["more"] = "that changes the hash";
    const auto added = connection->addTextToStore("wrong.drv", drv.text(dir), {});
    ASSERT_FALSE(added) << "the daemon checks what ModuloHashes computes";
    EXPECT_EQ(added.error().code, ErrorCode::Invalid);
    EXPECT_TRUE(connection->ping()) << "an error of this kind leaves the connection usable";
}

TEST_F(NixDaemon, SaysWhatIsMissing)
{
    const auto connection = connect();
    Recorder events;
    const TestDerivation drv = derivation("needs-input", "echo > $out");
    const nix::StorePath nowhere = derivation("never-built", "").output();
    const auto result = build(*connection, drv, events, {nowhere});
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->status, BuildStatus::MiscFailure);
    const auto ensured = connection->ensurePath(nowhere, events);
    ASSERT_FALSE(ensured);
    EXPECT_EQ(ensured.error().code, ErrorCode::Invalid);
    EXPECT_FALSE(connection->queryPathInfo(nowhere).value().has_value());
    EXPECT_TRUE(connection->queryValidPaths({nowhere}, false).value().empty());
}

TEST_F(NixDaemon, WorksWithEveryProtocolMinor)
{
    for (unsigned minor = kOldestMinor; minor <= kNewestMinor; ++minor) {
        SCOPED_TRACE(minor);
        const auto connection = connect(minor);
        EXPECT_LE(connection->greeting().minor, minor);
        const TestDerivation drv = derivation(fmt::format("minor-{}", minor), "echo line; echo > $out");
        const auto added = connection->addTextToStore(drv.path.name(), drv.text(m_nix->storeDir()), {});
        ASSERT_TRUE(added) << added.error().message;
        EXPECT_EQ(*added, drv.path);
        Recorder events;
        const auto result = build(*connection, drv, events);
        ASSERT_TRUE(result) << result.error().message;
        EXPECT_EQ(result->status, BuildStatus::Built);
        EXPECT_EQ(events.lines.size(), 1U);
        EXPECT_TRUE(connection->queryPathInfo(drv.output()).value().has_value());
        EXPECT_EQ(connection->queryValidPaths({drv.output()}, false).value().size(), 1U);
        const auto failed = connection->ensurePath(derivation("never", "").output(), events);
        EXPECT_FALSE(failed);
        EXPECT_TRUE(connection->queryMissing({{drv.path, true, {}}}));
        if (connection->greeting().minor >= 22) {
            EXPECT_EQ(connection->queryDerivationOutputMap(drv.path).value().at("out"), drv.output());
        }
    }
}

TEST_F(NixDaemon, TellsWhetherItTrustsUs)
{
    EXPECT_EQ(connect()->findTrust(), Trust::Trusted);
    const auto config = m_nix->run({"nix", "show-config", "--json"});
    ASSERT_TRUE(config) << config.error().message;
    DaemonOptions options;
    options.storeDir = m_nix->storeDir();
    const auto facts = queryFacts(m_nix->socketPath(), options, *config);
    ASSERT_TRUE(facts) << facts.error().message;
    EXPECT_EQ(facts->trust, Trust::Trusted);
    EXPECT_EQ(facts->storeDir, m_nix->storeDir());
    EXPECT_FALSE(facts->config.systems.empty());

    startDaemon({false, ""});
    const auto connection = connect();
    EXPECT_EQ(connection->findTrust(), Trust::NotTrusted);
    Recorder events;
    const auto refused = build(*connection, derivation("untrusted", "echo > $out"), events);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::Invalid);
    EXPECT_TRUE(connection->ping());
}

TEST_F(NixDaemon, IsReachedThroughAPathLongerThanASocketAddress)
{
    std::string folder = m_nix->root();
    while (folder.size() < 150) {
        folder += "/a-long-directory-name";
        ASSERT_TRUE(m_nix->run({"mkdir", folder}));
    }
    ASSERT_TRUE(m_nix->run({"ln", "-s", m_nix->socketPath(), folder + "/socket"}));
    DaemonOptions options;
    options.storeDir = m_nix->storeDir();
    const auto connection = DaemonConnection::open(folder + "/socket", options);
    ASSERT_TRUE(connection) << connection.error().message;
    EXPECT_TRUE((*connection)->ping());
}

TEST_F(NixDaemon, MovesALogOfMegabytesAndADerivationOfMegabytes)
{
    const auto connection = connect();
    TestDerivation drv = makeDerivation(
        m_nix->storeDir(),
        {"big",
         "i=0; while [ $i -lt 20000 ]; do echo line $i of a long log; i=$((i+1)); done; echo > $out",
         {"out"},
         {},
         {{"big", std::string(3U << 20U, 'x')}, {"passAsFile", "big"}}});
    const auto added = connection->addTextToStore(drv.path.name(), drv.text(m_nix->storeDir()), {});
    ASSERT_TRUE(added) << added.error().message;
    Recorder events;
    const auto result = build(*connection, drv, events);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->status, BuildStatus::Built) << result->error;
    EXPECT_EQ(events.lines.size(), 20000U);
}

} // namespace
} // namespace penstock::nixdaemon
