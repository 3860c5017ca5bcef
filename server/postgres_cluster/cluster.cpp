// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/postgres_cluster/cluster.h"

#include "server/postgres_cluster/detail/child_process.h"
#include "server/postgres_cluster/detail/directory.h"
#include "server/postgres_cluster/detail/installation.h"
#include "server/postgres_cluster/detail/settings.h"
#include "server/postgres_cluster/detail/supervisor.h"

#include <csignal>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/wait.h>

namespace penstock::postgres_cluster {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kInitLimit(300);

std::string quoteValue(std::string_view text) // as libpq wants it
{
    std::string quoted = "'";
    for (const char c : text) {
        if (c == '\'' || c == '\\')
            quoted += '\\';
        quoted += c;
    }
    return quoted + "'";
}

Result<void> syncDirectory(const fs::path& path)
{
    const FileDescriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.isOpen() || ::fsync(directory.get()) != 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot sync {}: {}", path.string(), errorText(errno)));
    return {};
}

// Into another name first, then renamed: a crash in between leaves nothing that looks like a database.
Result<void> initialise(const Layout& layout, const Installation& installation, Logger& logger)
{
    std::error_code failed;
    fs::remove_all(layout.unfinished, failed);
    if (failed)
        return fail(ErrorCode::Unavailable, fmt::format("cannot remove {}, left from an earlier start: {}",
                                                        layout.unfinished.string(), failed.message()));
    PENSTOCK_TRY_VOID(makePrivateDirectory(layout.unfinished, layout.account));
    const Program initdb{{(installation.programs / "initdb").string(), "--pgdata=" + layout.unfinished.string(),
                          "--username=penstock", "--auth=trust", "--encoding=UTF8", "--locale=C",
                          "--no-instructions"},
                         "/",
                         layout.account,
                         SIGKILL};
    logger.info("postgres.initialising", {{"directory", layout.directory.string()}, {"version", installation.major}});
    PENSTOCK_TRY(const Outcome outcome, runToEnd(initdb, kInitLimit));
    if (!WIFEXITED(outcome.status) || WEXITSTATUS(outcome.status) != 0)
        return fail(ErrorCode::Unavailable, fmt::format("{} failed with {}: {}", initdb.argv.front(),
                                                        describeStatus(outcome.status), outcome.output));
    fs::rename(layout.unfinished, layout.database, failed);
    if (failed)
        return fail(ErrorCode::Unavailable, fmt::format("cannot rename {} to {}: {}", layout.unfinished.string(),
                                                        layout.database.string(), failed.message()));
    return syncDirectory(layout.directory);
}

Result<Program> writeSettings(const Layout& layout, const Installation& installation)
{
    const std::string directory = layout.directory.string();
    PENSTOCK_TRY_VOID(writeFile(layout.directory / "postgresql.conf",
                                serverSettings(directory, layout.socketDirectory.string())));
    PENSTOCK_TRY_VOID(writeFile(layout.directory / "pg_hba.conf", accessRules()));
    PENSTOCK_TRY_VOID(writeFile(layout.directory / "pg_ident.conf", ""));
    std::error_code ignored; // unreadable: the postmaster then tells
    if (const fs::path own = layout.directory / "postgresql.local.conf"; !fs::exists(own, ignored))
        PENSTOCK_TRY_VOID(writeFile(own, "# Your own settings for Penstock's database; read last at each start.\n"));
    return Program{{(installation.programs / "postgres").string(), "-D", layout.database.string(), "-c",
                    "config_file=" + directory + "/postgresql.conf", "-c",
                    "hba_file=" + directory + "/pg_hba.conf", "-c", "ident_file=" + directory + "/pg_ident.conf"},
                   "/",
                   layout.account,
                   SIGINT};
}

} // namespace

Cluster::Cluster(std::unique_ptr<DirectoryLock> lock, std::unique_ptr<Supervisor> supervisor, std::string connection)
    : m_lock(std::move(lock)), m_supervisor(std::move(supervisor)), m_connectionString(std::move(connection))
{
}

Cluster::~Cluster()
{
    stop();
}

void Cluster::stop()
{
    if (m_supervisor != nullptr)
        m_supervisor->stop();
}

Result<std::unique_ptr<Cluster>> Cluster::start(ClusterOptions options, Logger& logger)
{
    std::error_code failed;
    options.directory = fs::absolute(options.directory, failed).lexically_normal();
    if (failed)
        return fail(ErrorCode::Invalid, fmt::format("cannot use the directory {}: {}", options.directory.string(),
                                                    failed.message()));
    PENSTOCK_TRY(auto lock, lockDirectory(options.directory));
    PENSTOCK_TRY(Layout layout, prepareLayout(options));
    PENSTOCK_TRY(const Installation installation, chooseInstallation(options, layout.database));
    if (!fs::exists(fs::symlink_status(layout.database, failed)))
        PENSTOCK_TRY_VOID(initialise(layout, installation, logger));
    PENSTOCK_TRY(Program program, writeSettings(layout, installation));
    std::string connection = fmt::format("host={} port=5432 user=penstock dbname=postgres",
                                         quoteValue(layout.socketDirectory.string()));
    PENSTOCK_TRY(auto supervisor,
                 Supervisor::start({std::move(program), std::move(layout), options.startLimit, options.stopLimit,
                                    std::move(options.onHealth)},
                                   logger));
    return std::unique_ptr<Cluster>(new Cluster(std::move(lock), std::move(supervisor), std::move(connection)));
}

} // namespace penstock::postgres_cluster
