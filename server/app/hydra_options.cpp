// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/hydra_options.h"

#include "shared/base/text.h"
#include "shared/protocol/limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <map>
#include <utility>

namespace penstock::app {
namespace {

using config::Kind;
using config::OptionSpec;
using config::Source;

constexpr std::int64_t kSecond = 1'000'000; // durations are bounded in microseconds
constexpr std::int64_t kDay = 86'400 * kSecond;
constexpr Duration kUnsupportedAfter = std::chrono::seconds(120); // Hydra's own default
constexpr std::string_view kLogFolder = "/build-logs";

struct Ignored {
    std::string_view key;
    std::string_view snake;
    Kind kind;
    bool isList;
    std::string_view why;
};

// Keys of Hydra's runner that ask for something that is not done here, or is done without being asked.
constexpr std::array<Ignored, 12> kIgnored{{
    {"maxDbConnections", "max_db_connections", Kind::Integer, false,
     "the server holds fewer than ten connections, whatever the load"},
    {"dispatchTriggerTimerInS", "dispatch_trigger_timer_in_s", Kind::Integer, false,
     "steps are given out when something changes; there is no timer to set"},
    {"stopQueueRunAfterInS", "stop_queue_run_after_in_s", Kind::Integer, false,
     "there are no passes over the queue that would have to be cut short"},
    {"maxConcurrentDownloads", "max_concurrent_downloads", Kind::Integer, false,
     "builders choose how many paths they fetch at once"},
    {"concurrentUploadLimit", "concurrent_upload_limit", Kind::Integer, false,
     "uploads are bounded by the server's own pool"},
    {"tokenPaths", "token_paths", Kind::Text, true,
     "tokens are made with \"penstock token create\"; builders with Hydra's tokens are refused"},
    {"tokenListPath", "token_list_path", Kind::Text, false,
     "tokens are made with \"penstock token create\"; builders with Hydra's tokens are refused"},
    {"enableFodChecker", "enable_fod_checker", Kind::Flag, false, "fixed outputs are not collected for checks"},
    {"usePresignedUploads", "use_presigned_uploads", Kind::Flag, false,
     "builders are given signed addresses for S3 wherever they reach the bucket"},
    {"forcedSubstituters", "forced_substituters", Kind::Text, true,
     "builders fetch inputs from the server; what else they ask is their own setting"},
    {"overflowStore.store", "overflow_store.store", Kind::Text, false,
     "outputs of all jobsets go to the first --store"},
    {"overflowStore.jobsets", "overflow_store.jobsets", Kind::Text, true,
     "outputs of all jobsets go to the first --store"},
}};

// Each of Hydra's names stands at top level or in [hydra].
std::vector<std::string> hydraNames(std::initializer_list<std::string_view> names)
{
    std::vector<std::string> keys;
    for (const std::string_view name : names) {
        keys.emplace_back(name);
        keys.push_back(fmt::format("hydra.{}", name));
    }
    return keys;
}

OptionSpec duration(std::string name, std::string help, std::string fallback, std::int64_t most)
{
    return {.name = std::move(name), .kind = Kind::Duration, .help = std::move(help), .fallback = std::move(fallback),
            .least = 0, .most = most};
}

void addPlaces(std::vector<OptionSpec>& o)
{
    o.push_back({.name = "hydra", .kind = Kind::Flag,
                 .help = "serve the Hydra whose database --db-url names, in place of its queue runner",
                 .synonyms = {"hydra.enable"}});
    o.push_back({.name = "hydra-data", .help = "Hydra's data directory: build-logs is below it; also HYDRA_DATA",
                 .valueName = "DIR", .fallback = "/var/lib/hydra",
                 .synonyms = hydraNames({"hydraDataDir", "hydra_data_dir"})});
    o.push_back({.name = "gc-roots-dir", .help = "links that keep Hydra's outputs in the local store",
                 .valueName = "DIR",
                 .fallbackNote = "gcroots/per-user/$LOGNAME/hydra-roots in Nix's state, with --store local",
                 .synonyms = hydraNames({"rootsDir", "roots_dir", "gc_roots_dir"})});
    o.push_back({.name = "hydra-substitutes", .kind = Kind::Flag,
                 .help = "ask the local daemon's substituters before something is built for Hydra",
                 .synonyms = hydraNames({"useSubstitutes", "use_substitute"})});
    o.back().synonyms.emplace_back("hydra.use_substitutes");
    o.push_back({.name = "cache-failures", .help = "remember failed outputs, so that they are not built again",
                 .valueName = "WORD", .fallback = "yes", .choices = {"yes", "no"}});
    o.push_back({.name = "disable-queue-monitor-loop", .kind = Kind::Flag,
                 .help = "load only builds of Hydra that are asked for by POST /build_one"});
    o.push_back({.name = "status", .kind = Kind::Flag,
                 .help = "with --hydra: print /status of the server that runs, and end"});
    o.push_back({.name = "unlock", .kind = Kind::Flag,
                 .help = "with --hydra: end steps that Hydra shows as running though no runner is there, and end"});
}

void addLimits(std::vector<OptionSpec>& o)
{
    OptionSpec rescan = duration("rescan", "look this often for changes of Hydra's queue that come unannounced", "30s",
                                 kDay);
    rescan.least = kSecond;
    o.push_back(std::move(rescan));
    OptionSpec silent = duration("max-silent-time", "for builds of Hydra that state none; 0: no limit", "1h",
                                 365 * kDay);
    silent.synonyms = hydraNames({"maxSilentTime", "max_silent_time"});
    o.push_back(std::move(silent));
    OptionSpec timeout = duration("build-timeout", "for builds of Hydra that state none; 0: no limit", "10h",
                                  365 * kDay);
    timeout.synonyms = hydraNames({"buildTimeout", "build_timeout"});
    o.push_back(std::move(timeout));
    o.push_back({.name = "max-log-size", .kind = Kind::Size, .help = "limit of the log of a step of Hydra's",
                 .fallback = "64MiB", .least = 1, .synonyms = hydraNames({"maxLogSize", "max_log_size"})});
    o.push_back({.name = "max-output-size", .kind = Kind::Size,
                 .help = "limit of all outputs of a step of Hydra's together; 0: none", .fallback = "0",
                 .synonyms = hydraNames({"maxOutputSize", "max_output_size"})});
    o.push_back({.name = "hydra-repeats",
                 .help = "steps of this jobset are built N times more, and whether they differ is recorded",
                 .valueName = "PROJECT:JOBSET:N", .repeatable = true, .synonyms = {"hydra.repeats"}});
}

// Several words in one value: the key of the same meaning in hydra.conf held them all.
Result<std::map<std::string, std::uint32_t>> readRepeats(const config::Values& values)
{
    std::map<std::string, std::uint32_t> repeats;
    for (const std::string& text : values.list("hydra-repeats")) {
        for (const std::string_view word : split(text, ' ')) {
            if (word.empty())
                continue;
            const auto parts = split(word, ':');
            const auto count = parseUnsigned(parts.back());
            if (parts.size() != 3 || !count || *count >= protocol::kMaxRounds || parts[0].empty() || parts[1].empty())
                return fail(ErrorCode::Invalid,
                            fmt::format("--hydra-repeats: '{}' is not PROJECT:JOBSET:N with N from 0 to {}; write, for "
                                        "example, nixpkgs:trunk:1",
                                        word, protocol::kMaxRounds - 1));
            repeats.insert_or_assign(fmt::format("{}:{}", parts[0], parts[1]), static_cast<std::uint32_t>(*count));
        }
    }
    return repeats;
}

void addForeignKeys(std::vector<OptionSpec>& o)
{
    o.push_back({.name = "queueTriggerTimerInS", .kind = Kind::Integer,
                 .synonyms = hydraNames({"queueTriggerTimerInS", "queue_trigger_timer_in_s"}), .keyOnly = true});
    o.push_back({.name = "hydraLogDir", .synonyms = hydraNames({"hydraLogDir", "hydra_log_dir"}), .keyOnly = true});
    for (const Ignored& ignored : kIgnored)
        o.push_back({.name = std::string(ignored.key), .kind = ignored.kind, .repeatable = ignored.isList,
                     .synonyms = hydraNames({ignored.key, ignored.snake}), .keyOnly = true});
}

const std::string* variable(const config::Environment& environment, std::string_view name)
{
    const auto found = environment.find(name);
    return found == environment.end() || found->second.empty() ? nullptr : &found->second;
}

// Hydra's variables count like our own: less than flags, more than the file.
bool yieldsToVariable(const config::Values& values, std::string_view option)
{
    return values.source(option) == Source::Default || values.source(option) == Source::File;
}

Result<std::string> readDataDir(const config::Values& values, const config::Environment& environment)
{
    std::string directory = values.text("hydra-data");
    std::string origin = values.origin("hydra-data");
    const std::string* given = variable(environment, "HYDRA_DATA");
    if (given != nullptr && yieldsToVariable(values, "hydra-data")) {
        directory = *given;
        origin = "HYDRA_DATA";
    } else if (values.has("hydraLogDir")) {
        std::string logs = values.text("hydraLogDir");
        while (logs.ends_with('/'))
            logs.pop_back();
        if (!logs.ends_with(kLogFolder) || logs.size() == kLogFolder.size())
            return fail(ErrorCode::Invalid,
                        fmt::format("{} is {}; it must end in {}, where Hydra's web interface reads logs",
                                    values.origin("hydraLogDir"), logs, kLogFolder));
        logs.resize(logs.size() - kLogFolder.size());
        if (values.source("hydra-data") != Source::Default && logs != directory)
            return fail(ErrorCode::Invalid, fmt::format("{} is below {}, but {} is {}; give the latter only",
                                                        values.origin("hydraLogDir"), logs, origin, directory));
        directory = logs;
    }
    if (directory.empty() || directory.front() != '/')
        return fail(ErrorCode::Invalid, fmt::format("{} is \"{}\"; give an absolute path", origin, directory));
    return directory;
}

Result<std::string> readRootsDir(const config::Values& values, const HydraSurroundings& surroundings,
                                 const OutputOptions& outputs)
{
    if (values.has("gc-roots-dir")) {
        const std::string directory = values.text("gc-roots-dir");
        if (!directory.empty() && directory.front() != '/')
            return fail(ErrorCode::Invalid,
                        fmt::format("{} is \"{}\"; give an absolute path", values.origin("gc-roots-dir"), directory));
        return directory;
    }
    const auto local = std::ranges::find(outputs.stores, cache::StoreKind::Local, &cache::StoreUri::kind);
    if (local == outputs.stores.end())
        return std::string();
    const std::string* user = variable(surroundings.environment, "LOGNAME");
    if (user == nullptr)
        user = variable(surroundings.environment, "USER");
    if (user == nullptr && !surroundings.isRoot)
        return fail(ErrorCode::Invalid, "--gc-roots-dir is needed, as LOGNAME does not say whose roots outputs get");
    const std::string* state = variable(surroundings.environment, "NIX_STATE_DIR");
    return fmt::format("{}/gcroots/per-user/{}/hydra-roots",
                       state != nullptr ? *state : local->root + "/nix/var/nix", user != nullptr ? *user : "root");
}

// A word of a conninfo string, whatever is in it.
std::string quoted(std::string_view value)
{
    std::string text = "'";
    for (const char c : value) {
        if (c == '\'' || c == '\\')
            text.push_back('\\');
        text.push_back(c);
    }
    return text + "'";
}

} // namespace

void addHydraOptions(std::vector<OptionSpec>& options)
{
    addPlaces(options);
    addLimits(options);
    addForeignKeys(options);
}

Result<std::string> fromDbi(std::string_view text)
{
    constexpr std::string_view kPrefix = "dbi:pg:";
    if (text.size() < kPrefix.size() || toLower(text.substr(0, kPrefix.size())) != kPrefix)
        return std::string(text);
    std::string words;
    for (const std::string_view part : split(text.substr(kPrefix.size()), ';')) {
        const std::string_view pair = trim(part);
        if (pair.empty())
            continue;
        const auto equals = pair.find('=');
        if (equals == std::string_view::npos || equals == 0)
            return fail(ErrorCode::Invalid, "the database's address begins with dbi:Pg: but is no list of key=value "
                                            "with ; between; write postgresql://USER@HOST/NAME instead");
        std::string_view key = trim(pair.substr(0, equals));
        if (key == "db" || key == "database") // other names that Perl's driver takes
            key = "dbname";
        fmt::format_to(std::back_inserter(words), "{}{}={}", words.empty() ? "" : " ", key,
                       quoted(trim(pair.substr(equals + 1))));
    }
    return words;
}

Result<std::string> readDatabaseUrl(const config::Values& values, const config::Environment& environment)
{
    std::string url = values.text("db-url");
    if (values.flag("hydra") && yieldsToVariable(values, "db-url")) {
        if (const std::string* given = variable(environment, "HYDRA_DATABASE_URL"); given != nullptr)
            url = *given;
        else if (const std::string* old = variable(environment, "HYDRA_DBI"); old != nullptr)
            url = *old;
    }
    return fromDbi(url);
}

Result<std::optional<hydra::Options>> readHydraOptions(const config::Values& values,
                                                       const HydraSurroundings& surroundings, OutputOptions& outputs,
                                                       core::CoreOptions& core)
{
    if (!values.flag("hydra")) {
        for (const std::string_view errand : {"status", "unlock"})
            if (values.flag(errand))
                return fail(ErrorCode::Invalid, fmt::format("--{} is about a Hydra; give --hydra too", errand));
        return std::nullopt;
    }
    hydra::Options options;
    options.databaseUrl = surroundings.databaseUrl;
    if (options.databaseUrl.empty() && !values.flag("status"))
        return fail(ErrorCode::Invalid, "--hydra serves the database of a Hydra, but none is named; give --db-url "
                                        "postgresql://… or set HYDRA_DATABASE_URL");
    if (!values.has("store")) {
        // As with Hydra's runner: the store that its other programs look into.
        PENSTOCK_TRY(cache::StoreUri uri, cache::parseStoreUri("local"));
        uri.storeDir = outputs.stores.front().storeDir;
        outputs.stores.assign(1, std::move(uri));
    }
    if (!values.has("unsupported-after"))
        core.unsupportedAfter = kUnsupportedAfter;
    PENSTOCK_TRY(options.dataDir, readDataDir(values, surroundings.environment));
    PENSTOCK_TRY(options.rootsDir, readRootsDir(values, surroundings, outputs));
    options.useSubstitutes = values.flag("hydra-substitutes");
    options.cacheFailures = values.text("cache-failures") == "yes";
    options.monitorsQueue = !values.flag("disable-queue-monitor-loop");
    options.maxSilent = values.duration("max-silent-time");
    options.timeout = values.duration("build-timeout");
    options.maxLogBytes = values.size("max-log-size");
    options.maxOutputBytes = values.size("max-output-size");
    // All four: one that is left out would be no limit at all.
    core.dependencyLimits = {options.timeout, options.maxSilent, options.maxLogBytes, options.maxOutputBytes};
    options.rescan = values.duration("rescan");
    PENSTOCK_TRY(options.repeats, readRepeats(values));
    // Zero and less switched Hydra's timer off; here it finds changes that no notification tells of, so it stays.
    const std::int64_t timer = values.integer("queueTriggerTimerInS");
    if (timer > 0 && values.source("rescan") == Source::Default)
        options.rescan = std::chrono::seconds(std::min<std::int64_t>(timer, kDay / kSecond));
    return options;
}

std::vector<KeyNote> keysWithoutMeaning(const config::Values& values)
{
    std::vector<KeyNote> notes;
    for (const Ignored& ignored : kIgnored) {
        if (values.source(ignored.key) == Source::File)
            notes.push_back({std::string(ignored.key), ignored.why});
    }
    return notes;
}

bool hasNoMeaning(std::string_view option)
{
    return std::ranges::find(kIgnored, option, &Ignored::key) != kIgnored.end();
}

} // namespace penstock::app
