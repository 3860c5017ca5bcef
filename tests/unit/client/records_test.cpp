// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/output/human_text.h"
#include "client/output/records.h"

#include <gtest/gtest.h>
#include <QJsonDocument>

namespace penstock::client {
namespace {

QJsonObject parse(const char* text)
{
    return QJsonDocument::fromJson(QByteArray(text)).object();
}

const View kView{{}, 0, *parseRfc3339("2026-11-21T06:10:00Z")};

TEST(Records, ListJobsWithAgesAndHowTheyEnded)
{
    const auto job =
        parse(R"({"id":7,"name":"test","user":"ann","namespace":"default","priority":0,"state":"failed",
        "result":"failed","exit_code":3,"signal":null,"error":null,"created":"2026-11-21T06:00:00Z",
        "started":"2026-11-21T06:01:00Z","finished":"2026-11-21T06:01:30.5Z",
        "steps":{"total":1,"done":1,"running":0,"failed":1}})");
    EXPECT_EQ(renderList(RecordKind::Job, {job}, kView),
              "ID  STATE     NAME  USER  PRIORITY           STEPS  AGE  TOOK  END\n"
              " 7  x failed  test  ann          0  1/1 (1 failed)  10m   30s  exit code 3\n");
}

TEST(Records, ShowWhatBuildsSayOfThemselves)
{
    const auto run = parse(R"({"id":7,"state":"ended","end":"succeeded","failed":true,"release_name":"a-1",
        "size_bytes":2048,"closure_size_bytes":1048576,"metrics":[{"name":"time","value":-1.5,"unit":"s"},
        {"name":"n","value":2,"unit":null}],"products":[{"type":"doc","subtype":"manual","path":"/s/a/doc",
        "kind":"directory","size_bytes":null,"default_path":"index.html"},
        {"type":"file","subtype":"iso","path":"/s/a.iso","kind":"file","size_bytes":2048,"default_path":null}]})");
    EXPECT_EQ(renderResults({run}, kView, false),
              "Run:      7\n"
              "Result:   x failed with output\n"
              "Release:  a-1\n"
              "Size:     2.0 KiB, 1.0 MiB with all it needs\n"
              "Metrics:  time -1.5 s, n 2\n"
              "TYPE  SUBTYPE       SIZE  PATH      SHOW\n"
              "doc   manual   directory  /s/a/doc  index.html\n"
              "file  iso        2.0 KiB  /s/a.iso\n");
    EXPECT_NE(renderList(RecordKind::Run, {run}, kView).find("x failed with output"), std::string::npos);
    const auto step = parse(R"({"id":7,"state":"finished","result":"succeeded","failed_with_output":true})");
    EXPECT_NE(renderList(RecordKind::Step, {step}, kView).find("x failed with output"), std::string::npos);
    const auto plain = parse(R"({"id":8,"products":[{"type":"nix-build","path":"/s/a"}],"metrics":[],"failed":false})");
    EXPECT_EQ(renderResults({plain, QJsonObject()}, kView, false), "");
    EXPECT_NE(renderResults({plain}, kView, true).find("/s/a"), std::string::npos);
    const auto job = renderJob(QJsonObject{{QStringLiteral("results"), QJsonArray{run}}}, kView);
    EXPECT_NE(job.find("Result:"), std::string::npos);
    EXPECT_NE(job.find("index.html"), std::string::npos);
}

TEST(Records, ShowNothingForMissingAndOddFields)
{
    EXPECT_EQ(
        renderList(RecordKind::Machine, {parse(R"({"id":"x","load":null,"systems":7})")}, kView).find("null"),
        std::string::npos);
    for (const auto render : {renderJob, renderMachine, renderStatus, renderExplain, renderQueues, renderNamespaces})
        EXPECT_EQ(render(parse("{}"), kView).find("null"), std::string::npos);
}

TEST(Records, StatusNamesEveryProblem)
{
    const auto text = renderStatus(parse(R"({"healthy":false,"problems":["no machine is connected"],
        "database":{"ok":false,"error":"refused","kind":"embedded"}})"),
                                   kView);
    EXPECT_NE(text.find("not healthy"), std::string::npos);
    EXPECT_NE(text.find("no machine is connected"), std::string::npos);
    EXPECT_NE(text.find("embedded, refused"), std::string::npos);
}

