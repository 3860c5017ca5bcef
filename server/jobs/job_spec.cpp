// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/jobs/job_spec.h"

#include "server/jobs/job_needs.h"
#include "server/jobs/json_text.h"
#include "server/jobs/object_reader.h"
#include "shared/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

namespace penstock::jobs {
namespace {

constexpr std::array<std::string_view, 28> kJobKeys{
    "name",         "user",       "namespace", "command",   "drv",         "shell",     "env",
    "workdir_files", "executor",  "image",     "sandbox",   "affinity",    "resources", "priority",
    "shares_group", "depends_on", "key",       "retries",   "backoff",     "timeout",   "silent_timeout",
    "max_log",      "max_output", "artifacts", "schedule",  "concurrency", "array",     "template"};
constexpr std::array<std::string_view, 6> kAffinityKeys{"os",      "tags",     "allowed_users",
                                                        "systems", "features", "machines"};

bool hasControlCharacter(std::string_view text)
{
    return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

void sortUnique(std::vector<std::string>& texts)
{
    std::ranges::sort(texts);
    texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
}

// ------------------------------------------------------------------------------------------ what comes later

Result<void> refuseLater(const ObjectReader& job)
{
    for (const std::string_view key : {"image", "schedule", "array", "template"}) {
        if (job.find(key))
            return job.refuse(key, "is not available in this version; leave it out or null");
    }
    for (const std::string_view key : {"workdir_files", "artifacts", "depends_on"}) {
        const auto* value = job.find(key);
        if (!value)
            continue;
        const auto* items = value->asArray();
        if (!items)
            return job.refuse(key, "must be a list");
        if (!items->empty())
            return job.refuse(key, "is not available in this version; leave it out or empty");
    }
    PENSTOCK_TRY(const auto sandbox, job.flag("sandbox"));
    if (sandbox.value_or(false))
        return job.refuse("sandbox", "is not available in this version; leave it out or false");
    return {};
}

// ------------------------------------------------------------------------------------------------- parts

Result<void> readIdentity(const ObjectReader& job, const Submitter& submitter, work::JobSpec& spec)
{
    PENSTOCK_TRY(auto name, job.text("name", kMaxNameBytes));
    if (name && (trim(*name).empty() || hasControlCharacter(*name)))
        return job.refuse("name", "must have a visible character and no control characters");
    spec.name = std::move(name).value_or("");
    PENSTOCK_TRY(auto user, job.word("user", kMaxWordBytes));
    spec.user = std::move(user).value_or(submitter.user);
    PENSTOCK_TRY(auto nameSpace, job.word("namespace", kMaxWordBytes));
    spec.nameSpace = std::move(nameSpace).value_or("default");
    PENSTOCK_TRY(auto group, job.word("shares_group", kMaxWordBytes));
    spec.shareGroup = std::move(group).value_or(spec.nameSpace);
    PENSTOCK_TRY(const auto priority, job.integer("priority", -kMaxPriority, kMaxPriority));
    spec.priority = static_cast<std::int32_t>(priority.value_or(0));
    PENSTOCK_TRY(auto key, job.text("key", kMaxKeyBytes));
    if (key && (key->empty() || hasControlCharacter(*key)))
        return job.refuse("key", "must not be empty and have no control characters");
    spec.key = std::move(key).value_or(submitter.idempotencyKey);
    return {};
}

Result<void> readAffinity(const ObjectReader& job, const std::string& user, work::Placement& placement)
{
    placement.user = user;
    const auto* value = job.find("affinity");
    if (!value)
        return {};
    PENSTOCK_TRY(const auto affinity, ObjectReader::open(*value, job.pathOf("affinity"), kAffinityKeys));
    const auto list = [&](std::string_view key) { return affinity.texts(key, kMaxAffinityEntries, kMaxWordBytes); };
    PENSTOCK_TRY(auto os, list("os"));
    PENSTOCK_TRY(auto tags, list("tags"));
    for (auto* texts : {&os, &tags}) {
        for (auto& text : *texts)
            text = toLower(text);
    }
    PENSTOCK_TRY(auto users, list("allowed_users"));
    if (!users.empty() && std::ranges::find(users, user) == users.end())
        return affinity.refuse("allowed_users", fmt::format("does not list \"{}\", the job's user", user));
    PENSTOCK_TRY(auto systems, list("systems"));
    if (systems.size() > 1)
        return affinity.refuse("systems", fmt::format("has {} entries; this version takes one", systems.size()));
    PENSTOCK_TRY(placement.features, list("features"));
    PENSTOCK_TRY(placement.machines, list("machines"));
    placement.system = systems.empty() ? "" : systems.front();
    placement.os = std::move(os);
    placement.tags = std::move(tags);
    for (auto* texts : {&placement.os, &placement.tags, &placement.features, &placement.machines})
        sortUnique(*texts);
    return {};
}

// ------------------------------------------------------------------------------------------------ command

Result<std::vector<std::string>> readArguments(const ObjectReader& job, const nix::JsonValue::Array& items)
{
    if (items.empty() || items.size() > kMaxArguments)
        return job.refuse("command", fmt::format("has {} arguments; 1 to {} are allowed", items.size(),
                                                 kMaxArguments));
    std::vector<std::string> argv;
    for (const auto& item : items) {
        const auto where = fmt::format("command[{}]", argv.size());
        const auto* text = item.asString();
        if (!text || !isPlainText(*text))
            return job.refuse(where, "must be text without NUL characters");
        if (text->size() > kMaxCommandBytes)
            return job.refuse(where, fmt::format("has {} bytes, more than the limit of {}", text->size(),
                                                 kMaxCommandBytes));
        argv.push_back(*text);
    }
    if (argv.front().empty())
        return job.refuse("command[0]", "must name a program");
    return argv;
}

Result<std::vector<std::string>> readCommand(const ObjectReader& job)
{
    PENSTOCK_TRY(const auto shell, job.text("shell", kMaxWordBytes));
    if (shell && *shell != "bash" && *shell != "sh")
        return job.refuse("shell", fmt::format("\"{}\" is not available; use \"bash\" or \"sh\"", *shell));
    const auto* value = job.find("command");
    if (!value && job.find("drv"))
        return job.refuse("drv", "is submitted with `penstock build`, which sends the derivations along; here a "
                                 "job needs command");
    if (!value)
        return job.refuse("command", "is missing; a job needs command");
    if (job.find("drv"))
        return job.refuse("drv", "cannot be given together with command");
    if (const auto* items = value->asArray())
        return readArguments(job, *items);
    PENSTOCK_TRY(const auto text, job.text("command", kMaxCommandBytes));
    if (!text || trim(*text).empty())
        return job.refuse("command", "must not be empty");
    return std::vector<std::string>{shell.value_or("bash"), "-c", *text};
}

bool isVariableName(std::string_view name)
{
    return !name.empty() && !(name.front() >= '0' && name.front() <= '9') && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    });
}

Result<std::map<std::string, std::string>> readEnv(const ObjectReader& job)
{
    std::map<std::string, std::string> env;
    const auto* value = job.find("env");
    if (!value)
        return env;
    const auto* members = value->asObject();
    if (!members)
        return job.refuse("env", "must be an object of texts");
    if (members->size() > kMaxEnvEntries)
        return job.refuse("env", fmt::format("has {} entries, more than the limit of {}", members->size(),
                                             kMaxEnvEntries));
    std::size_t bytes = 0;
    for (const auto& [name, member] : *members) {
        const auto where = "env." + toValidUtf8(name.substr(0, kMaxWordBytes));
        const auto* text = member.asString();
        if (!isVariableName(name))
            return job.refuse(where, "is no variable name; use letters, digits and _, not a digit first");
        if (name.starts_with("PENSTOCK_"))
            return job.refuse(where, "names beginning with PENSTOCK_ are set by the builder");
        if (!text || !isPlainText(*text))
            return job.refuse(where, "must be text without NUL characters");
        bytes += name.size() + text->size();
        if (!env.emplace(name, *text).second)
            return job.refuse(where, "given twice; give it once");
    }
    if (bytes > kMaxEnvBytes)
        return job.refuse("env", fmt::format("has {} bytes, more than the limit of {}", bytes, kMaxEnvBytes));
    return env;
}

// A job without a name is called by its command: the first line of it, as much as fits.
std::string nameFromCommand(const std::vector<std::string>& argv)
{
    const bool shell = argv.size() == 3 && argv[1] == "-c";
    const std::string all = shell ? argv[2] : join(argv, " ");
    std::string name(trim(std::string_view(all).substr(0, std::min(all.find('\n'), std::size_t{60}))));
    for (char& c : name)
        c = hasControlCharacter(std::string_view(&c, 1)) ? ' ' : c;
    // A cut through a character leaves it ill-formed.
    while (!name.empty() && !isUtf8(name))
        name.pop_back();
    return name.empty() ? "job" : name;
}

std::string definitionOf(const nix::JsonValue& value)
{
    auto text = renderJson(value);
    if (text.size() > kMaxDefinitionBytes)
        return fmt::format("{{\"too_large_to_keep\":true,\"bytes\":{}}}", text.size());
    return text;
}

Result<JobFrame> readFrame(const ObjectReader& job, const Submitter& submitter)
{
    JobFrame frame;
    PENSTOCK_TRY_VOID(refuseLater(job));
    PENSTOCK_TRY_VOID(readIdentity(job, submitter, frame.spec));
    PENSTOCK_TRY_VOID(readAffinity(job, frame.spec.user, frame.placement));
    PENSTOCK_TRY(frame.resources, readResources(job));
    PENSTOCK_TRY(frame.spec.limits, readLimits(job));
    PENSTOCK_TRY(frame.retry, readRetry(job));
    PENSTOCK_TRY_VOID(readConcurrency(job, frame.spec));
    return frame;
}

Result<void> checkExecutor(const ObjectReader& job, std::string_view expected)
{
    PENSTOCK_TRY(const auto executor, job.text("executor", kMaxWordBytes));
    if (executor && *executor != expected)
        return job.refuse("executor", fmt::format("must be \"{}\" here, not \"{}\"", expected, *executor));
    return {};
}

Result<const nix::JsonValue::Array*> listOf(const nix::JsonValue& document)
{
    if (const auto* array = document.asArray())
        return array;
    const auto* object = document.asObject();
    const bool wraps = object && std::ranges::any_of(*object, [](const auto& each) { return each.first == "jobs"; });
    if (!wraps)
        return nullptr;
    constexpr std::array<std::string_view, 1> kKeys{"jobs"};
    PENSTOCK_TRY(const auto reader, ObjectReader::open(document, {}, kKeys));
    const auto* jobs = reader.find("jobs");
    if (!jobs || !jobs->asArray())
        return reader.refuse("jobs", "must be a list of jobs");
    return jobs->asArray();
}

} // namespace

