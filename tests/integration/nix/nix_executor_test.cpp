// SPDX-License-Identifier: GPL-3.0-or-later
// NixExecutor against a real nix-daemon with a private store.
#include "builder/exec/nix_executor.h"
#include "builder/exec/nix_verdict.h"
#include "shared/base/std_loop.h"
#include "tests/support/nix_fixture.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <future>
#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace penstock::builder {
namespace {

using protocol::Outcome;
using test::makeDerivation;
using test::TestDerivation;

// Keeps what the executor tells about one attempt, on the loop.
class Recorder final : public AttemptSink {
public:
    void onOutput(protocol::Stream stream, std::string_view bytes) override
    {
        EXPECT_EQ(stream, protocol::Stream::Out);
        EXPECT_LE(bytes.size(), 64U << 10U);
        log += bytes;
        ++pieces;
        afterOutput();
    }
    void onPhase(std::string phase) override { phases.push_back(std::move(phase)); }
    void onExit(AttemptExit ended) override
    {
        running.reset(); // allowed here
        m_exit.set_value(std::move(ended));
    }
    // To be read after wait().
    std::string log;
    std::vector<std::string> phases;
    int pieces = 0;
    std::function<void()> afterOutput = [] {}; // set before the start
    std::unique_ptr<Running> running;          // of the loop

    AttemptExit wait() { return m_exit.get_future().get(); }

private:
    std::promise<AttemptExit> m_exit;
};

class NixExecutorTest : public ::testing::Test {
protected:
    void SetUp() override { begin({}); }
    void begin(test::NixFixtureOptions options, nixdaemon::Trust trust = nixdaemon::Trust::Unknown)
    {
        m_executor.reset();
        m_nix.reset();
        auto started = test::NixFixture::start(std::move(options));
        ASSERT_TRUE(started) << started.error().message;
        m_nix = *std::move(started);
        NixExecutorOptions executor;
        executor.machine = {m_nix->socketPath(), m_nix->storeDir(), trust, false};
        executor.slots = 2;
        m_executor = std::make_unique<NixExecutor>(m_loop, std::move(executor), m_clock);
    }
    AttemptSpec specOf(const TestDerivation& drv, const nix::StorePathSet& inputs = {},
                       protocol::Limits limits = {})
    {
        protocol::NixWork work;
        work.drvPath = drv.path.print(m_nix->storeDir());
        work.drv = drv.text(m_nix->storeDir());
        for (const nix::StorePath& input : inputs)
            work.inputPaths.push_back(input.print(m_nix->storeDir()));
        for (const auto& [name, output] : drv.drv.outputs)
            work.outputs.push_back({name, output.path->print(m_nix->storeDir()), "", 0});
        AttemptSpec spec;
        spec.assignment.name = drv.drv.name;
        spec.assignment.work = std::move(work);
        spec.assignment.limits = limits;
        return spec;
    }
    void start(const AttemptSpec& spec, Recorder& sink)
    {
        m_loop.post([this, spec, &sink] { sink.running = m_executor->start(spec, sink); });
    }
    AttemptExit run(const AttemptSpec& spec, Recorder& sink)
    {
        start(spec, sink);
        return sink.wait();
    }
    AttemptExit run(const AttemptSpec& spec)
    {
        Recorder sink;
        return run(spec, sink);
    }
    void onLoop(std::function<void()> task)
    {
        std::promise<void> done;
        m_loop.post([&] {
            task();
            done.set_value();
        });
        done.get_future().wait();
    }
    TestDerivation derivation(const std::string& name, const std::string& script)
    {
        return makeDerivation(m_nix->storeDir(), {name, script});
    }

