// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/jobs/job_spec.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace penstock::jobs {
namespace {

const Submitter kSubmitter{"rich", {}};

std::string withField(const std::string& field)
{
    return R"({"name":"n","command":"true")" + (field.empty() ? "" : "," + field) + "}";
}

Result<ParsedJob> parse(const std::string& json)
{
    PENSTOCK_TRY(auto submission, parseSubmission(json, kSubmitter));
    return std::move(submission.jobs.front());
}

std::string errorOf(const std::string& json)
{
    const auto parsed = parse(json);
    return parsed ? std::string("accepted") : parsed.error().message;
}

TEST(JobSpec, ReadsEveryFieldOfTheContract)
{
    const auto job = parse(R"({ "name": "test-echo", "user": "rich", "namespace": "default",
        "command": "echo 'hello world'", "shell": "bash", "env": {"K": "V"}, "workdir_files": [],
        "executor": "command", "image": null, "sandbox": false,
        "affinity": { "os": ["Linux"], "tags": ["b","A","a"], "allowed_users": ["rich"], "systems": ["x86_64-linux"],
                      "features": ["kvm"], "machines": ["m1"] },
        "resources": { "cpus": 2, "memory": "512MiB" },
        "priority": -7, "shares_group": "group", "depends_on": [], "key": "once",
        "retries": 3, "backoff": { "initial": "60s", "factor": 2, "max": "1h", "jitter": 0.25 },
        "timeout": 10, "silent_timeout": "5m", "max_log": "1MiB",
        "artifacts": [], "schedule": null, "array": null, "template": null })");
    ASSERT_TRUE(job) << job.error().message;
    EXPECT_EQ(job->spec.name, "test-echo");
    EXPECT_EQ(job->spec.shareGroup, "group");
    EXPECT_EQ(job->spec.priority, -7);
    EXPECT_EQ(job->spec.key, "once");
    ASSERT_EQ(job->steps.size(), 1U);
    const auto& step = job->steps[0].spec;
    EXPECT_TRUE(job->steps[0].root);
    EXPECT_EQ(step.placement.system, "x86_64-linux");
    EXPECT_EQ(step.placement.os, std::vector<std::string>{"linux"});
    EXPECT_EQ(step.placement.tags, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(step.placement.user, "rich");
    EXPECT_EQ(step.placement.executor, "command");
    EXPECT_EQ(step.resources.cpus, 2U);
    EXPECT_EQ(step.resources.memoryBytes, 512U << 20U);
    EXPECT_EQ(step.retry.retries, 3U);
    EXPECT_EQ(step.retry.factor, 2U);
    EXPECT_EQ(step.retry.jitterPercent, 25U);
    EXPECT_EQ(job->spec.limits.timeout, std::chrono::seconds(10));
    EXPECT_EQ(job->spec.limits.silentTimeout, std::chrono::minutes(5));
    EXPECT_EQ(job->spec.limits.maxLogBytes, 1U << 20U);
    const auto& work = std::get<work::CommandWork>(*step.work);
    EXPECT_EQ(work.argv, (std::vector<std::string>{"bash", "-c", "echo 'hello world'"}));
    EXPECT_EQ(work.env.at("K"), "V");
}

TEST(JobSpec, FillsInDefaults)
{
    const auto job = parse(R"({"command":["printf","%s\n","a b"]})");
    ASSERT_TRUE(job) << job.error().message;
    EXPECT_EQ(job->spec.name, "printf %s\n a b"[0] == 'p' ? job->spec.name : "");
    EXPECT_EQ(job->spec.name, "printf %s");
    EXPECT_EQ(job->spec.user, "rich");
    EXPECT_EQ(job->spec.nameSpace, "default");
    EXPECT_EQ(job->spec.shareGroup, "default");
    EXPECT_EQ(job->spec.limits.maxLogBytes, kDefaultLogBytes);
    EXPECT_EQ(std::get<work::CommandWork>(*job->steps[0].spec.work).argv.size(), 3U);
    EXPECT_EQ(job->spec.definition, R"({"command":["printf","%s\n","a b"]})");
}

TEST(JobSpec, TakesTheHydraJobsSubsetAsItIs)
{
    const auto job = parse(R"({"name":"a","user":"b","affinity":{"os":["linux"],"tags":[],"allowed_users":[]},
        "command":"true","shell":"bash","retries":0,"timeout":0,"schedule":null})");
    EXPECT_TRUE(job) << job.error().message;
}

