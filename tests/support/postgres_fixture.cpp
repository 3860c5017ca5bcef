// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/postgres_fixture.h"

#include <cstdio>
#include <cstdlib>
#include <fmt/core.h>
#include <fstream>
#include <libpq-fe.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::test {
namespace {

struct StderrLogger final : Logger {
    bool isOn = std::getenv("PENSTOCK_TEST_LOG") != nullptr;

    void log(LogLevel, std::string_view event, std::initializer_list<LogField> fields) override
    {
        if (!isOn)
            return;
        std::string line(event);
        for (const LogField& field : fields)
            if (const auto* text = std::get_if<std::string>(&field.value))
                line += fmt::format(" {}={:?}", field.key, *text);
            else if (const auto* number = std::get_if<std::int64_t>(&field.value))
                line += fmt::format(" {}={}", field.key, *number);
        fmt::print(stderr, "{}\n", line);
    }
};

[[noreturn]] void endProgram(const std::string& why)
{
    fmt::print(stderr, "the tests need a PostgreSQL server: {}\n", why);
    std::exit(1);
}

// In memory when there is room: tests are about what happens, not about how fast a busy disk syncs.
std::filesystem::path pathOf(Place place)
{
    constexpr std::uintmax_t kEnough = 2ULL << 30U;
    std::error_code failed;
    const auto room = std::filesystem::space("/dev/shm", failed);
    if (place == Place::Memory && !failed && room.available >= kEnough && ::access("/dev/shm", W_OK) == 0)
        return "/dev/shm";
    auto disk = std::filesystem::temp_directory_path(failed);
    return failed ? std::filesystem::path("/tmp") : disk;
}

} // namespace

Logger& testLogger()
{
    static StderrLogger logger;
    return logger;
}

TemporaryDirectory::TemporaryDirectory(Place place)
{
    std::string name = (pathOf(place) / "penstock-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr || ::chmod(name.c_str(), 0711) != 0)
        endProgram("cannot make a temporary directory " + name);
    m_path = name;
}

TemporaryDirectory::~TemporaryDirectory()
{
    std::error_code ignored;
    std::filesystem::remove_all(m_path, ignored);
}

int TestCluster::postmaster() const
{
    std::ifstream file(directory.path() / "pg" / "data" / "postmaster.pid");
    int pid = 0;
    file >> pid;
    if (pid <= 1)
        endProgram("no postmaster.pid in " + directory.path().string());
    return pid;
}

TestCluster& sharedCluster(Place place)
{
    Logger& logger = testLogger(); // first, so that it outlives the cluster
    static TestCluster shared{TemporaryDirectory(place), nullptr};
    if (shared.cluster == nullptr) {
        postgres_cluster::ClusterOptions options;
        options.directory = shared.directory.path() / "pg";
        auto cluster = postgres_cluster::Cluster::start(options, logger);
        if (!cluster)
            endProgram(cluster.error().message);
        shared.cluster = *std::move(cluster);
    }
    return shared;
}

std::string newDatabase()
{
    static int count = 0;
    const std::string name = fmt::format("test{}", ++count);
    const std::string& connection = sharedCluster().cluster->connectionString();
    PGconn* handle = ::PQconnectdb(connection.c_str());
    PGresult* made = ::PQexec(handle, fmt::format("CREATE DATABASE {}", name).c_str());
    if (::PQresultStatus(made) != PGRES_COMMAND_OK)
        endProgram(::PQerrorMessage(handle));
    ::PQclear(made);
    ::PQfinish(handle);
    return connection.substr(0, connection.rfind("dbname=")) + "dbname=" + name;
}

} // namespace penstock::test
