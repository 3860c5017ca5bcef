// SPDX-License-Identifier: GPL-3.0-or-later
// JobFollower, MonitorSession and BuildUpload over real WebSockets, against a server that misbehaves on
// demand.
#include "client/build/upload.h"
#include "client/follow/job_follower.h"
#include "tests/integration/client_follow/fake_monitor.h"

#include <gtest/gtest.h>
#include <QCoreApplication>
#include <QEventLoop>
#include <QTimer>

namespace penstock::client {
namespace {

struct Recorder final : JobSink {
    explicit Recorder(QEventLoop& eventLoop) : loop(eventLoop) {}
    void onJob(const monitor::JobRecord&) override {}
    void onStep(std::uint64_t, const monitor::StepRecord& step) override { lastResult = step.result(); }
    void onLog(std::uint64_t, const LogPiece& piece) override { log += piece.data; }
    void onNotice(const std::string& text) override { notices.push_back(text); }
    void onJobEnd(const monitor::JobRecord& job) override { ended.push_back(job.id()); }
    void onJobError(std::uint64_t, const Error& error) override { errors.push_back(error.message); }
    void onAllEnded() override { loop.quit(); }
    void onLost(const Error& error) override
    {
        lost = error.message;
        loop.quit();
    }
    QEventLoop& loop;
    std::string log;
    std::vector<std::string> notices;
    std::vector<std::uint64_t> ended;
    std::vector<std::string> errors;
    std::string lost;
    std::string lastResult;
};

class Follow : public testing::Test {
protected:
    // Follows the jobs until all have ended, with a limit that only a fault reaches.
    void follow(const FakeMonitor& server, const std::vector<std::uint64_t>& jobs,
                Duration giveUpAfter = std::chrono::minutes(1))
    {
        JobFollower follower({{false, "127.0.0.1", server.port(), ""}, "", giveUpAfter}, true, m_sink);
        follower.open();
        for (const auto job : jobs)
            follower.add(job);
        QTimer limit;
        QObject::connect(&limit, &QTimer::timeout, &limit, [this] {
            ADD_FAILURE() << "nothing ended within 30 s";
            m_loop.quit();
        });
        limit.start(std::chrono::seconds(30));
        m_loop.exec();
    }