    SystemClock m_clock;
    StdLoop m_loop{"exec"};
    std::unique_ptr<test::NixFixture> m_nix;
    std::unique_ptr<NixExecutor> m_executor; // ends before its loop
};

TEST_F(NixExecutorTest, BuildsAndReportsOutputsLogAndPhases)
{
    const TestDerivation drv = makeDerivation(
        m_nix->storeDir(),
        {"hello",
         "echo one; echo '@nix {\"action\":\"setPhase\",\"phase\":\"installPhase\"}'; echo two >&2; "
         "echo hi > $out; echo dev > $dev",
         {"out", "dev"}});
    Recorder sink;
    const AttemptExit result = run(specOf(drv), sink);
    EXPECT_EQ(result.outcome, Outcome::Succeeded) << result.error;
    EXPECT_FALSE(result.cached);
    EXPECT_EQ(sink.log, "one\ntwo\n");
    EXPECT_EQ(sink.phases, (std::vector<std::string>{"preparing", "building", "installPhase", "finishing"}));
    ASSERT_EQ(result.outputs.size(), 2U);
    EXPECT_EQ(result.outputs[0].name, "dev");
    EXPECT_EQ(result.outputs[1].path, drv.output().print(m_nix->storeDir()));
    EXPECT_TRUE(result.outputs[1].narHash.starts_with("sha256:"));
    EXPECT_EQ(result.outputs[1].narHash.size(), 7U + 64U);
    EXPECT_EQ(result.outputs[1].narSize, 120U);

    Recorder quiet;
    const AttemptExit again = run(specOf(drv), quiet);
    EXPECT_EQ(again.outcome, Outcome::Succeeded);
    EXPECT_TRUE(again.cached);
    EXPECT_EQ(quiet.log, "");
    EXPECT_EQ(again.outputs, result.outputs);
}

TEST_F(NixExecutorTest, BuildsADerivationOnTheOutputOfAnother)
{
    const TestDerivation leaf = derivation("leaf", "echo leaf > $out");
    const TestDerivation top =
        makeDerivation(m_nix->storeDir(),
                       {"top",
                        "read x < " + leaf.output().print(m_nix->storeDir()) + "; echo got $x; echo > $out",
                        {"out"},
                        {leaf}});
    const AttemptExit early = run(specOf(top, {leaf.output()}));
    EXPECT_EQ(early.outcome, Outcome::Infrastructure);
    EXPECT_NE(early.error.find(leaf.output().baseName()), std::string::npos) << early.error;
    EXPECT_EQ(run(specOf(leaf)).outcome, Outcome::Succeeded);
    Recorder sink;
    const AttemptExit result = run(specOf(top, {leaf.output()}), sink);
    EXPECT_EQ(result.outcome, Outcome::Succeeded) << result.error;
    EXPECT_EQ(sink.log, "got leaf\n");
}

TEST_F(NixExecutorTest, ReportsFailures)
{
    Recorder sink;
    const AttemptExit failed = run(specOf(derivation("fails", "echo why; exit 3")), sink);
    EXPECT_EQ(failed.outcome, Outcome::Failed);
    EXPECT_EQ(failed.nixStatus, 3U);
    EXPECT_NE(failed.error.find("exit code 3"), std::string::npos) << failed.error;
    EXPECT_EQ(sink.log, "why\n");

    const AttemptExit foreign = run(specOf(
        makeDerivation(m_nix->storeDir(), {.name = "foreign", .script = "", .platform = "pdp11-unix"})));
    EXPECT_EQ(foreign.outcome, Outcome::Infrastructure);
    EXPECT_EQ(foreign.nixStatus, 9U);

    AttemptSpec broken = specOf(derivation("broken", ""));
    std::get<protocol::NixWork>(broken.assignment.work).drv += " ";
    EXPECT_EQ(run(broken).outcome, Outcome::Infrastructure);
    AttemptSpec elsewhere = specOf(derivation("elsewhere", ""));
    std::get<protocol::NixWork>(elsewhere.assignment.work).drvPath =
        "/other/store/3ghsl9sd83mc26i81adpa2fzf3yw4f68-x.drv";
    EXPECT_EQ(run(elsewhere).outcome, Outcome::Infrastructure);
}

TEST_F(NixExecutorTest, BuildsTwiceWhatSaysThatItIsDeterministic)
{
    const auto twice = [&](const std::string& name, const std::string& script, const std::string& word) {
        return specOf(
            makeDerivation(m_nix->storeDir(), {.name = name, .script = script, .environment = {{word, "1"}}}));
    };
    Recorder sink;
    const AttemptExit same = run(twice("same", "echo built; echo same > $out", "isDeterministic"), sink);
    EXPECT_EQ(same.outcome, Outcome::Succeeded) << same.error;
    EXPECT_FALSE(same.cached);
    EXPECT_EQ(sink.log, "built\nbuilt\n");
    EXPECT_EQ(same.effort, (protocol::BuildEffort{Duration(0), 2, false}));

    const std::string differs = "read x < /proc/sys/kernel/random/uuid; echo $x > $out";
    for (const std::string word : {"isDeterministic", "isDetermistic"}) {
        const AttemptSpec spec = twice("differs-" + word, differs, word);
        const AttemptExit exit = run(spec);
        EXPECT_EQ(exit.outcome, Outcome::NotDeterministic);
        EXPECT_EQ(exit.effort, (protocol::BuildEffort{Duration(0), 2, true}));
        EXPECT_EQ(run(spec).outcome, Outcome::NotDeterministic); // though the first build's outputs are there
    }
    const AttemptExit free = run(specOf(derivation("free", differs)));
    EXPECT_EQ(free.outcome, Outcome::Succeeded);
    EXPECT_EQ(free.effort, protocol::BuildEffort{}) << "it was not compared with anything";
}

TEST_F(NixExecutorTest, RepeatsWhatIsToBeComparedAndOnlySaysSo)
{
    const auto repeated = [&](const std::string& name, const std::string& script, const std::string& word = "x") {
        AttemptSpec spec = specOf(
            makeDerivation(m_nix->storeDir(), {.name = name, .script = script, .environment = {{word, "1"}}}));
        spec.assignment.limits.repeats = 2;
        return run(spec);
    };
    const AttemptExit same = repeated("same-again", "echo same > $out");
    EXPECT_EQ(same.outcome, Outcome::Succeeded) << same.error;
    EXPECT_EQ(same.effort, (protocol::BuildEffort{Duration(0), 3, false}));
    const std::string differs = "read x < /proc/sys/kernel/random/uuid; echo $x > $out";
    const AttemptExit other = repeated("differs-again", differs);
    EXPECT_EQ(other.outcome, Outcome::Succeeded) << other.error;
    EXPECT_EQ(other.effort, (protocol::BuildEffort{Duration(0), 3, true}));
    ASSERT_EQ(other.outputs.size(), 1U);
    EXPECT_EQ(repeated("differs-held", differs, "isDeterministic").outcome, Outcome::NotDeterministic);
}

TEST_F(NixExecutorTest, EnforcesEveryLimit)
{
    protocol::Limits total;
    total.timeout = std::chrono::milliseconds(900);
    EXPECT_EQ(run(specOf(derivation("slow", "while :; do echo; /bin/sleep 0.2; done"), {}, total)).outcome,
              Outcome::TimedOut);
    protocol::Limits silent;
    silent.silentTimeout = std::chrono::milliseconds(900);
    silent.timeout = std::chrono::minutes(1);
    EXPECT_EQ(run(specOf(derivation("silent", "echo; /bin/sleep 60"), {}, silent)).outcome,
              Outcome::SilentTimedOut);
    protocol::Limits log;
    log.maxLogBytes = 100'000;
    const AttemptExit loud = run(specOf(derivation("loud", "while :; do echo 0123456789; done"), {}, log));
    EXPECT_EQ(loud.outcome, Outcome::LogLimit);
}

TEST_F(NixExecutorTest, StopsARunningAttempt)
{
    Recorder sink;
    sink.afterOutput = [&] { sink.running->stop(std::chrono::seconds(10)); };
    const AttemptExit result =
        run(specOf(derivation("endless", "echo started; /bin/sleep 60; echo > $out")), sink);
    EXPECT_EQ(result.outcome, Outcome::Cancelled);
    EXPECT_EQ(sink.log, "started\n");
}

TEST_F(NixExecutorTest, TakesALostDaemonForTheMachinesFault)
{
    Recorder sink;
    sink.afterOutput = [&] { m_nix->kill(); };
    const AttemptExit result =
        run(specOf(derivation("orphan", "echo started; /bin/sleep 60; echo > $out")), sink);
    EXPECT_EQ(result.outcome, Outcome::Infrastructure);
    const AttemptExit nobody = run(specOf(derivation("nobody-there", "echo > $out")));
    EXPECT_EQ(nobody.outcome, Outcome::Infrastructure);
    EXPECT_NE(nobody.error.find(m_nix->socketPath()), std::string::npos) << nobody.error;
}

const std::string kLongLog =
    "i=0; while [ $i -lt 30000 ]; do echo line number $i of many; i=$((i+1)); done; echo > $out";

TEST_F(NixExecutorTest, PassesALongLogOnInPiecesAndPausesWhenAsked)
{
    Recorder sink;
    sink.afterOutput = [&] {
        if (sink.pieces % 3 != 0)
            return;
        sink.running->setReading(false);
        const int before = sink.pieces;
        m_loop.post([&, before] {
            EXPECT_EQ(sink.pieces, before) << "nothing comes while reading is off";
            if (sink.running)
                sink.running->setReading(true);
        });
    };
    const AttemptExit result = run(specOf(derivation("long-log", kLongLog)), sink);
    EXPECT_EQ(result.outcome, Outcome::Succeeded) << result.error;
    EXPECT_TRUE(sink.log.starts_with("line number 0 of many\n"));
    EXPECT_TRUE(sink.log.ends_with("line number 29999 of many\n"));
    EXPECT_EQ(std::count(sink.log.begin(), sink.log.end(), '\n'), 30000);
}

TEST_F(NixExecutorTest, EndsAStoppedAttemptThoughNobodyReadsItsLog)
{
    Recorder sink;
    sink.afterOutput = [&] {
        sink.running->setReading(false);
        m_loop.post([&] { sink.running->stop(Duration(0)); });
    };
    EXPECT_EQ(run(specOf(derivation("unread", kLongLog)), sink).outcome, Outcome::Cancelled);
}

TEST_F(NixExecutorTest, EndsWhatRunsWhenItsRunningIsDestroyed)
{
    Recorder sink;
    std::promise<void> started;
    sink.afterOutput = [&] {
        sink.running.reset();
        started.set_value();
    };
    start(specOf(derivation("left", "echo started; /bin/sleep 60; echo > $out")), sink);
    started.get_future().wait();
    m_executor.reset(); // joins at once, not after a minute
}

TEST_F(NixExecutorTest, RefusesMoreThanMayWait)
{
    std::deque<Recorder> sinks(2 + 64 + 40);
    for (Recorder& sink : sinks)
        start(specOf(derivation("crowd", "/bin/sleep 60; echo > $out")), sink);
    EXPECT_EQ(sinks.back().wait().outcome, Outcome::Infrastructure);
    onLoop([&] {
        for (Recorder& sink : sinks)
            sink.running.reset();
    });
    m_executor.reset();
}

TEST_F(NixExecutorTest, GoesBeyondItsSlotsWhenTheServerSaysSo)
{
    // Each waits until all three run, which two slots could not do.
    const std::string script = "d=" + m_nix->root() +
                               "/tmp; : > $d/here-$name; while set -- $d/here-*; [ $# -lt 3 ]; do /bin/sleep 0.02; "
                               "done; echo > $out";
    std::deque<Recorder> sinks(3);
    int index = 0;
    for (Recorder& sink : sinks) {
        AttemptSpec spec = specOf(derivation(fmt::format("beyond-{}", index++), script));
        spec.assignment.beyondSlots = true;
        start(spec, sink);
    }
    for (Recorder& sink : sinks)
        EXPECT_EQ(sink.wait().outcome, Outcome::Succeeded);
}

TEST_F(NixExecutorTest, GivesABuildTheGrantedCpusElseAll)
{
    Recorder granted;
    AttemptSpec spec = specOf(derivation("granted", "echo $NIX_BUILD_CORES; echo > $out"));
    spec.assignment.cpus = 7;
    EXPECT_EQ(run(spec, granted).outcome, Outcome::Succeeded);
    EXPECT_EQ(granted.log, "7\n");
    Recorder unstated;
    EXPECT_EQ(run(specOf(derivation("unstated", "echo $NIX_BUILD_CORES; echo > $out")), unstated).outcome,
              Outcome::Succeeded);
    EXPECT_EQ(unstated.log, "0\n"); // Nix's word for all there are
}

TEST_F(NixExecutorTest, HoldsOutputsToTheirLimit)
{
    const auto limited = [](std::uint64_t bytes) {
        protocol::Limits limits;
        limits.maxOutputBytes = bytes;
        return limits;
    };
    const TestDerivation drv =
        makeDerivation(m_nix->storeDir(), {"two", "echo hi > $out; echo dev > $dev", {"out", "dev"}});
    const AttemptExit large = run(specOf(drv, {}, limited(239)));
    EXPECT_EQ(large.outcome, Outcome::OutputLimit);
    EXPECT_EQ(large.error, "the outputs have 240 bytes, the output limit is 239");
    EXPECT_TRUE(large.outputs.empty());
    const AttemptExit cached = run(specOf(drv, {}, limited(239)));
    EXPECT_EQ(cached.outcome, Outcome::OutputLimit); // also when they were there already
    EXPECT_EQ(run(specOf(drv, {}, limited(240))).outcome, Outcome::Succeeded);
}

TEST_F(NixExecutorTest, RunsNoMoreAtATimeThanItHasSlots)
{
    // Each leaves a mark while it runs and looks for those of others.
    const std::string script = "d=" + m_nix->root() +
                               "/tmp; : > $d/mark-$name; set -- $d/mark-*; echo $#; /bin/sleep 0.2; "
                               "/bin/rm $d/mark-$name; echo > $out";
    std::deque<Recorder> sinks(6);
    int index = 0;
    for (Recorder& sink : sinks)
        start(specOf(derivation(fmt::format("parallel-{}", index++), script)), sink);
    for (Recorder& sink : sinks) {
        const AttemptExit result = sink.wait();
        EXPECT_EQ(result.outcome, Outcome::Succeeded) << result.error;
        EXPECT_TRUE(sink.log == "1\n" || sink.log == "2\n") << sink.log;
    }
}

TEST_F(NixExecutorTest, BuildsFromTheStoreWhereItIsNotTrusted)
{
    for (const nixdaemon::Trust known : {nixdaemon::Trust::Unknown, nixdaemon::Trust::NotTrusted}) {
        begin({false, ""}, known);
        const TestDerivation leaf = derivation("leaf", "echo built without trust; echo > $out");
        Recorder sink;
        const AttemptExit result = run(specOf(leaf), sink);
        EXPECT_EQ(result.outcome, Outcome::Succeeded) << result.error;
        EXPECT_EQ(sink.log, "built without trust\n");
        const TestDerivation top = makeDerivation(m_nix->storeDir(), {"top", "exit 5", {"out"}, {leaf}});
        const AttemptExit failed = run(specOf(top, {leaf.output()}));
        EXPECT_EQ(failed.outcome, Outcome::Failed) << failed.error;
        const TestDerivation absent = derivation("absent", "echo > $out");
        const TestDerivation orphan =
            makeDerivation(m_nix->storeDir(), {"orphan", "echo > $out", {"out"}, {absent}});
        const AttemptExit refused = run(specOf(orphan));
        EXPECT_EQ(refused.outcome, Outcome::Infrastructure);
        EXPECT_NE(refused.error.find("trusted-users"), std::string::npos) << refused.error;
    }
}

TEST(NixOutcome, FollowsTheTableOfHydra)
{
    using nixdaemon::BuildStatus;
    const std::map<BuildStatus, Outcome> table{
        {BuildStatus::Built, Outcome::Succeeded},
        {BuildStatus::Substituted, Outcome::Succeeded},
        {BuildStatus::AlreadyValid, Outcome::Succeeded},
        {BuildStatus::PermanentFailure, Outcome::Failed},
        {BuildStatus::InputRejected, Outcome::Failed},
        {BuildStatus::OutputRejected, Outcome::Failed},
        {BuildStatus::TransientFailure, Outcome::Transient},
        {BuildStatus::CachedFailure, Outcome::Infrastructure},
        {BuildStatus::TimedOut, Outcome::SilentTimedOut},
        {BuildStatus::MiscFailure, Outcome::Infrastructure},
        {BuildStatus::DependencyFailed, Outcome::Infrastructure},
        {BuildStatus::LogLimitExceeded, Outcome::LogLimit},
        {BuildStatus::NotDeterministic, Outcome::NotDeterministic},
        {BuildStatus::ResolvesToAlreadyValid, Outcome::Succeeded},
        {BuildStatus::NoSubstituters, Outcome::Infrastructure},
        {BuildStatus::HashMismatch, Outcome::Infrastructure},
        {BuildStatus::Unknown, Outcome::Infrastructure},
    };
    for (const auto& [status, outcome] : table) {
        EXPECT_EQ(outcomeOf(status, Outcome::SilentTimedOut), outcome) << toString(status);
        const bool isTriedAgain = outcome != Outcome::Infrastructure || status == BuildStatus::MiscFailure;
        EXPECT_EQ(isFinal(status), !isTriedAgain) << toString(status);
    }
}

} // namespace
} // namespace penstock::builder