TEST(JobSpec, TakesAnyResourceByNameUpToSixteen)
{
    const auto job = parse(withField(R"("resources":{"gpu":2,"licence/x":1099511627776,"none":null})"));
    ASSERT_TRUE(job) << job.error().message;
    const auto& resources = job->steps[0].spec.resources;
    EXPECT_EQ(resources.cpus, 0U);
    EXPECT_EQ(resources.memoryBytes, 0U);
    EXPECT_EQ(resources.named, (std::map<std::string, std::uint64_t>{{"gpu", 2}, {"licence/x", 1ULL << 40U}}));
    std::string many;
    for (int at = 0; at < 16; ++at)
        many += fmt::format("\"r{}\":1,", at);
    EXPECT_TRUE(parse(withField(fmt::format(R"("resources":{{{}"cpus":1}})", many))));
    EXPECT_EQ(errorOf(withField(fmt::format(R"("resources":{{{}"r16":1}})", many))),
              "resources: has 17 named amounts beside cpus and memory, more than the limit of 16");
}

TEST(JobSpec, ReadsConcurrencyAndTheLimitOfOutputs)
{
    const auto job = parse(withField(R"("concurrency":{"group":"deploy","limit":3},"max_output":"1GiB")"));
    ASSERT_TRUE(job) << job.error().message;
    EXPECT_EQ(job->spec.concurrencyGroup, "deploy");
    EXPECT_EQ(job->spec.concurrencyLimit, 3U);
    EXPECT_EQ(job->spec.limits.maxOutputBytes, 1U << 30U);
    EXPECT_EQ(parse(withField(R"("concurrency":{"group":"deploy"})"))->spec.concurrencyLimit, 1U);
    const auto plain = parse(withField(""));
    EXPECT_EQ(plain->spec.concurrencyLimit, 0U);
    EXPECT_EQ(plain->spec.limits.maxOutputBytes, 0U);
}

struct Refusal {
    std::string field;
    std::string says;
};

class JobSpecRefusal : public ::testing::TestWithParam<Refusal> {};

TEST_P(JobSpecRefusal, NamesTheFieldAndTheLimit)
{
    const auto message = errorOf(withField(GetParam().field));
    EXPECT_NE(message.find(GetParam().says), std::string::npos) << message;
}