Result<ParsedJob> parseJob(const nix::JsonValue& value, std::string path, const Submitter& submitter)
{
    PENSTOCK_TRY(const auto job, ObjectReader::open(value, std::move(path), kJobKeys));
    PENSTOCK_TRY_VOID(checkExecutor(job, "command"));
    PENSTOCK_TRY(auto frame, readFrame(job, submitter));
    work::CommandWork work;
    PENSTOCK_TRY(work.argv, readCommand(job));
    PENSTOCK_TRY(work.env, readEnv(job));

    ParsedJob parsed;
    parsed.spec = std::move(frame.spec);
    if (parsed.spec.name.empty())
        parsed.spec.name = nameFromCommand(work.argv);
    parsed.spec.definition = definitionOf(value);
    ParsedStep step;
    step.spec.name = parsed.spec.name;
    step.spec.placement = std::move(frame.placement);
    step.spec.placement.executor = "command";
    step.spec.retry = frame.retry;
    step.spec.resources = frame.resources;
    step.spec.work = std::make_shared<const work::Work>(std::move(work));
    parsed.steps.push_back(std::move(step));
    return parsed;
}

Result<Submission> parseSubmission(std::string_view json, const Submitter& submitter)
{
    PENSTOCK_TRY(const auto document, nix::parseJson(json));
    PENSTOCK_TRY(const auto* list, listOf(document));
    Submission submission;
    if (!list) {
        PENSTOCK_TRY(auto job, parseJob(document, {}, submitter));
        submission.jobs.push_back(std::move(job));
        return submission;
    }
    submission.isList = true;
    if (list->empty() || list->size() > kMaxJobsAtOnce)
        return fail(ErrorCode::Invalid, fmt::format("jobs: has {} entries; 1 to {} are allowed at once",
                                                    list->size(), kMaxJobsAtOnce));
    // One key cannot be the key of several jobs.
    const Submitter each{submitter.user, {}};
    for (std::size_t at = 0; at < list->size(); ++at) {
        PENSTOCK_TRY(auto job, parseJob((*list)[at], fmt::format("jobs[{}]", at), each));
        submission.jobs.push_back(std::move(job));
    }
    return submission;
}

Result<JobFrame> parseJobFrame(std::string_view json, const Submitter& submitter)
{
    PENSTOCK_TRY(const auto document, nix::parseJson(json.empty() ? std::string_view("{}") : json));
    PENSTOCK_TRY(const auto job, ObjectReader::open(document, {}, kJobKeys));
    for (const std::string_view key : {"command", "shell", "env", "drv"}) {
        if (job.find(key))
            return job.refuse(key, "has no place in a build; the derivation says what runs");
    }
    PENSTOCK_TRY_VOID(checkExecutor(job, "nix"));
    PENSTOCK_TRY(auto frame, readFrame(job, submitter));
    frame.spec.definition = definitionOf(document);
    return frame;
}

} // namespace penstock::jobs
