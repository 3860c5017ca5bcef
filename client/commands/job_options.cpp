// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/commands/job_options.h"

#include "shared/base/text.h"

#include <fmt/format.h>
#include <QJsonArray>

namespace penstock::client {

namespace {

using config::Kind;
using config::OptionSpec;
using config::Values;

QString qt(std::string_view text)
{
    return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

// JSON is Unicode; anything else would arrive changed.
Result<QString> unicodeText(std::string_view what, const std::string& text)
{
    if (!isUtf8(text))
        return fail(ErrorCode::Invalid, fmt::format("{} \"{}\" is not valid UTF-8, so it cannot be sent",
                                                    what, toValidUtf8(text)));
    return qt(text);
}

// Seconds as a number; whole ones without a fraction.
QJsonValue seconds(Duration duration)
{
    const auto micros = duration.count();
    if (micros % 1'000'000 == 0)
        return QJsonValue(qint64{micros / 1'000'000});
    return QJsonValue(static_cast<double>(micros) / 1e6);
}

QJsonArray array(const std::vector<std::string>& texts)
{
    QJsonArray out;
    for (const auto& text : texts)
        out.append(qt(text));
    return out;
}

Result<QJsonObject> environmentObject(const std::vector<std::string>& settings)
{
    QJsonObject environment;
    for (const auto& setting : settings) {
        const auto equals = setting.find('=');
        if (equals == std::string::npos || equals == 0)
            return fail(ErrorCode::Invalid,
                        fmt::format("--env \"{}\": write it as NAME=VALUE", toValidUtf8(setting)));
        PENSTOCK_TRY(const auto name, unicodeText("--env", setting.substr(0, equals)));
        PENSTOCK_TRY(const auto value, unicodeText("--env", setting.substr(equals + 1)));
        environment.insert(name, value);
    }
    return environment;
}

// A positive whole number after the "=" of a flag.
Result<qint64> amountOf(std::string_view flag, const std::string& setting, std::string_view text)
{
    const auto amount = parseUnsigned(text);
    if (!amount || *amount == 0 || *amount > INT64_MAX)
        return fail(ErrorCode::Invalid,
                    fmt::format("--{} \"{}\": what follows the = must be a whole number from 1 on", flag,
                                toValidUtf8(setting)));
    return static_cast<qint64>(*amount);
}

Result<QJsonObject> concurrencyObject(const std::string& setting)
{
    const auto equals = setting.find('=');
    PENSTOCK_TRY(const auto group, unicodeText("--concurrency", setting.substr(0, equals)));
    QJsonObject concurrency{{QStringLiteral("group"), group}};
    if (equals != std::string::npos) {
        PENSTOCK_TRY(const auto limit,
                     amountOf("concurrency", setting, std::string_view(setting).substr(equals + 1)));
        concurrency.insert(QStringLiteral("limit"), limit);
    }
    return concurrency;
}

Result<QJsonObject> resourcesObject(const Values& values)
{
    QJsonObject resources;
    for (const auto& setting : values.list("resource")) {
        const auto equals = setting.find('=');
        const auto name = setting.substr(0, equals);
        if (equals == std::string::npos || name.empty() || name == "cpus" || name == "memory")
            return fail(ErrorCode::Invalid,
                        fmt::format("--resource \"{}\": write it as NAME=AMOUNT; CPUs and memory have flags of "
                                    "their own, --cpus and --memory",
                                    toValidUtf8(setting)));
        PENSTOCK_TRY(const auto key, unicodeText("--resource", name));
        PENSTOCK_TRY(const auto amount,
                     amountOf("resource", setting, std::string_view(setting).substr(equals + 1)));
        resources.insert(key, amount);
    }
    if (values.has("cpus"))
        resources.insert(QStringLiteral("cpus"), qint64{values.integer("cpus")});
    if (values.has("memory"))
        resources.insert(QStringLiteral("memory"), qt(values.text("memory")));
    return resources;
}

std::string baseName(const std::string& path)
{
    const auto slash = path.find_last_of('/');
    return slash == std::string::npos ? path : path.substr(slash + 1);
}

} // namespace

std::vector<OptionSpec> commonJobOptions()
{
    return {{"name", Kind::Text, "the job's name", "NAME"},
            {"priority",
             Kind::Integer,
             "higher runs earlier among the jobs of its share group; `penstock bump` is for the whole farm",
             "N",
             {},
             {},
             {},
             false,
             false,
             0,
             -1'000'000,
             1'000'000},
            {"shares-group", Kind::Text, "whose share of the farm it uses up; default: its namespace", "NAME"},
            {"concurrency", Kind::Text,
             "of the jobs of this group in its namespace, run at most LIMIT steps at once, by default 1",
             "GROUP[=LIMIT]"},
            {"cpus", Kind::Integer, "CPUs that each attempt needs", "N", {}, {}, {}, false, false, 0, 1, 4096},
            {"memory", Kind::Text, "memory that each attempt needs (512MiB)", "SIZE"},
            {"resource", Kind::Text, "what each attempt takes of a machine's own resource (gpu=1)", "NAME=AMOUNT",
             {}, {}, {}, true},
            {"timeout", Kind::Duration, "end each attempt after so long (10m, 90s)", "TIME"},
            {"silent-timeout", Kind::Duration, "end each attempt after so long without output", "TIME"},
            {"max-log", Kind::Text, "end each attempt when its log gets larger (64MiB)", "SIZE"},
            {"max-output", Kind::Text, "fail when its outputs together get larger (10GiB)", "SIZE"},
            {"retries",
             Kind::Integer,
             "run a failed command again, at most so many times",
             "N",
             {},
             {},
             {},
             false,
             false,
             0,
             0,
             1000}};
}

std::vector<OptionSpec> commandJobOptions()
{
    auto options = commonJobOptions();
    const std::vector<OptionSpec> more{
        {"env",
         Kind::Text,
         "an environment variable for the command",
         "NAME=VALUE",
         {},
         {},
         {},
         true,
         false,
         'e'},
        {"shell", Kind::Text, "CMD is one script for this shell: bash, sh, …", "SHELL"},
        {"system",
         Kind::Text,
         "run on machines of this system, e.g. x86_64-linux",
         "SYSTEM",
         {},
         {},
         {},
         true},
        {"feature", Kind::Text, "run on machines with this feature", "NAME", {}, {}, {}, true},
        {"tag", Kind::Text, "run on machines with this tag", "NAME", {}, {}, {}, true},
        {"machine", Kind::Text, "run on this machine", "NAME", {}, {}, {}, true}};
    options.insert(options.end(), more.begin(), more.end());
    return options;
}

Result<QJsonObject> commonJob(const Globals& globals, const Values& values)
{
    QJsonObject job;
    if (values.has("name")) {
        PENSTOCK_TRY(const auto name, unicodeText("--name", values.text("name")));
        job.insert(QStringLiteral("name"), name);
    }
    if (!globals.user.empty())
        job.insert(QStringLiteral("user"), qt(globals.user));
    if (!globals.nameSpace.empty())
        job.insert(QStringLiteral("namespace"), qt(globals.nameSpace));
    if (values.has("priority"))
        job.insert(QStringLiteral("priority"), qint64{values.integer("priority")});
    if (values.has("retries"))
        job.insert(QStringLiteral("retries"), qint64{values.integer("retries")});
    if (values.has("timeout"))
        job.insert(QStringLiteral("timeout"), seconds(values.duration("timeout")));
    if (values.has("silent-timeout"))
        job.insert(QStringLiteral("silent_timeout"), seconds(values.duration("silent-timeout")));
    if (values.has("max-log"))
        job.insert(QStringLiteral("max_log"), qt(values.text("max-log")));
    if (values.has("max-output"))
        job.insert(QStringLiteral("max_output"), qt(values.text("max-output")));
    if (values.has("shares-group"))
        job.insert(QStringLiteral("shares_group"), qt(values.text("shares-group")));
    if (values.has("concurrency")) {
        PENSTOCK_TRY(const auto concurrency, concurrencyObject(values.text("concurrency")));
        job.insert(QStringLiteral("concurrency"), concurrency);
    }
    PENSTOCK_TRY(const auto resources, resourcesObject(values));
    if (!resources.isEmpty())
        job.insert(QStringLiteral("resources"), resources);
    return job;
}

Result<QJsonObject> commandJob(const Globals& globals, const Values& values,
                               const std::vector<std::string>& words)
{
    PENSTOCK_TRY(auto job, commonJob(globals, values));
    if (!values.has("name"))
        job.insert(QStringLiteral("name"), qt(toValidUtf8(baseName(words.front()).substr(0, 100))));
    if (values.has("shell")) {
        if (words.size() != 1)
            return fail(ErrorCode::Invalid,
                        fmt::format("--shell takes the command as one word, quoted; {} words were "
                                    "given",
                                    words.size()));
        PENSTOCK_TRY(const auto script, unicodeText("the command", words.front()));
        job.insert(QStringLiteral("command"), script);
        job.insert(QStringLiteral("shell"), qt(values.text("shell")));
        if (!values.has("name"))
            job.insert(QStringLiteral("name"), qt(values.text("shell")));
    } else {
        QJsonArray command;
        for (const auto& word : words) {
            PENSTOCK_TRY(const auto text, unicodeText("the command's word", word));
            command.append(text);
        }
        job.insert(QStringLiteral("command"), command);
    }
    PENSTOCK_TRY(const auto environment, environmentObject(values.list("env")));
    if (!environment.isEmpty())
        job.insert(QStringLiteral("env"), environment);
    QJsonObject affinity;
    for (const auto& [flag, key] : {std::pair{"system", "systems"}, std::pair{"feature", "features"},
                                    std::pair{"tag", "tags"}, std::pair{"machine", "machines"}})
        if (values.has(flag))
            affinity.insert(QLatin1String(key), array(values.list(flag)));
    if (!affinity.isEmpty())
        job.insert(QStringLiteral("affinity"), affinity);
    return job;
}

} // namespace penstock::client
