// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/server/routes_fixture.h"

namespace penstock::test {
namespace {

TEST_F(RoutesTest, SubmitsOneOrMany)
{
    EXPECT_EQ(ask(post("/api/v1/jobs", R"({"command":"a"})")).body, R"({"id":1})");
    const auto many = ask(post("/api/v1/jobs", R"([{"command":"a"},{"command":"b"}])"));
    EXPECT_EQ(many.status, 201U);
    EXPECT_EQ(many.body, R"({"ids":[2,3]})");
    EXPECT_EQ(ask(post("/api/v1/jobs", R"({"command":"a"})", "Idempotency-Key: k1\r\n")).status, 201U);
    EXPECT_EQ(gateway.submitted.back().spec.key, "k1");
    EXPECT_EQ(gateway.submitted.back().spec.user, "local");
    const auto key = "Idempotency-Key: " + std::string(201, 'k') + "\r\n";
    EXPECT_EQ(ask(post("/api/v1/jobs", R"({"command":"a"})", key)).status, 400U);
    EXPECT_EQ(ask(post("/api/v1/jobs", R"({"command":"a"})", "Idempotency-Key: \xff\r\n")).status, 400U);
}

TEST_F(RoutesTest, AnswersProblemsAsDocuments)
{
    const auto unknownKey = ask(post("/api/v1/jobs", R"([{"command":"a","affinity":{"oz":1}}])"));
    EXPECT_EQ(unknownKey.status, 422U);
    EXPECT_EQ(unknownKey.type, "application/problem+json");
    EXPECT_TRUE(has(unknownKey, R"x("detail":"jobs[0].affinity.oz: unknown key (did you mean \"os\"?)")x"));
    EXPECT_TRUE(has(unknownKey, R"("type":"about:blank")"));
    EXPECT_EQ(ask(post("/api/v1/jobs", "{")).status, 400U);
    EXPECT_TRUE(has(ask(get("/api/v1/jobs/42")), R"("detail":"no job 42")"));
    EXPECT_EQ(ask(get("/api/v1/jobs/abc")).status, 404U);
    EXPECT_EQ(ask(get("/api/v1/jobs/0")).status, 404U);
    EXPECT_EQ(ask(get("/api/v1/nothing")).status, 404U);
    EXPECT_EQ(ask(get("/")).status, 404U);
    const auto method = ask("DELETE /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_EQ(method.status, 405U);
    EXPECT_EQ(method.headers[0].second, "POST, GET, HEAD");
    EXPECT_EQ(ask("POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                  "text/plain\r\nContent-Length: 2\r\n\r\n{}")
                  .status,
              415U);
    EXPECT_TRUE(has(ask(get("/api/v1/jobs?stat=queued")), "did you mean"));
    EXPECT_EQ(ask(get("/api/v1/jobs?state=sleeping")).status, 400U);
    EXPECT_EQ(ask(get("/api/v1/jobs?limit=0")).status, 400U);
    EXPECT_EQ(ask(get("/api/v1/jobs?limit=1001")).status, 400U);
    EXPECT_EQ(ask(get("/api/v1/jobs?limit=1&limit=2")).status, 400U);
}

TEST_F(RoutesTest, ListsAndShowsJobs)
{
    ask(post("/api/v1/jobs", R"([{"command":"a","name":"x"},{"command":"b"},{"command":"c"}])"));
    const auto page = ask(get("/api/v1/jobs?limit=2"));
    EXPECT_TRUE(has(page, R"("next":2)")) << page.body;
    EXPECT_TRUE(has(ask(get("/api/v1/jobs?limit=2&before=2")), R"("next":null)"));
    const auto job = ask(get("/api/v1/jobs/1"));
    EXPECT_TRUE(has(job, R"("state":"queued","result":null,"exit_code":null,"signal":null)")) << job.body;
    EXPECT_TRUE(has(job, R"("definition":{"command":"a","name":"x"})"));
    EXPECT_TRUE(has(job, R"("created":"2023-11-14T22:13:20.000Z","started":null)"));
    EXPECT_TRUE(has(ask(get("/api/v1/jobs/1/steps")), R"("root":true)"));
    EXPECT_EQ(ask(get("/api/v1/jobs/9/steps")).status, 404U);
    EXPECT_EQ(ask(get("/api/v1/jobs/9/runs")).status, 404U);
    EXPECT_EQ(ask(get("/api/v1/steps/9")).status, 404U);
    EXPECT_EQ(ask(get("/api/v1/steps?state=queued")).status, 200U);
}

TEST_F(RoutesTest, ChangesJobsInTheNameOfThePeer)
{
    ask(post("/api/v1/jobs", R"({"command":"a"})"));
    EXPECT_EQ(ask(post("/api/v1/jobs/1/cancel", "")).body, R"({"id":1})");
    EXPECT_EQ(ask(post("/api/v1/jobs/5/cancel", "")).status, 404U);
    EXPECT_EQ(ask(post("/api/v1/jobs/1/retry", "")).status, 409U);
    EXPECT_EQ(gateway.calls.front(), "cancel 1 by local");
}

TEST_F(RoutesTest, ServesLogsInBothForms)
{
    gateway.logs[5] = "hello world\n";
    const auto text = ask(get("/api/v1/runs/5/log?offset=6&limit=3"));
    EXPECT_EQ(text.body, "wor");
    const std::vector<std::pair<std::string, std::string>> headers{
        {"X-Log-Offset", "6"}, {"X-Log-Next", "9"}, {"X-Log-Size", "12"}, {"X-Log-Ended", "false"}};
    EXPECT_EQ(text.headers, headers);
    gateway.logs[6] = "\xff\xfe";
    const auto binary = ask(get("/api/v1/runs/6/log?format=json"));
    EXPECT_TRUE(has(binary, R"("data":"//4=","base64":true)")) << binary.body;
    EXPECT_TRUE(has(binary, R"("next":2,"size":2,"ended":true)"));
    EXPECT_EQ(ask(get("/api/v1/runs/7/log")).status, 404U);
    EXPECT_EQ(ask(get("/api/v1/runs/5/log?limit=1048577")).status, 400U);
    EXPECT_EQ(ask(get("/api/v1/runs/5/log?format=xml")).status, 400U);
    EXPECT_TRUE(has(ask(get("/api/v1/runs/5")), R"("exit_code":0)"));
}

TEST_F(RoutesTest, ShowsAndDrainsMachines)
{
    EXPECT_TRUE(has(ask(get("/api/v1/machines")), R"("name":"m1","state":"ready")"));
    EXPECT_EQ(ask(get("/api/v1/machines/none")).status, 404U);
    EXPECT_EQ(ask(post("/api/v1/machines/m1/drain", R"({"note":"mend"})")).status, 200U);
    EXPECT_EQ(ask(post("/api/v1/machines/m1/undrain", "")).status, 200U);
    EXPECT_EQ(gateway.calls, (std::vector<std::string>{"drain m1 mend", "undrain m1 "}));
    EXPECT_EQ(ask(post("/api/v1/machines/m1/drain", R"({"not":"x"})")).status, 422U);
}

TEST_F(RoutesTest, TellsItsHealth)
{
    EXPECT_EQ(ask(get("/healthz")).body, "ok\n");
    EXPECT_EQ(ask(get("/readyz")).status, 200U);
    gateway.isReady = false;
    EXPECT_EQ(ask(get("/readyz")).status, 503U);
    EXPECT_TRUE(has(ask(get("/api/v1/status")), R"("healthy":true)"));
    EXPECT_EQ(ask(get("/metrics/")).status, 200U); // as with Hydra's runner
    const auto metrics = ask(get("/metrics"));
    EXPECT_TRUE(has(metrics, "penstock_up 1\n"));
    EXPECT_TRUE(has(metrics, "penstock_http_requests_total{status=\"503\"} 1\n"));
}

TEST_F(RoutesTest, MakesTokensAndShowsTheSecretOnce)
{
    const auto made = ask(post("/api/v1/tokens", R"({"kind":"builder","name":"b","expires":"2099-01-01"})"));
    EXPECT_EQ(made.status, 201U);
    EXPECT_TRUE(has(made, R"("token":"pst_)"));
    const auto list = ask(get("/api/v1/tokens"));
    EXPECT_FALSE(has(list, "pst_"));
    EXPECT_FALSE(has(list, gateway.tokens[0].hash));
    EXPECT_EQ(ask(post("/api/v1/tokens/" + gateway.tokens[0].id + "/revoke", "")).status, 200U);
    EXPECT_EQ(ask(post("/api/v1/tokens/none/revoke", "")).status, 404U);
    for (const auto bad : {R"({"kind":"root","name":"b"})", R"({"kind":"client"})",
                           R"({"kind":"client","name":"c","expires":"never"})"})
        EXPECT_EQ(ask(post("/api/v1/tokens", bad)).status, 422U) << bad;
}

TEST_F(RoutesTest, ServesHydraJobsClients)
{
    const auto redirect = ask(post("/jobs", "{}"));
    EXPECT_EQ(redirect.status, 307U);
    EXPECT_EQ(redirect.headers[0].second, "/jobs/");
    const auto missing = ask(post("/jobs/", R"({"name":"n","user":"u"})"));
    EXPECT_EQ(missing.status, 422U);
    EXPECT_TRUE(
        has(missing, R"({"loc":["body","affinity"],"msg":"field required","type":"value_error.missing"})"));
    EXPECT_TRUE(has(missing, R"("loc":["body","command"])"));
    const auto bad = ask(post("/jobs/", R"({"name":"n","user":"u","affinity":{"oz":[]},"command":"c"})"));
    EXPECT_TRUE(has(bad, R"("loc":["body","affinity","oz"])")) << bad.body;
    const auto stored = ask(
        post("/jobs/", R"({"name":"n","user":"u","affinity":{"os":["linux"]},"command":"c","timeout":5})"));
    EXPECT_EQ(stored.status, 200U);
    EXPECT_EQ(stored.body,
              R"({"_id":"1","name":"n","user":"u","affinity":{"os":["linux"],"tags":[],"allowed_users":[]},)"
              R"("command":"c","shell":"bash","retries":0,"timeout":5,"schedule":null,)"
              R"("created_at":"2023-11-14T22:13:20.000000","updated_at":"2023-11-14T22:13:20.000000"})");
    EXPECT_EQ(ask(get("/jobs/1")).body, stored.body);
    EXPECT_EQ(ask(get("/jobs/")).body, "[" + stored.body + "]");
    const auto none = ask(get("/jobs/99"));
    EXPECT_EQ(none.status, 404U);
    EXPECT_EQ(none.body, R"({"detail":"job not found"})");
    EXPECT_EQ(ask(get("/jobs/99/runs")).body, "[]");
    gateway.logs[3] = "out";
    const auto runs = ask(get("/jobs/1/runs"));
    EXPECT_TRUE(has(runs, R"("status":"success","returncode":0,"stdout":"out","stderr":"")")) << runs.body;
    EXPECT_TRUE(has(ask(get("/workers/")), R"("worker_id":"m1","os":"linux")"));
    EXPECT_TRUE(has(ask(get("/workers/")), R"("last_heartbeat":1.5,"status":"online")"));
    EXPECT_TRUE(has(ask(get("/health")), R"({"status":"ok","workers":0,"pending_jobs":0})"));
}

} // namespace
} // namespace penstock::test