    int m_argc = 1;
    std::string m_name = "test";
    std::vector<char*> m_argv{m_name.data(), nullptr};
    QCoreApplication m_application{m_argc, m_argv.data()};
    QEventLoop m_loop;
    Recorder m_sink{m_loop};
};

TEST_F(Follow, AJobsLogThatComesWithItsWatch)
{
    FakeMonitor server([](FakeMonitor& self, const monitor::ClientMessage& message) {
        if (!message.has_watch_job())
            return;
        EXPECT_TRUE(message.watch_job().with_log());
        const auto watch = message.watch_job().watch();
        self.sendJob(watch, 7, monitor::JOB_RUNNING, 70);
        self.sendLog(watch, 70, 0, "one\n", false);
        self.sendLog(watch, 70, 4, "two\n", false);
        self.sendJob(watch, 7, monitor::JOB_SUCCEEDED, 70);
        self.sendLog(watch, 70, 8, "three\n", true);
    });
    follow(server, {7});
    EXPECT_EQ(m_sink.log, "one\ntwo\nthree\n");
    EXPECT_EQ(m_sink.ended, (std::vector<std::uint64_t>{7}));
    EXPECT_TRUE(m_sink.notices.empty());
}

TEST_F(Follow, GoesOnAtItsOffsetAfterABreak)
{
    std::vector<std::uint64_t> offsets;
    FakeMonitor server([&](FakeMonitor& self, const monitor::ClientMessage& message) {
        if (message.has_watch_job()) {
            const auto watch = message.watch_job().watch();
            const bool first = self.connections() == 1;
            EXPECT_EQ(message.watch_job().with_log(), first);
            self.sendJob(watch, 7, first ? monitor::JOB_RUNNING : monitor::JOB_SUCCEEDED, 70);
            if (first) {
                self.sendLog(watch, 70, 0, "before ", false);
                QTimer::singleShot(std::chrono::milliseconds(20), &m_loop, [&self] { self.drop(); });
            }
        } else if (message.has_watch_log()) {
            offsets.push_back(message.watch_log().offset());
            // A server that rounds down to a record's start repeats something.
            self.sendLog(message.watch_log().watch(), 70, 0, "before after", true);
        }
    });
    follow(server, {7});
    EXPECT_EQ(m_sink.log, "before after");
    EXPECT_EQ(offsets, (std::vector<std::uint64_t>{7}));
    ASSERT_EQ(m_sink.notices.size(), 2U);
    EXPECT_NE(m_sink.notices[0].find("lost the server"), std::string::npos);
    EXPECT_EQ(m_sink.notices[1], "the server is back");
}

TEST_F(Follow, FetchesWhatWasLeftOutForASlowReader)
{
    FakeMonitor server([](FakeMonitor& self, const monitor::ClientMessage& message) {
        if (message.has_watch_job()) {
            const auto watch = message.watch_job().watch();
            self.sendJob(watch, 7, monitor::JOB_RUNNING, 70);
            self.sendLog(watch, 70, 0, "ab", false);
            self.sendLog(watch, 70, 6, "gh", false);
            self.sendJob(watch, 7, monitor::JOB_FAILED, 70);
        } else if (message.has_watch_log()) {
            EXPECT_EQ(message.watch_log().offset(), 2U);
            EXPECT_TRUE(message.watch_log().follow());
            self.sendLog(message.watch_log().watch(), 70, 2, "cdef", false);
            self.sendLog(message.watch_log().watch(), 70, 6, "gh", true);
        }
    });
    follow(server, {7});
    EXPECT_EQ(m_sink.log, "abcdefgh");
}

TEST_F(Follow, AsksForTheLogOfAJobThatEndedBeforeTheWatch)
{
    FakeMonitor server([](FakeMonitor& self, const monitor::ClientMessage& message) {
        if (message.has_watch_job()) {
            self.sendJob(message.watch_job().watch(), 7, monitor::JOB_SUCCEEDED, 70);
            self.sendEnd(message.watch_job().watch());
        } else if (message.has_watch_log()) {
            self.sendLog(message.watch_log().watch(), 70, 0, "quick", false);
            self.sendEnd(message.watch_log().watch());
        }
    });
    follow(server, {7});
    EXPECT_EQ(m_sink.log, "quick");
}

TEST_F(Follow, WaitsForStepsThatAreToldAfterTheEndOfTheirJob)
{
    FakeMonitor server([](FakeMonitor& self, const monitor::ClientMessage& message) {
        if (!message.has_watch_job())
            return;
        monitor::FeedMessage update;
        update.mutable_job()->set_watch(message.watch_job().watch());
        update.mutable_job()->mutable_job()->set_id(7);
        update.mutable_job()->mutable_job()->set_state(monitor::JOB_FAILED);
        update.mutable_job()->set_complete(true);
        auto& step = *update.mutable_job()->add_steps();
        step.set_id(1);
        step.set_state(monitor::STEP_BLOCKED);
        self.send(update);
        step.set_state(monitor::STEP_FAILED);
        step.set_result("dependency_failed");
        self.send(update);
    });
    follow(server, {7});
    EXPECT_EQ(m_sink.ended, (std::vector<std::uint64_t>{7}));
    EXPECT_EQ(m_sink.lastResult, "dependency_failed");
    EXPECT_TRUE(m_sink.notices.empty());
}

TEST_F(Follow, TellsAnUnknownJobAndGoesOnWithTheOthers)
{
    FakeMonitor server([](FakeMonitor& self, const monitor::ClientMessage& message) {
        if (!message.has_watch_job())
            return;
        const auto& watch = message.watch_job();
        if (watch.job_id() == 42) {
            monitor::FeedMessage problem;
            problem.mutable_problem()->set_watch(watch.watch());
            problem.mutable_problem()->set_code("not_found");
            problem.mutable_problem()->set_message("no job 42");
            self.send(problem);
        } else {
            self.sendJob(watch.watch(), watch.job_id(), monitor::JOB_SUCCEEDED, 0);
        }
    });
    follow(server, {42, 7});
    EXPECT_EQ(m_sink.errors, (std::vector<std::string>{"no job 42"}));
    EXPECT_EQ(m_sink.ended, (std::vector<std::uint64_t>{7}));
}

TEST_F(Follow, WatchesFewJobsAtATime)
{
    std::size_t open = 0;
    std::size_t most = 0;
    FakeMonitor server([&](FakeMonitor& self, const monitor::ClientMessage& message) {
        if (message.has_unwatch())
            --open;
        if (!message.has_watch_job())
            return;
        most = std::max(most, ++open);
        const auto watch = message.watch_job().watch();
        const auto job = message.watch_job().job_id();
        QTimer::singleShot(0, &m_loop,
                           [&self, watch, job] { self.sendJob(watch, job, monitor::JOB_SUCCEEDED, 0); });
    });
    std::vector<std::uint64_t> jobs;
    for (std::uint64_t job = 1; job <= 200; ++job)
        jobs.push_back(job);
    follow(server, jobs);
    EXPECT_EQ(m_sink.ended.size(), 200U);
    EXPECT_LE(most, JobFollower::kMaxWatches);
}

TEST_F(Follow, StopsWhenTheServerRefusesForGood)
{
    FakeMonitor server([](FakeMonitor& self, const monitor::ClientMessage& message) {
        if (!message.has_hello())
            return;
        monitor::FeedMessage goodbye;
        goodbye.mutable_goodbye()->set_code("denied");
        goodbye.mutable_goodbye()->set_text("this token was revoked");
        self.send(goodbye);
    });
    follow(server, {7});
    EXPECT_NE(m_sink.lost.find("this token was revoked"), std::string::npos);
}

TEST_F(Follow, GivesUpOnAServerThatStaysAway)
{
    FakeMonitor server([](FakeMonitor& self, const monitor::ClientMessage& message) {
        if (message.has_watch_job())
            self.drop();
    });
    follow(server, {7}, std::chrono::milliseconds(0));
    EXPECT_NE(m_sink.lost.find("no connection to the server"), std::string::npos);
}

TEST_F(Follow, SaysAtOnceThatThereIsNoServer)
{
    auto server = std::make_unique<FakeMonitor>([](FakeMonitor&, const monitor::ClientMessage&) {});
    const auto port = server->port();
    server.reset();
    JobFollower follower({{false, "127.0.0.1", port, ""}, "", std::chrono::minutes(10)}, true, m_sink);
    follower.open();
    m_loop.exec();
    EXPECT_NE(m_sink.lost.find("cannot reach the server"), std::string::npos);
}

TEST_F(Follow, SurvivesMalformedFrames)
{
    FakeMonitor server([](FakeMonitor& self, const monitor::ClientMessage& message) {
        if (!message.has_watch_job())
            return;
        if (self.connections() == 1)
            self.sendBytes(std::string("\xff\xff\xff\xff junk", 9));
        else
            self.sendJob(message.watch_job().watch(), 7, monitor::JOB_SUCCEEDED, 0);
    });
    follow(server, {7});
    EXPECT_EQ(m_sink.ended.size(), 1U);
    EXPECT_EQ(server.connections(), 2);
}

TEST_F(Follow, AnUploadBeginsAnewAfterABreakAndKeepsItsKey)
{
    std::map<std::uint64_t, std::vector<std::string>> parts; // by upload
    std::vector<std::string> jobs;
    FakeMonitor server([&](FakeMonitor& self, const monitor::ClientMessage& message) {
        if (!message.has_build_part())
            return;
        const auto& part = message.build_part();
        for (const auto& derivation : part.derivations())
            parts[part.upload()].push_back(derivation.path());
        if (!part.last())
            return;
        jobs.push_back(part.job_json());
        if (self.connections() == 1) {
            self.drop();
            return;
        }
        monitor::FeedMessage accepted;
        accepted.mutable_build_accepted()->set_upload(part.upload());
        accepted.mutable_build_accepted()->set_job_id(9);
        self.send(accepted);
    });

    struct UploadListener final : SessionListener {
        void onReady(bool) override { upload->onConnected(); }
        void onMessage(const monitor::FeedMessage& message) override { upload->onMessage(message); }
        void onLinkNotice(const std::string&) override {}
        void onGaveUp(const Error& error) override { ADD_FAILURE() << error.message; }
        std::unique_ptr<BuildUpload> upload;
    };
    UploadListener listener;
    MonitorSession session({{false, "127.0.0.1", server.port(), ""}, "", std::chrono::minutes(1)}, listener);
    BuildUpload::Job job;
    job.closure.derivations = {"/nix/store/a.drv", "/nix/store/b.drv", "/nix/store/c.drv"};
    job.closure.sizes = {1, 1, 1};
    job.read = [](const std::string&) { return Result<std::string>("D"); };
    job.parts = {2, 1};
    job.roots = {"/nix/store/c.drv"};
    job.json = R"({"key":"k"})";
    std::uint64_t accepted = 0;
    listener.upload =
        std::make_unique<BuildUpload>(session, job, [&](const Result<monitor::BuildAccepted>& answer) {
            accepted = answer ? answer->job_id() : 0;
            m_loop.quit();
        });
    session.open();
    m_loop.exec();
    EXPECT_EQ(accepted, 9U);
    ASSERT_EQ(parts.size(), 2U);
    EXPECT_EQ(parts.begin()->second, parts.rbegin()->second);
    EXPECT_EQ(parts.begin()->second.size(), 3U);
    EXPECT_EQ(jobs, (std::vector<std::string>{job.json, job.json}));
}

} // namespace
} // namespace penstock::client
