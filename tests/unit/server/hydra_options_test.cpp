// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/server_options.h"

#include <arpa/inet.h>
#include <array>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock::app {
namespace {

using Words = std::vector<std::string>;
using namespace std::chrono_literals;

const config::Environment kEnvironment{{"HOME", "/nonexistent"}, {"LOGNAME", "hydra"}};
const Words kHydra{"--hydra", "--db-url", "postgresql:///hydra"};

Result<ServerOptions> read(const Words& words, const config::Environment& environment = kEnvironment)
{
    PENSTOCK_TRY(const auto outcome, config::parse(serverProgram(), words, environment));
    return readServerOptions(std::get<config::Values>(outcome), environment, false);
}

Words with(Words words, const Words& more)
{
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

std::string errorOf(const Words& words, const config::Environment& environment = kEnvironment)
{
    const auto options = read(words, environment);
    return options ? std::string("accepted") : options.error().message;
}

struct ConfigFile { // gone with the test
    std::string path = (std::filesystem::temp_directory_path() /
                        ("penstock-hydra-options-" + std::to_string(::getpid()) + ".toml")).string();
    explicit ConfigFile(std::string_view text) { std::ofstream(path) << text; }
    ~ConfigFile() { std::filesystem::remove(path); }
    ConfigFile(const ConfigFile&) = delete;
    ConfigFile& operator=(const ConfigFile&) = delete;
};

TEST(HydraOptions, AreNotThereWithoutTheFlag)
{
    const auto options = read({});
    ASSERT_TRUE(options) << options.error().message;
    EXPECT_FALSE(options->hydra);
    EXPECT_EQ(options->outputs.stores.front().kind, cache::StoreKind::Directory);
    EXPECT_FALSE(options->core.unsupportedAfter);
}

TEST(HydraOptions, HaveTheDefaultsOfHydrasRunner)
{
    const auto options = read(kHydra);
    ASSERT_TRUE(options) << options.error().message;
    ASSERT_TRUE(options->hydra);
    const hydra::Options plain;
    const hydra::Options& hydra = *options->hydra;
    EXPECT_EQ(hydra.databaseUrl, "postgresql:///hydra");
    EXPECT_EQ(options->databaseUrl, "postgresql:///hydra");
    EXPECT_EQ(hydra.dataDir, "/var/lib/hydra");
    EXPECT_EQ(hydra.rootsDir, "/nix/var/nix/gcroots/per-user/hydra/hydra-roots");
    EXPECT_EQ(options->outputs.stores.front().kind, cache::StoreKind::Local);
    EXPECT_EQ(hydra.maxSilent, plain.maxSilent);
    EXPECT_EQ(hydra.timeout, plain.timeout);
    EXPECT_EQ(hydra.maxLogBytes, plain.maxLogBytes);
    EXPECT_EQ(hydra.maxOutputBytes, plain.maxOutputBytes);
    EXPECT_EQ(hydra.rescan, plain.rescan);
    EXPECT_TRUE(hydra.cacheFailures);
    EXPECT_TRUE(hydra.monitorsQueue);
    EXPECT_FALSE(hydra.useSubstitutes);
    EXPECT_EQ(options->core.unsupportedAfter, 120s);
}

TEST(HydraOptions, TakeEveryFlag)
{
    const auto options = read(with(kHydra, {"--hydra-data", "/srv/hydra", "--gc-roots-dir", "/srv/roots",
                                            "--hydra-substitutes", "--cache-failures", "no", "--rescan", "5s",
                                            "--max-silent-time", "10m", "--build-timeout", "2h", "--max-log-size",
                                            "1MiB", "--max-output-size", "2GiB", "--disable-queue-monitor-loop",
                                            "--hydra-repeats", "nixpkgs:trunk:1", "--hydra-repeats", " a:b:2  c:d:0 ",
                                            "--store", "file:///srv/cache", "--unsupported-after", "1s"}));
    ASSERT_TRUE(options) << options.error().message;
    const hydra::Options& hydra = *options->hydra;
    EXPECT_EQ(hydra.dataDir, "/srv/hydra");
    EXPECT_EQ(hydra.rootsDir, "/srv/roots");
    EXPECT_TRUE(hydra.useSubstitutes);
    EXPECT_FALSE(hydra.cacheFailures);
    EXPECT_FALSE(hydra.monitorsQueue);
    EXPECT_EQ(hydra.rescan, 5s);
    EXPECT_EQ(hydra.maxSilent, 10min);
    EXPECT_EQ(hydra.timeout, 2h);
    EXPECT_EQ(hydra.maxLogBytes, 1U << 20U);
    EXPECT_EQ(hydra.maxOutputBytes, 2ULL << 30U);
    EXPECT_EQ(hydra.repeats,
              (std::map<std::string, std::uint32_t>{{"nixpkgs:trunk", 1}, {"a:b", 2}, {"c:d", 0}}));
    EXPECT_EQ(options->core.unsupportedAfter, 1s);
    EXPECT_EQ(options->outputs.stores.front().kind, cache::StoreKind::Directory);
}

TEST(HydraOptions, RepeatsNameAJobsetAndANumber)
{
    for (const char* word : {"a", "a:b", "a:b:", ":b:1", "a::1", "a:b:x", "a:b:-1", "a:b:1:2", "a:b:1000"}) {
        const auto options = read(with(kHydra, {"--hydra-repeats", word}));
        ASSERT_FALSE(options) << word;
        EXPECT_NE(options.error().message.find(std::string("'") + word + "'"), std::string::npos);
    }
}

// A step that is no build's own may take what a build may take that states nothing, however short the builds above it.
TEST(HydraOptions, GiveDependenciesTheLimitsOfBuildsThatStateNone)
{
    const auto plain = read(kHydra);
    ASSERT_TRUE(plain) << plain.error().message;
    EXPECT_EQ(plain->core.dependencyLimits, (work::Limits{10h, 1h, 64U << 20U, 0}));

    const ConfigFile file("maxSilentTime = 600\nbuildTimeout = 700\nmaxLogSize = 1000\nmaxOutputSize = 2000\n");
    const auto stated = read(with(kHydra, {"--config", file.path}));
    ASSERT_TRUE(stated) << stated.error().message;
    EXPECT_EQ(stated->core.dependencyLimits, (work::Limits{700s, 600s, 1'000, 2'000}));
    EXPECT_EQ(read({})->core.dependencyLimits, work::Limits{});
}

TEST(HydraOptions, MakeNoRootsWhereOutputsAreNotInTheLocalStore)
{
    const auto options = read(with(kHydra, {"--store", "file:///srv/cache"}));
    ASSERT_TRUE(options) << options.error().message;
    EXPECT_EQ(options->hydra->rootsDir, "");
}

TEST(HydraOptions, NeedADatabase)
{
    EXPECT_NE(errorOf({"--hydra"}).find("HYDRA_DATABASE_URL"), std::string::npos);
    EXPECT_NE(errorOf({"--status"}).find("--hydra"), std::string::npos);
    EXPECT_NE(errorOf({"--unlock"}).find("--hydra"), std::string::npos);
}

TEST(HydraOptions, FollowHydrasVariablesAfterFlagsAndBeforeTheFile)
{
    auto environment = kEnvironment;
    environment["HYDRA_DATA"] = "/env/data";
    environment["HYDRA_DATABASE_URL"] = "postgresql://env/hydra";
    environment["HYDRA_DBI"] = "dbi:Pg:dbname=old";
    const ConfigFile file("hydraDataDir = \"/file/data\"\ndbUrl = \"postgresql://file/hydra\"\n");
    const auto fromEnvironment = read({"--hydra", "--config-path", file.path}, environment);
    ASSERT_TRUE(fromEnvironment) << fromEnvironment.error().message;
    EXPECT_EQ(fromEnvironment->hydra->dataDir, "/env/data");
    EXPECT_EQ(fromEnvironment->hydra->databaseUrl, "postgresql://env/hydra");

    const auto fromFlags = read(with(kHydra, {"--hydra-data", "/flag"}), environment);
    EXPECT_EQ(fromFlags->hydra->dataDir, "/flag");
    EXPECT_EQ(fromFlags->hydra->databaseUrl, "postgresql:///hydra");

    const auto fromFile = read({"--hydra", "-c", file.path});
    EXPECT_EQ(fromFile->hydra->dataDir, "/file/data");
    EXPECT_EQ(fromFile->hydra->databaseUrl, "postgresql://file/hydra");

    environment.erase("HYDRA_DATABASE_URL");
    EXPECT_EQ(read({"--hydra"}, environment)->hydra->databaseUrl, "dbname='old'");
    // A server that serves no Hydra does not write into its database because of a variable.
    EXPECT_EQ(read({}, environment)->databaseUrl, "");
}

TEST(HydraOptions, ReadTheFormOfPerlsDriver)
{
    EXPECT_EQ(*fromDbi("dbi:Pg:dbname=hydra;host=/run/postgresql; port=5433;"),
              "dbname='hydra' host='/run/postgresql' port='5433'");
    EXPECT_EQ(*fromDbi("DBI:Pg:database=hydra;user=it's;password=a\\b"),
              "dbname='hydra' user='it\\'s' password='a\\\\b'");
    EXPECT_EQ(*fromDbi("postgresql://db/hydra"), "postgresql://db/hydra");
    EXPECT_EQ(*fromDbi(""), "");
    const auto broken = fromDbi("dbi:Pg:secret");
    ASSERT_FALSE(broken);
    EXPECT_EQ(broken.error().message.find("secret"), std::string::npos); // may be a password
}

// The whole of hydra-queue-runner 2.3, in both spellings and places.
TEST(HydraOptions, AcceptAWholeFileOfHydrasRunner)
{
    constexpr std::string_view kCamel =
        "hydraDataDir = \"/srv/hydra\"\ndbUrl = \"postgresql:///hydra\"\nmaxDbConnections = 128\n"
        "machineSortFn = \"SpeedFactorOnly\"\nmachineFreeFn = \"Static\"\nstepSortFn = \"WithRdeps\"\n"
        "dispatchTriggerTimerInS = 120\nqueueTriggerTimerInS = -1\nremoteStoreAddr = [\"file:///srv/cache\"]\n"
        "useSubstitutes = true\nrootsDir = \"/srv/roots\"\nmaxRetries = 5\nretryInterval = 60\nretryBackoff = 3.0\n"
        "maxUnsupportedTimeInS = 120\nstopQueueRunAfterInS = 60\nmaxConcurrentDownloads = 5\n"
        "concurrentUploadLimit = 5\ntokenPaths = [\"/run/token\"]\nenableFodChecker = false\n"
        "usePresignedUploads = true\nmaxOutputSize = 1000000\nmaxSilentTime = 600\nbuildTimeout = 700\n"
        "maxLogSize = 1000\nforcedSubstituters = []\n";
    constexpr std::string_view kSnake =
        "hydra_data_dir = \"/srv/hydra\"\ndb_url = \"postgresql:///hydra\"\nmax_db_connections = 128\n"
        "machine_sort_fn = \"SpeedFactorOnly\"\nmachine_free_fn = \"Static\"\nstep_sort_fn = \"WithRdeps\"\n"
        "dispatch_trigger_timer_in_s = 120\nqueue_trigger_timer_in_s = 0\n"
        "remote_store_addr = [\"file:///srv/cache\"]\nuse_substitute = true\nroots_dir = \"/srv/roots\"\n"
        "max_retries = 5\nretry_interval = 60\nretry_backoff = 3.0\nmax_unsupported_time_in_s = 120\n"
        "stop_queue_run_after_in_s = 60\nmax_concurrent_downloads = 5\nconcurrent_upload_limit = 5\n"
        "token_list_path = \"/run/token\"\nenable_fod_checker = false\nuse_presigned_uploads = true\n"
        "max_output_size = 1000000\nmax_silent_time = 600\nbuild_timeout = 700\nmax_log_size = 1000\n"
        "forced_substituters = []\n";
    for (const auto& [keys, table] : {std::pair(kCamel, "overflowStore"), std::pair(kSnake, "overflow_store")}) {
        for (const std::string prefix : {"", "hydra"}) {
            const std::string overflow = (prefix.empty() ? "" : prefix + ".") + table;
            const ConfigFile file((prefix.empty() ? "" : "[" + prefix + "]\n") + std::string(keys) + "[" + overflow +
                                  "]\nstore = \"s3://more\"\njobsets = [\"nixpkgs:trunk\"]\n");
            const auto options = read({"--hydra", "--config", file.path});
            ASSERT_TRUE(options) << options.error().message;
            const hydra::Options& hydra = *options->hydra;
            EXPECT_EQ(hydra.dataDir, "/srv/hydra");
            EXPECT_EQ(hydra.databaseUrl, "postgresql:///hydra");
            EXPECT_EQ(hydra.rootsDir, "/srv/roots");
            EXPECT_TRUE(hydra.useSubstitutes);
            EXPECT_EQ(hydra.maxOutputBytes, 1'000'000U);
            EXPECT_EQ(hydra.maxLogBytes, 1'000U);
            EXPECT_EQ(hydra.maxSilent, 600s);
            EXPECT_EQ(hydra.timeout, 700s);
            EXPECT_EQ(hydra.rescan, 30s);
            EXPECT_EQ(options->outputs.stores.front().directory, "/srv/cache");
        }
    }
}

TEST(HydraOptions, SayOnceWhatHasNoMeaningHere)
{
    const ConfigFile file("[hydra]\nmaxDbConnections = 5\nconcurrent_upload_limit = 3\nmaxRetries = 2\n");
    const auto outcome = config::parse(serverProgram(), Words{"--config", file.path}, kEnvironment);
    ASSERT_TRUE(outcome) << outcome.error().message;
    const auto notes = keysWithoutMeaning(std::get<config::Values>(*outcome));
    ASSERT_EQ(notes.size(), 2U);
    EXPECT_EQ(notes[0].key, "maxDbConnections");
    EXPECT_NE(notes[0].why.find("connections"), std::string::npos);
    EXPECT_EQ(notes[1].key, "concurrentUploadLimit");
}

TEST(HydraOptions, RefuseAnUnknownKeyWithTheNearest)
{
    const ConfigFile file("[hydra]\nhydraDataDri = \"/srv\"\n");
    const auto message = errorOf({"--config", file.path});
    EXPECT_NE(message.find(":2: unknown key \"hydra.hydraDataDri\""), std::string::npos) << message;
    EXPECT_NE(message.find("hydra.hydraDataDir"), std::string::npos) << message;
}

TEST(HydraOptions, TakeTheFolderOfLogsForTheFolderAboveIt)
{
    const ConfigFile file("hydra_log_dir = \"/srv/hydra/build-logs/\"\n");
    EXPECT_EQ(read(with(kHydra, {"--config", file.path}))->hydra->dataDir, "/srv/hydra");
    const ConfigFile other("hydra_log_dir = \"/srv/logs\"\n");
    EXPECT_NE(errorOf(with(kHydra, {"--config", other.path})).find("must end in /build-logs"), std::string::npos);
}

TEST(HydraOptions, RescanAsOftenAsHydrasTimerSays)
{
    const ConfigFile file("queueTriggerTimerInS = 300\n");
    EXPECT_EQ(read(with(kHydra, {"--config", file.path}))->hydra->rescan, 300s);
    EXPECT_EQ(read(with(kHydra, {"--config", file.path, "--rescan", "7s"}))->hydra->rescan, 7s);
}

TEST(HydraOptions, OursAreNotKeysOfTheCommandLine)
{
    EXPECT_NE(errorOf({"--maxDbConnections", "5"}).find("unknown option"), std::string::npos);
}

TEST(HydraOptions, BindWhereHydrasRunnerWould)
{
    const auto options = read({"-r", "[::1]:8080", "-g", "/run/penstock.sock"});
    ASSERT_TRUE(options) << options.error().message;
    ASSERT_EQ(options->listen.size(), 2U);
    EXPECT_EQ(options->listen[0].print(), "[::1]:8080");
    EXPECT_EQ(options->listen[1].print(), "unix:/run/penstock.sock");
    EXPECT_EQ(read({"-r", "[::1]:8080", "--listen", "127.0.0.1:0"})->listen.size(), 2U);
    EXPECT_NE(errorOf({"--rest-bind", "0.0.0.0:8080"}).find("0.0.0.0:8080"), std::string::npos);
    EXPECT_NE(errorOf({"--rest-bind", "-"}).find("LISTEN_FDS"), std::string::npos);
    EXPECT_NE(errorOf({"--listen", "systemd"}).find("LISTEN_FDS"), std::string::npos);
}

// Stands for systemd: sockets from descriptor 3 on, in a process of its own.
struct Passed {
    std::vector<std::string> listens;
    std::string error;
};

Passed readWithSockets(unsigned count, const Words& words, const config::Environment& more)
{
    std::array<int, 2> pipe{};
    EXPECT_EQ(::pipe(pipe.data()), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const int out = ::fcntl(pipe[1], F_DUPFD, 50);
        for (unsigned at = 0; at < count; ++at) {
            const int made = ::socket(AF_INET, SOCK_STREAM, 0);
            sockaddr_in address{};
            address.sin_family = AF_INET;
            address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + at); // tells them apart
            if (::bind(made, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || ::listen(made, 4) != 0)
                ::_exit(1);
            const int high = ::fcntl(made, F_DUPFD, 60);
            ::dup2(high, 3 + static_cast<int>(at));
        }
        auto environment = kEnvironment;
        environment["LISTEN_FDS"] = std::to_string(count);
        environment.insert(more.begin(), more.end());
        std::string text;
        if (const auto options = read(words, environment); options) {
            for (const auto& address : options->listen)
                text += address.host + "/" + std::to_string(address.descriptor) + "\n";
        } else {
            text = "E" + options.error().message;
        }
        (void)!::write(out, text.data(), text.size());
        ::_exit(0);
    }
    ::close(pipe[1]);
    std::string text;
    std::array<char, 4096> buffer{};
    for (ssize_t size = 0; (size = ::read(pipe[0], buffer.data(), buffer.size())) > 0;)
        text.append(buffer.data(), static_cast<std::size_t>(size));
    ::close(pipe[0]);
    ::waitpid(child, nullptr, 0);
    Passed passed;
    if (text.starts_with('E')) {
        passed.error = text.substr(1);
        return passed;
    }
    for (std::size_t from = 0, end = 0; (end = text.find('\n', from)) != std::string::npos; from = end + 1)
        passed.listens.push_back(text.substr(from, end - from));
    return passed;
}

TEST(HydraOptions, TakeSystemdsSocketsByTheirNames)
{
    const auto passed = readWithSockets(2, {"--rest-bind", "-", "--grpc-bind", "-"}, {{"LISTEN_FDNAMES", "grpc:rest"}});
    EXPECT_EQ(passed.error, "");
    EXPECT_EQ(passed.listens, (Words{"127.0.0.2/4", "127.0.0.1/3"}));
}

TEST(HydraOptions, TakeSystemdsSocketsByTheirPlaceWhenTheyHaveNoNames)
{
    EXPECT_EQ(readWithSockets(2, {"-r", "-", "-g", "-"}, {}).listens, (Words{"127.0.0.1/3", "127.0.0.2/4"}));
    EXPECT_EQ(readWithSockets(2, {"--listen", "systemd"}, {}).listens, (Words{"127.0.0.1/3", "127.0.0.2/4"}));
    EXPECT_NE(readWithSockets(1, {"-r", "-", "-g", "-"}, {}).error.find("none of them named \"grpc\""),
              std::string::npos);
    EXPECT_NE(readWithSockets(1, {"-r", "-"}, {{"LISTEN_PID", "1"}}).error.find("process 1"), std::string::npos);
    EXPECT_NE(readWithSockets(0, {"-r", "-"}, {}).error.find("LISTEN_FDS is \"0\""), std::string::npos);
}

} // namespace
} // namespace penstock::app