const Refusal kRefusals[] = {
    {R"("affinity":{"oz":[]})", R"(affinity.oz: unknown key (did you mean "os"?))"},
    {R"("prioritty":1)", R"(prioritty: unknown key (did you mean "priority"?))"},
    {R"("zzzzzzzz":1)", "zzzzzzzz: unknown key"},
    {R"("name":"again")", "name: given twice"},
    {R"("priority":1000001)", "priority: must be from -1000000 to 1000000, not 1000001"},
    {R"("priority":1.5)", "priority: must be a whole number"},
    {R"("priority":"high")", "priority: must be a whole number"},
    {R"("priority":99999999999999999999)", "priority: must be a whole number"},
    {R"("retries":-1)", "retries: must be from 0 to 1000, not -1"},
    {R"("retries":1001)", "retries: must be from 0 to 1000, not 1001"},
    {R"("timeout":-1)", "timeout: must be from 0s"},
    {R"("timeout":1e300)", "timeout: must be from 0s"},
    {R"("timeout":"soon")", "timeout: \"soon\" is no duration"},
    {R"("silent_timeout":[])", "silent_timeout: must be a number of seconds"},
    {R"("max_log":0)", "max_log: must be from 1 to"},
    {R"("max_log":"65GiB")", "max_log: must be from 1 to"},
    {R"("max_log":"much")", "max_log: must be a number of bytes"},
    {R"("resources":{"cpus":0})", "resources.cpus: must be from 1 to 4096"},
    {R"("resources":{"cpus":4097})", "resources.cpus: must be from 1 to 4096, not 4097"},
    {R"("resources":{"cpus":1.5})", "resources.cpus: must be a whole number"},
    {R"("resources":{"gpu":0})", "resources.gpu: must be from 1 to 1099511627776, not 0"},
    {R"("resources":{"gpu":1099511627777})", "resources.gpu: must be from 1 to 1099511627776, not 1099511627777"},
    {R"("resources":{"gpu":"1"})", "resources.gpu: must be a whole number"},
    {R"("resources":{"gpu":1,"gpu":2})", "resources.gpu: given twice"},
    {R"("resources":{"a b":1})", "resources.a b: a resource's name must have"},
    {R"("resources":{"":1})", "a resource's name must have 1 to 100"},
    {R"("max_output":0)", "max_output: must be from 1 to"},
    {R"("concurrency":"g")", "concurrency: must be an object"},
    {R"("concurrency":{})", "concurrency.group: is missing"},
    {R"("concurrency":{"group":"a b"})", "concurrency.group: \"a b\" must be made of"},
    {R"("concurrency":{"group":"g","limit":0})", "concurrency.limit: must be from 1 to 1000000, not 0"},
    {R"("concurrency":{"group":"g","limits":1})", "concurrency.limits: unknown key (did you mean \"limit\"?)"},
    {R"("resources":[])", "resources: must be an object"},
    {R"("backoff":{"factor":0})", "backoff.factor: must be from 1 to 100"},
    {R"("backoff":{"jitter":1.5})", "backoff.jitter: must be a number from 0 to 1"},
    {R"("backoff":{"initial":"99999h"})", "backoff.initial: must be from"},
    {R"("user":"a b")", "user: \"a b\" must be made of"},
    {R"("user":"")", "user: \"\" must be made of"},
    {R"("namespace":7)", "namespace: must be text"},
    {R"("key":"")", "key: must not be empty"},
    {R"("env":[])", "env: must be an object"},
    {R"("env":{"A B":"c"})", "env.A B: is no variable name"},
    {R"("env":{"1A":"c"})", "env.1A: is no variable name"},
    {R"("env":{"A":1})", "env.A: must be text"},
    {R"("env":{"A":"1","A":"2"})", "env.A: given twice"},
    {R"("env":{"A":"\u0000"})", "env.A: must be text without NUL"},
    {R"("env":{"PENSTOCK_JOB_ID":"1"})", "env.PENSTOCK_JOB_ID: names beginning with PENSTOCK_"},
    {R"("affinity":{"allowed_users":["ann"]})", "affinity.allowed_users: does not list \"rich\""},
    {R"("affinity":{"systems":["a","b"]})", "affinity.systems: has 2 entries"},
    {R"("affinity":{"os":"linux"})", "affinity.os: must be a list"},
    {R"("affinity":{"os":[""]})", "affinity.os[0]: must be text"},
    {R"("shell":"cmd")", "shell: \"cmd\" is not available"},
    {R"("executor":"container")", "executor: must be \"command\" here"},
    {R"("image":"debian")", "image: is not available in this version"},
    {R"("sandbox":true)", "sandbox: is not available in this version"},
    {R"("schedule":"* * * * *")", "schedule: is not available"},
    {R"("array":{"count":3})", "array: is not available"},
    {R"("template":"t")", "template: is not available"},
    {R"("workdir_files":["a"])", "workdir_files: is not available"},
    {R"("artifacts":["a"])", "artifacts: is not available"},
    {R"("depends_on":[1])", "depends_on: is not available"},
    {R"("drv":"/nix/store/x.drv")", "drv: cannot be given together"},
};
INSTANTIATE_TEST_SUITE_P(Fields, JobSpecRefusal, ::testing::ValuesIn(kRefusals));

TEST(JobSpec, NeedsACommand)
{
    EXPECT_NE(errorOf("{}").find("command: is missing"), std::string::npos);
    EXPECT_NE(errorOf(R"({"command":"  "})").find("command: must not be empty"), std::string::npos);
    EXPECT_NE(errorOf(R"({"command":[]})").find("command: has 0 arguments"), std::string::npos);
    EXPECT_NE(errorOf(R"({"command":[""]})").find("command[0]: must name a program"), std::string::npos);
    EXPECT_NE(errorOf(R"({"command":["a",1]})").find("command[1]: must be text"), std::string::npos);
    EXPECT_NE(errorOf(R"({"drv":"/nix/store/x.drv"})").find("penstock build"), std::string::npos);
    EXPECT_NE(errorOf("7").find("must be an object"), std::string::npos);
    EXPECT_NE(errorOf("{").find("accepted"), 0U);
}

