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

TEST(Records, ShowNothingForMissingAndOddFields)
{
    EXPECT_EQ(
        renderList(RecordKind::Machine, {parse(R"({"id":"x","load":null,"systems":7})")}, kView).find("null"),
        std::string::npos);
    for (const auto render : {renderJob, renderMachine, renderStatus, renderExplain})
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
        "reasons":[{"code":"no_free_slot","text":"0 of 2 slots free","machine":"b1"}],"change":"a slot"}]})"),
                            kView),
              "job 7: queued\n  step 9 x  . ready\n    * b1: 0 of 2 slots free\n    => a slot\n");
}

} // namespace
} // namespace penstock::client