TEST(Records, ExplainShowsReasonsAndWhatWouldHelp)
{
    EXPECT_EQ(renderExplain(parse(R"({"job":7,"state":"queued","steps":[{"step":9,"name":"x","state":"ready",
        "reasons":[{"code":"no_free_slot","text":"0 of 2 slots free"}],"change":"a slot"}]})"),
                            kView),
              "job 7: queued\n  step 9 x  . ready\n    * 0 of 2 slots free\n    => a slot\n");
}

TEST(Records, ExplainShowsHowTheMachinesFallAway)
{
    EXPECT_EQ(
        renderExplain(parse(R"({"job":7,"state":"queued","evaluated":"2026-11-21T06:10:00Z","steps":[
        {"step":9,"name":"x","state":"ready","reasons":[
            {"code":"gated-io","text":"1 machine is over its I/O pressure","remedy":"wait, or raise io-psi"},
            {"code":"behind-in-queue","text":"3 steps are ahead"}],
         "funnel":[{"stage":"known","left":512,"removed_count":0,"removed":[]},
            {"stage":"system","left":3,"removed_count":509,"removed":[{"machine":"a","why":"x86_64-linux"}]},
            {"stage":"features","left":3,"removed_count":0,"removed":[]},
            {"stage":"not_gated","left":2,"removed_count":1,
             "removed":[{"machine":"builder-7","why":"io pressure 22.4% > 10.0% for 180 s"}]},
            {"stage":"new_one","left":0,"removed_count":2,"removed":[{"machine":"b"},{"machine":"c"}]}],
         "change":"a slot","earliest":"2026-11-21T06:12:00Z","latest":"2026-11-21T06:20:00Z"}],"more":1200})"),
                      kView),
        "job 7: queued\n"
        "  step 9 x  . ready\n"
        "    * 1 machine is over its I/O pressure\n"
        "      wait, or raise io-psi\n"
        "    * 3 steps are ahead\n"
        "    MACHINES  LEFT                     REMOVED\n"
        "         512  known to the farm\n"
        "           3  of the system            a: x86_64-linux; 508 more\n"
        "           2  within their thresholds  builder-7: io pressure 22.4% > 10.0% for 180 s\n"
        "           0  new one                  b; c\n"
        "    => a slot\n"
        "    expected to start in 2m to 10m\n"
        "  and 1,200 more unfinished steps\n");
}

TEST(Records, ExplainSaysThatAJobIsOver)
{
    EXPECT_EQ(renderExplain(parse(R"({"job":7,"state":"failed","result":"timed_out","steps":[],"more":0,
        "finished":"2026-11-21T06:08:00Z","error":"ran for 10 s\u001b[31m"})"),
                            kView),
              "job 7: failed\n  it is over: timed out, 2m ago: ran for 10 s?[31m\n");
}

TEST(Records, JobsSayThatTheyAreHeldOrBumped)
{
    const auto held = parse(R"({"id":7,"state":"queued","held":true,"hold_note":"ann: wait","priority":3,
        "bumped_at":"2026-11-21T06:00:00Z","concurrency":{"group":"deploy","limit":2},"share_group":"g",
        "namespace":"n"})");
    const auto list = renderList(RecordKind::Job, {held}, kView);
    EXPECT_NE(list.find("queued (held)"), std::string::npos) << list;
    EXPECT_NE(list.find("bumped"), std::string::npos);
    const auto page = renderJob(held, kView);
    for (const auto* line : {"Held:         ann: wait\n", "Bumped:       2026-11-21T06:00:00Z (10m ago)\n",
                             "Concurrency:  group deploy, 2 at once\n", "Share group:  g\n"})
        EXPECT_NE(page.find(line), std::string::npos) << line << page;
}