// Each limit is good at N and refused at N + 1.
TEST(JobSpec, HoldsItsLimitsExactly)
{
    const auto times = [](std::size_t count, const auto& make) {
        std::string out;
        for (std::size_t at = 0; at < count; ++at)
            out += (at == 0 ? "" : ",") + make(at);
        return out;
    };
    const auto name = [](std::size_t size) {
        return fmt::format(R"({{"command":"a","name":"{}"}})", std::string(size, 'n'));
    };
    EXPECT_EQ(errorOf(name(kMaxNameBytes)), "accepted");
    EXPECT_NE(errorOf(name(kMaxNameBytes + 1)).find("name: has 201 bytes"), std::string::npos);
    const auto key = [](std::size_t size) {
        return withField(fmt::format(R"("key":"{}")", std::string(size, 'k')));
    };
    EXPECT_EQ(errorOf(key(kMaxKeyBytes)), "accepted");
    EXPECT_NE(errorOf(key(kMaxKeyBytes + 1)), "accepted");
    const auto command = [](std::size_t size) {
        return fmt::format(R"({{"command":"{}"}})", std::string(size, 'c'));
    };
    EXPECT_EQ(errorOf(command(kMaxCommandBytes)), "accepted");
    EXPECT_NE(errorOf(command(kMaxCommandBytes + 1)), "accepted");
    const auto argv = [&](std::size_t count) {
        return "{\"command\":[" + times(count, [](std::size_t) { return std::string("\"a\""); }) + "]}";
    };
    EXPECT_EQ(errorOf(argv(kMaxArguments)), "accepted");
    EXPECT_NE(errorOf(argv(kMaxArguments + 1)), "accepted");
    const auto env = [&](std::size_t count) {
        return withField("\"env\":{" +
                         times(count, [](std::size_t at) { return fmt::format("\"V{}\":\"\"", at); }) + "}");
    };
    EXPECT_EQ(errorOf(env(kMaxEnvEntries)), "accepted");
    EXPECT_NE(errorOf(env(kMaxEnvEntries + 1)).find("env: has 1001 entries"), std::string::npos);
    const auto envBytes = [](std::size_t size) {
        return withField(fmt::format(R"("env":{{"V":"{}"}})", std::string(size - 1, 'e')));
    };
    EXPECT_EQ(errorOf(envBytes(kMaxEnvBytes)), "accepted");
    EXPECT_NE(errorOf(envBytes(kMaxEnvBytes + 1)).find("env: has 131073 bytes"), std::string::npos);
    const auto tags = [&](std::size_t count) {
        return withField("\"affinity\":{\"tags\":[" +
                         times(count, [](std::size_t) { return std::string("\"t\""); }) + "]}");
    };
    EXPECT_EQ(errorOf(tags(kMaxAffinityEntries)), "accepted");
    EXPECT_NE(errorOf(tags(kMaxAffinityEntries + 1)), "accepted");
    const auto batch = [&](std::size_t count) {
        return "[" + times(count, [](std::size_t) { return std::string(R"({"command":"a"})"); }) + "]";
    };
    EXPECT_EQ(errorOf(batch(kMaxJobsAtOnce)), "accepted");
    EXPECT_NE(errorOf(batch(kMaxJobsAtOnce + 1)).find("jobs: has 10001 entries"), std::string::npos);
    EXPECT_NE(errorOf("[]").find("jobs: has 0 entries"), std::string::npos);
}

TEST(JobSpec, TakesAllOrNoneOfABatchAndNamesTheBadOne)
{
    const auto good = parseSubmission(R"({"jobs":[{"command":"a"},{"command":"b"}]})", {"rich", "key"});
    ASSERT_TRUE(good);
    EXPECT_TRUE(good->isList);
    EXPECT_EQ(good->jobs.size(), 2U);
    EXPECT_EQ(good->jobs[0].spec.key, "");
    EXPECT_EQ(parseSubmission(R"({"command":"a"})", {"rich", "key"})->jobs[0].spec.key, "key");
    EXPECT_EQ(errorOf(R"([{"command":"a"},{"command":"b","affinity":{"oz":1}}])"),
              R"(jobs[1].affinity.oz: unknown key (did you mean "os"?))");
}

TEST(JobSpec, KeepsNoDefinitionAboveItsLimit)
{
    const auto job = parse(fmt::format(R"({{"command":"{}"}})", std::string(kMaxDefinitionBytes, 'c')));
    ASSERT_TRUE(job);
    EXPECT_LE(job->spec.definition.size(), kMaxDefinitionBytes);
}

TEST(JobSpec, RefusesACommandInTheFrameOfABuild)
{
    EXPECT_TRUE(parseJobFrame("", kSubmitter));
    EXPECT_TRUE(parseJobFrame(R"({"name":"b","priority":3,"executor":"nix"})", kSubmitter));
    EXPECT_FALSE(parseJobFrame(R"({"command":"a"})", kSubmitter));
    EXPECT_FALSE(parseJobFrame(R"({"executor":"command"})", kSubmitter));
}

} // namespace
} // namespace penstock::jobs
