// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/postgres_cluster/detail/installation.h"

#include "server/postgres_cluster/detail/child_process.h"
#include "shared/base/text.h"

#include <algorithm>
#include <fmt/core.h>
#include <fstream>
#include <sys/wait.h>

namespace penstock::postgres_cluster {
namespace {

namespace fs = std::filesystem;

bool isProgram(const fs::path& path)
{
    return ::access(path.c_str(), X_OK) == 0;
}

std::optional<Installation> installationIn(const fs::path& directory)
{
    if (!isProgram(directory / "postgres") || !isProgram(directory / "initdb"))
        return std::nullopt;
    const auto told = runToEnd({{(directory / "postgres").string(), "--version"}}, std::chrono::seconds(20));
    if (!told || !WIFEXITED(told->status) || WEXITSTATUS(told->status) != 0)
        return std::nullopt;
    const auto major = parseVersion(told->output);
    return major ? std::optional(Installation{*major, directory}) : std::nullopt;
}

Result<int> versionOf(const fs::path& database)
{
    std::ifstream file(database / "PG_VERSION");
    std::string text;
    std::getline(file, text);
    const auto major = parseUnsigned(trim(text));
    if (!major || *major == 0 || *major > 1'000)
        return fail(ErrorCode::Invalid,
                    fmt::format("{} does not name a PostgreSQL version (\"{}\"): restore the database directory from "
                                "a backup, or move it away to start with an empty one",
                                (database / "PG_VERSION").string(), text.substr(0, 40)));
    return static_cast<int>(*major);
}

} // namespace

std::optional<int> parseVersion(std::string_view text)
{
    constexpr std::string_view kMark = "(PostgreSQL) ";
    const auto at = text.find(kMark);
    if (at == std::string_view::npos)
        return std::nullopt;
    const std::string_view number = text.substr(at + kMark.size());
    const auto major = parseUnsigned(number.substr(0, number.find_first_not_of("0123456789")));
    if (!major || *major == 0 || *major > 1'000)
        return std::nullopt;
    return static_cast<int>(*major);
}

std::vector<Installation> findInstallations(const ClusterOptions& options)
{
    std::vector<Installation> found;
    std::error_code ignored; // a missing directory holds none
    for (const auto& entry : fs::directory_iterator(options.versionsDirectory, ignored))
        if (auto installation = installationIn(entry.path() / "bin"))
            found.push_back(*std::move(installation));
    for (const std::string_view directory : split(options.searchPath, ':'))
        if (!directory.empty())
            if (auto installation = installationIn(fs::path(directory)))
                found.push_back(*std::move(installation));
    std::ranges::stable_sort(found, std::greater{}, &Installation::major);
    return found;
}

Result<Installation> chooseInstallation(const ClusterOptions& options, const fs::path& database)
{
    const std::vector<Installation> found = findInstallations(options);
    if (found.empty())
        return fail(ErrorCode::NotFound,
                    fmt::format("no PostgreSQL server found in {}/*/bin or on the search path: install the package "
                                "postgresql, or name an existing server with --db-url",
                                options.versionsDirectory.string()));
    std::error_code ignored; // unreadable counts as there: versionOf() then tells
    if (fs::symlink_status(database, ignored).type() == fs::file_type::not_found)
        return found.front();
    PENSTOCK_TRY(const int major, versionOf(database));
    std::string installed;
    for (const Installation& installation : found) {
        if (installation.major == major)
            return installation;
        installed += fmt::format("{}{}", installed.empty() ? "" : ", ", installation.major);
    }
    return fail(ErrorCode::Invalid,
                fmt::format("the database in {} was made by PostgreSQL {}, but installed is {}: install "
                            "postgresql-{} to go on as before; or, with both installed, move it over with "
                            "pg_upgrade (see \"Upgrading PostgreSQL\" in the README of server/postgres_cluster)",
                            database.string(), major, installed, major));
}

} // namespace penstock::postgres_cluster