TEST(Records, MachineShowsWhatTheSchedulerMakesOfIt)
{
    const auto page = renderMachine(parse(R"({"id":1,"name":"b1","state":"quarantined","open":false,
        "closed":{"code":"quarantined","text":"quarantined for 43 s"},"over":["io pressure 22.4% > 10.0%"],
        "thresholds":{"cpu_psi":70,"io_psi":10,"min_free_disk_bytes":1073741824,"load1":0},
        "overrides":{"cpu_psi":70,"load1":0},"score":-5,"foreign_cpus":2,
        "capacity":{"cpus":8,"memory_bytes":2048,"named":{"gpu":2}},
        "reserved":{"cpus":3,"memory_bytes":1024,"named":{"gpu":1}},
        "health":{"state":"quarantined","failures_in_row":3,"until":"2026-11-21T06:10:43Z","reason":"disk"}})"),
                                    kView);
    for (const auto* line :
         {"Takes work:    no: quarantined for 43 s\n", "Above:         io pressure 22.4% > 10.0%\n",
          "Health:        quarantined, for 43s more; 3 failures of its own in a row, the last: disk\n",
          "Reserved:      3 of 8 CPUs, 1.0 KiB of 2.0 KiB, gpu 1 of 2\n",
          "Foreign load:  2 CPUs, with work that is not the farm's\n",
          "Thresholds:    cpu-psi 70 (set here), io-psi 10, load1 no limit (set here), min-free-disk 1.0 GiB\n",
          "Score:         -5\n"})
        EXPECT_NE(page.find(line), std::string::npos) << line << page;
    const auto open = renderMachine(parse(R"({"open":true,"closed":null,"health":{"state":"healthy"}})"), kView);
    EXPECT_NE(open.find("Takes work:  yes\n"), std::string::npos) << open;
    EXPECT_EQ(open.find("Health"), std::string::npos);
}

TEST(Records, MachinesSayWhyTheyTakeNothing)
{
    const auto list =
        renderList(RecordKind::Machine,
                   {parse(R"({"id":1,"name":"b1","state":"ready","slots":4,"used":1,"capacity":{"cpus":8},
        "reserved":{"cpus":3},"closed":{"code":"gated-io","text":"io pressure 22.4% > 10.0%"}})"),
                    parse(R"({"id":2,"name":"b2","state":"draining","note":"new disk","closed":{"text":"draining"}})")},
                   kView);
    EXPECT_NE(list.find("  3/8  "), std::string::npos) << list;
    EXPECT_NE(list.find("io pressure 22.4% > 10.0%\n"), std::string::npos) << list;
    EXPECT_NE(list.find("new disk\n"), std::string::npos) << list;
}

TEST(Records, StatusSaysThatTheFarmIsPausedAndWhatStepsWaitFor)
{
    const auto text = renderStatus(parse(R"({"healthy":true,"database":{"ok":true,"kind":"embedded"},
        "dispatch":{"paused":true,"who":"ann","note":"new switch","since":"2026-11-21T06:00:00Z"},
        "waiting":{"held":3,"slots-full":12,"failed-input":0},"machines":{"quarantined":1}})"),
                                   kView);
    EXPECT_NE(text.find("paused by ann 10m ago: new switch; `penstock resume` ends it\n"), std::string::npos);
    EXPECT_NE(text.find("12 slots-full, 3 held\n"), std::string::npos) << text;
    EXPECT_NE(text.find("1 quarantined"), std::string::npos);
}

TEST(Records, QueuesAreFollowedByTheShareGroups)
{
    EXPECT_EQ(
        renderQueues(parse(R"({"queues":[{"key":"x86_64-linux+kvm","queued":5,"delayed":1,"running":2,"blocked":3,
        "oldest_ready":"2026-11-21T06:09:00Z","eligible_machines":4,"free_slots":6,
        "groups":[{"group":"b","queued":4},{"group":"a","queued":1}]}],
        "shares":[{"group":"a","shares":100,"used_seconds":90.5,"used_percent":25,"target_percent":50,
        "running":1,"queued":1}]})"),
                     kView),
        "QUEUE             QUEUED  DELAYED  BLOCKED  RUNNING  OLDEST WAIT  MACHINES  FREE SLOTS  QUEUED BY GROUP\n"
        "x86_64-linux+kvm       5        1        3        2          60s         4           6  b 4, a 1\n"
        "\n"
        "SHARE GROUP  SHARES  USED  OF ALL  TARGET  RUNNING  QUEUED\n"
        "a               100   90s  25.0 %  50.0 %        1       1\n");
    EXPECT_EQ(renderQueues(parse(R"({"queues":[],"shares":[]})"), kView), "");
}

TEST(Records, NamespacesShowTheirUseAgainstTheirLimits)
{
    EXPECT_EQ(renderNamespaces(parse(R"({"namespaces":[{"name":"n","max_running_steps":0,"max_queued_jobs":100,
        "max_cpus":8,"open_jobs":5,"running_steps":3,"running_cpus":6}],
        "shares":[{"group":"n","shares":50,"used_seconds":3,"used_percent":1.25}]})"),
                               kView),
              "NAMESPACE  OPEN JOBS  RUNNING STEPS    CPUS  SHARES  USED  OF ALL\n"
              "n           5 of 100              3  6 of 8      50  3.0s   1.2 %\n");
}

} // namespace
} // namespace penstock::client
