// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/commands/job_options.h"

#include "client/app/command_line.h"
#include "client/commands/table.h"

#include <gtest/gtest.h>
#include <QJsonDocument>

namespace penstock::client {
namespace {

Result<std::string> jobOf(const std::vector<std::string>& words)
{
    const auto table = commandTable();
    const auto line = parseLine(table, words, {{"HOME", "/nonexistent"}});
    if (!line)
        return fail(line.error());
    const auto& values = std::get<Parsed>(*line).values;
    Globals globals;
    globals.user = "ann";
    globals.nameSpace = values.text("namespace");
    const auto job = commandJob(globals, values, values.arguments("CMD"));
    if (!job)
        return fail(job.error());
    return QJsonDocument(*job).toJson(QJsonDocument::Compact).toStdString();
}

TEST(JobOptions, MakeAnArgumentListWithoutAShell)
{
    EXPECT_EQ(*jobOf({"run", "--", "/bin/echo", "a b", "$HOME"}),
              R"({"command":["/bin/echo","a b","$HOME"],"name":"echo","user":"ann"})");
}

TEST(JobOptions, MakeAScriptWithAShell)
{
    EXPECT_EQ(*jobOf({"run", "--shell", "bash", "--", "echo $HOME"}),
              R"({"command":"echo $HOME","name":"bash","shell":"bash","user":"ann"})");
    EXPECT_FALSE(jobOf({"run", "--shell", "bash", "--", "echo", "x"}));
}

TEST(JobOptions, CoverEveryFlag)
{
    const auto job = jobOf({"run",         "--name",    "n",
                            "--namespace", "x",         "-e",
                            "A=b=c",       "--env",     "E=",
                            "--timeout",   "1500ms",    "--silent-timeout",
                            "2m",          "--max-log", "64MiB",
                            "--priority",  "-3",        "--retries",
                            "2",           "--system",  "x86_64-linux",
                            "--feature",   "kvm",       "--tag",
                            "big",         "--tag",     "fast",
                            "--machine",   "b1",        "--cpus",
                            "2",           "--memory",  "512MiB",
                            "--resource",  "gpu=1",     "--resource",
                            "licence=12",  "--concurrency", "deploy=3",
                            "--shares-group", "nightly", "--max-output",
                            "1GiB",        "--",        "true"});
    ASSERT_TRUE(job) << job.error().message;
    EXPECT_EQ(
        *job,
        R"({"affinity":{"features":["kvm"],"machines":["b1"],"systems":["x86_64-linux"],"tags":["big","fast"]},)"
        R"("command":["true"],"concurrency":{"group":"deploy","limit":3},"env":{"A":"b=c","E":""},)"
        R"("max_log":"64MiB","max_output":"1GiB","name":"n","namespace":"x","priority":-3,)"
        R"("resources":{"cpus":2,"gpu":1,"licence":12,"memory":"512MiB"},"retries":2,"shares_group":"nightly",)"
        R"("silent_timeout":120,"timeout":1.5,"user":"ann"})");
}

TEST(JobOptions, RefuseWhatCannotBeSent)
{
    EXPECT_NE(jobOf({"run", "--env", "A", "--", "true"}).error().message.find("NAME=VALUE"),
              std::string::npos);
    EXPECT_NE(jobOf({"run", "--", "echo", "\xff"}).error().message.find("UTF-8"), std::string::npos);
    EXPECT_FALSE(jobOf({"run", "--retries", "-1", "--", "true"}));
    EXPECT_FALSE(jobOf({"run", "--cpus", "0.5", "--", "true"}));
    EXPECT_FALSE(jobOf({"run", "--cpus", "4097", "--", "true"}));
    for (const auto* setting : {"gpu", "=1", "gpu=", "gpu=0", "gpu=-1", "gpu=1.5", "cpus=2", "memory=1"})
        EXPECT_NE(jobOf({"run", "--resource", setting, "--", "true"}).error().message.find(setting),
                  std::string::npos);
    EXPECT_NE(jobOf({"run", "--concurrency", "g=0", "--", "true"}).error().message.find("from 1"),
              std::string::npos);
}

TEST(JobOptions, LeaveTheLimitOfAConcurrencyGroupToTheServer)
{
    EXPECT_EQ(*jobOf({"run", "--concurrency", "deploy", "--", "true"}),
              R"({"command":["true"],"concurrency":{"group":"deploy"},"name":"true","user":"ann"})");
}

} // namespace
} // namespace penstock::client
