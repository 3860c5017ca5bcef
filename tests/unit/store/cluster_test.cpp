// SPDX-License-Identifier: GPL-3.0-or-later
// The embedded cluster with a real PostgreSQL: its first start, crashes of everything, and each refusal.
#include "server/postgres_cluster/cluster.h"
#include "server/postgres_cluster/detail/directory.h"
#include "server/postgres_cluster/detail/installation.h"
#include "server/postgres_cluster/detail/postmaster.h"
#include "tests/support/postgres_fixture.h"

#include <csignal>
#include <fstream>
#include <future>
#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>

namespace penstock::postgres_cluster {
namespace {

namespace fs = std::filesystem;
using test::TemporaryDirectory;
using test::testLogger;

// The first column of the first row, or "error: …".
std::string query(const std::string& connection, const std::string& sql)
{
    PGconn* handle = ::PQconnectdb(connection.c_str());
    PGresult* result = ::PQexec(handle, sql.c_str());
    std::string answer;
    if (::PQresultStatus(result) == PGRES_TUPLES_OK && ::PQntuples(result) > 0)
        answer = ::PQgetvalue(result, 0, 0);
    else if (::PQresultStatus(result) != PGRES_COMMAND_OK)
        answer = std::string("error: ") + ::PQerrorMessage(handle);
    ::PQclear(result);
    ::PQfinish(handle);
    return answer;
}

ClusterOptions optionsFor(const fs::path& directory)
{
    ClusterOptions options;
    options.directory = directory;
    return options;
}

pid_t postmasterOf(const fs::path& directory)
{
    const auto file = readPostmasterFile(directory / "data");
    return file ? file->pid : 0;
}

bool endsWithin(pid_t pid, int milliseconds)
{
    const FileDescriptor watched = watchProcess(pid);
    if (!watched.isOpen())
        return true;
    pollfd ended{watched.get(), POLLIN, 0};
    return ::poll(&ended, 1, milliseconds) > 0;
}

// Runs a server in a process of its own, which is killed at once when the database is up. Returns when it is dead.
void startAndKillServer(const fs::path& directory, const std::string& sql)
{
    const pid_t child = ::fork();
    if (child == 0) {
        auto cluster = Cluster::start(optionsFor(directory), testLogger());
        if (!cluster || query((*cluster)->connectionString(), sql).starts_with("error"))
            ::_exit(1);
        ::raise(SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the server did not come up";
}

TEST(PostgresCluster, KeepsItsRowsAcrossAnOrderlyRestart)
{
    const TemporaryDirectory temporary;
    const fs::path directory = temporary.path() / "deep" / "pg";
    {
        auto cluster = Cluster::start(optionsFor(directory), testLogger());
        ASSERT_TRUE(cluster.has_value()) << cluster.error().message;
        EXPECT_EQ(query((*cluster)->connectionString(), "CREATE TABLE t AS SELECT 7 AS x"), "");
        EXPECT_EQ(query((*cluster)->connectionString(), "SHOW fsync"), "on");
        EXPECT_EQ(query((*cluster)->connectionString(), "SHOW listen_addresses"), "");
        EXPECT_EQ(query((*cluster)->connectionString(), "SHOW server_encoding"), "UTF8");
    }
    EXPECT_FALSE(fs::exists(directory / "data" / "postmaster.pid"));
    EXPECT_TRUE(findServers(fs::canonical(directory / "data")).empty());
    auto cluster = Cluster::start(optionsFor(directory), testLogger());
    ASSERT_TRUE(cluster.has_value()) << cluster.error().message;
    EXPECT_EQ(query((*cluster)->connectionString(), "SELECT x FROM t"), "7");
}

TEST(PostgresCluster, RecoversWhenItsServerWasKilled)
{
    const TemporaryDirectory temporary;
    const fs::path directory = temporary.path() / "pg";
    startAndKillServer(directory, "CREATE TABLE t AS SELECT 8 AS x");
    // The postmaster is told by the kernel and ends by itself, or is ended by the next start.
    auto cluster = Cluster::start(optionsFor(directory), testLogger());
    ASSERT_TRUE(cluster.has_value()) << cluster.error().message;
    EXPECT_EQ(query((*cluster)->connectionString(), "SELECT x FROM t"), "8");
}

TEST(PostgresCluster, LeavesNoPostmasterBehindWhenItsServerIsKilled)
{
    const TemporaryDirectory temporary;
    const fs::path directory = temporary.path() / "pg";
    startAndKillServer(directory, "SELECT 1");
    const pid_t postmaster = postmasterOf(directory);
    EXPECT_TRUE(postmaster == 0 || endsWithin(postmaster, 20'000));
}

TEST(PostgresCluster, StartsAgainWhenThePostmasterIsKilled)
{
    const TemporaryDirectory temporary;
    const fs::path directory = temporary.path() / "pg";
    auto wentAway = std::make_shared<std::promise<std::string>>();
    auto cameBack = std::make_shared<std::promise<void>>();
    ClusterOptions options = optionsFor(directory);
    options.onHealth = [=, count = 0](const Result<void>& health) mutable {
        ++count; // 1: ready, 2: lost, 3: ready
        if (count == 2)
            wentAway->set_value(health ? "" : health.error().message);
        if (count == 3 && health)
            cameBack->set_value();
    };
    auto cluster = Cluster::start(options, testLogger());
    ASSERT_TRUE(cluster.has_value()) << cluster.error().message;
    EXPECT_EQ(query((*cluster)->connectionString(), "CREATE TABLE t AS SELECT 9 AS x"), "");
    const pid_t before = postmasterOf(directory);
    ASSERT_EQ(::kill(before, SIGKILL), 0);
    auto away = wentAway->get_future();
    ASSERT_EQ(away.wait_for(std::chrono::seconds(30)), std::future_status::ready);
    EXPECT_NE(away.get().find("signal 9"), std::string::npos);
    ASSERT_EQ(cameBack->get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
    EXPECT_NE(postmasterOf(directory), before);
    EXPECT_EQ(query((*cluster)->connectionString(), "SELECT x FROM t"), "9");
}

TEST(PostgresCluster, SurvivesTheKillOfServerAndPostmasterTogether)
{
    const TemporaryDirectory temporary;
    const fs::path directory = temporary.path() / "pg";
    const pid_t child = ::fork();
    if (child == 0) {
        auto cluster = Cluster::start(optionsFor(directory), testLogger());
        if (!cluster || query((*cluster)->connectionString(), "CREATE TABLE t AS SELECT 4 AS x").starts_with("error"))
            ::_exit(1);
        ::kill(postmasterOf(directory), SIGKILL);
        ::raise(SIGKILL);
    }
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    EXPECT_TRUE(fs::exists(directory / "data" / "postmaster.pid"));
    auto cluster = Cluster::start(optionsFor(directory), testLogger());
    ASSERT_TRUE(cluster.has_value()) << cluster.error().message;
    EXPECT_EQ(query((*cluster)->connectionString(), "SELECT x FROM t"), "4");
}

TEST(PostgresCluster, IgnoresAPostmasterFileThatNamesAnotherProcess)
{
    const TemporaryDirectory temporary;
    const fs::path directory = temporary.path() / "pg";
    ASSERT_TRUE(Cluster::start(optionsFor(directory), testLogger()).has_value());
    // As after a crash of the machine, when our own pid was the postmaster's before.
    std::ofstream(directory / "data" / "postmaster.pid") << ::getpid() << "\n/nowhere\n1\n5432\n";
    auto cluster = Cluster::start(optionsFor(directory), testLogger());
    ASSERT_TRUE(cluster.has_value()) << cluster.error().message;
    EXPECT_EQ(query((*cluster)->connectionString(), "SELECT 1"), "1");
}

TEST(PostgresCluster, RefusesASecondServerAndNamesTheFirst)
{
    test::TestCluster& shared = test::sharedCluster();
    const auto second = Cluster::start(optionsFor(shared.directory.path() / "pg"), testLogger());
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().code, ErrorCode::Conflict);
    EXPECT_NE(second.error().message.find("process " + std::to_string(::getpid())), std::string::npos)
        << second.error().message;
    EXPECT_EQ(query(shared.cluster->connectionString(), "SELECT 1"), "1");
}

TEST(PostgresCluster, RefusesADatabaseOfAnotherVersionAndSaysWhatToDo)
{
    const TemporaryDirectory temporary;
    const fs::path directory = temporary.path() / "pg";
    ASSERT_TRUE(Cluster::start(optionsFor(directory), testLogger()).has_value());
    std::ofstream(directory / "data" / "PG_VERSION") << "9\n";
    const auto refused = Cluster::start(optionsFor(directory), testLogger());
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::Invalid);
    for (const char* part : {"PostgreSQL 9", "installed is", "postgresql-9", "pg_upgrade"})
        EXPECT_NE(refused.error().message.find(part), std::string::npos) << refused.error().message;
    std::ofstream(directory / "data" / "PG_VERSION") << "elephant\n";
    const auto odd = Cluster::start(optionsFor(directory), testLogger());
    ASSERT_FALSE(odd.has_value());
    EXPECT_NE(odd.error().message.find("elephant"), std::string::npos) << odd.error().message;
}

TEST(PostgresCluster, SaysWhenNoServerIsInstalled)
{
    const TemporaryDirectory temporary;
    ClusterOptions options = optionsFor(temporary.path() / "pg");
    options.versionsDirectory = temporary.path() / "none";
    options.searchPath = "/nowhere:" + temporary.path().string();
    const auto refused = Cluster::start(options, testLogger());
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::NotFound);
    EXPECT_NE(refused.error().message.find("postgresql"), std::string::npos);
}

TEST(PostgresCluster, FindsItsProgramsOnTheSearchPath)
{
    const auto installed = findInstallations(ClusterOptions{});
    ASSERT_FALSE(installed.empty());
    ClusterOptions options;
    options.versionsDirectory = "/nowhere";
    options.searchPath = "/nowhere:" + installed.front().programs.string();
    const auto found = findInstallations(options);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found.front().major, installed.front().major);
}

TEST(PostgresCluster, StartsAfterAnInterruptedInitdb)
{
    const TemporaryDirectory temporary;
    const fs::path directory = temporary.path() / "pg";
    std::error_code failed;
    fs::create_directories(directory / "data.new" / "base", failed);
    std::ofstream(directory / "data.new" / "PG_VERSION") << "1";
    auto cluster = Cluster::start(optionsFor(directory), testLogger());
    ASSERT_TRUE(cluster.has_value()) << cluster.error().message;
    EXPECT_FALSE(fs::exists(directory / "data.new"));
}

TEST(PostgresCluster, TellsTheLastWordsOfAServerThatDoesNotStart)
{
    const TemporaryDirectory temporary;
    const fs::path directory = temporary.path() / "pg";
    ASSERT_TRUE(Cluster::start(optionsFor(directory), testLogger()).has_value());
    std::ofstream(directory / "postgresql.local.conf") << "shared_buffers = 'a lot'\n";
    const auto refused = Cluster::start(optionsFor(directory), testLogger());
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::Unavailable);
    EXPECT_NE(refused.error().message.find("shared_buffers"), std::string::npos) << refused.error().message;
}

TEST(PostgresCluster, UsesAShortSocketNameForALongDirectory)
{
    const TemporaryDirectory temporary;
    const TemporaryDirectory shortOne;
    ClusterOptions options = optionsFor(temporary.path() / std::string(120, 'd'));
    options.shortDirectory = shortOne.path();
    auto cluster = Cluster::start(options, testLogger());
    ASSERT_TRUE(cluster.has_value()) << cluster.error().message;
    EXPECT_EQ(query((*cluster)->connectionString(), "SELECT 1"), "1");
    EXPECT_TRUE(isShortEnough(std::string(107 - 14, 's')));
    EXPECT_FALSE(isShortEnough(std::string(108 - 14, 's')));
}

TEST(PostgresCluster, KeepsTheSocketToItself)
{
    test::TestCluster& shared = test::sharedCluster();
    struct stat info = {};
    ASSERT_EQ(::stat((shared.directory.path() / "pg" / "socket").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0700U);
    ASSERT_EQ(::stat((shared.directory.path() / "pg" / "data").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0700U);
}

TEST(PostgresCluster, ReadsThePostmasterFile)
{
    EXPECT_FALSE(parsePostmasterFile("").has_value());
    EXPECT_FALSE(parsePostmasterFile("x\n").has_value());
    EXPECT_FALSE(parsePostmasterFile("0\n").has_value());
    EXPECT_FALSE(parsePostmasterFile("99999999999\n").has_value());
    const auto starting = parsePostmasterFile("77\n/data\n1\n5432\n/socket\n\n 1 2\nstarting\n");
    ASSERT_TRUE(starting.has_value());
    EXPECT_EQ(starting->pid, 77);
    EXPECT_FALSE(starting->isReady);
    EXPECT_TRUE(parsePostmasterFile("77\n/data\n1\n5432\n/socket\n\n 1 2\nready   \n")->isReady);
    EXPECT_EQ(parseVersion("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), 15);
    EXPECT_EQ(parseVersion("postgres (PostgreSQL) 17devel"), 17);
    EXPECT_FALSE(parseVersion("postgres 15").has_value());
}

// ------------------------------------------------------------------------------- as root, and as who is not root

TEST(PostgresCluster, NamesTheDirectoryThatItsUserMayNotEnter)
{
    if (::geteuid() != 0)
        return; // an ordinary user runs the database as itself: nothing to enter
    const TemporaryDirectory temporary;
    const fs::path closed = temporary.path() / "closed";
    ASSERT_EQ(::mkdir(closed.c_str(), 0700), 0);
    const auto refused = Cluster::start(optionsFor(closed / "pg"), testLogger());
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::Invalid);
    EXPECT_NE(refused.error().message.find(closed.string() + ":"), std::string::npos) << refused.error().message;
    EXPECT_NE(refused.error().message.find("chmod o+x"), std::string::npos);
}

// Runs the check as an ordinary user in a child; 0 when it returned true.
int asOrdinaryUser(const std::function<bool()>& check)
{
    const pid_t child = ::fork();
    if (child == 0) {
        if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0))
            ::_exit(2);
        ::_exit(check() ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
}

TEST(PostgresCluster, WorksForAnOrdinaryUser)
{
    const TemporaryDirectory temporary;
    ASSERT_EQ(::chmod(temporary.path().c_str(), 01777), 0);
    const int status = asOrdinaryUser([&temporary] {
        auto cluster = Cluster::start(optionsFor(temporary.path() / "pg"), testLogger());
        if (!cluster)
            fprintf(stderr, "%s\n", cluster.error().message.c_str());
        return cluster && query((*cluster)->connectionString(), "SELECT 5") == "5";
    });
    EXPECT_EQ(status, 0);
    // Root takes it over as that user, and does not change its owner.
    auto cluster = Cluster::start(optionsFor(temporary.path() / "pg"), testLogger());
    ASSERT_TRUE(cluster.has_value()) << cluster.error().message;
    EXPECT_EQ(query((*cluster)->connectionString(), "SELECT 5"), "5");
}

TEST(PostgresCluster, TellsAnOrdinaryUserThatTheFilesAreAnothers)
{
    if (::geteuid() != 0)
        return; // cannot make files of another user
    const TemporaryDirectory temporary;
    ASSERT_EQ(::chmod(temporary.path().c_str(), 01777), 0);
    const fs::path directory = temporary.path() / "pg";
    ASSERT_TRUE(Cluster::start(optionsFor(directory), testLogger()).has_value());
    ASSERT_EQ(::chmod(directory.c_str(), 0777), 0);
    ASSERT_EQ(::chmod((directory / "lock").c_str(), 0666), 0);
    const int status = asOrdinaryUser([&directory] {
        const auto refused = Cluster::start(optionsFor(directory), testLogger());
        return !refused && refused.error().code == ErrorCode::Invalid &&
               refused.error().message.find("chown") != std::string::npos;
    });
    EXPECT_EQ(status, 0);
}

} // namespace
} // namespace penstock::postgres_cluster
