// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/hydra_database.h"

#include "shared/base/text.h"
#include "tests/support/postgres_fixture.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

namespace penstock::test {
namespace {

struct Clearer {
    void operator()(PGresult* result) const { ::PQclear(result); }
};
using Answer = std::unique_ptr<PGresult, Clearer>;

constexpr const char* kMark = "recorder_mark"; // all that was committed before it arrives before it

std::string sqlText(std::string_view text)
{
    std::string out = "'";
    for (const char each : text)
        out += each == '\'' ? std::string("''") : std::string(1, each);
    return out + "'";
}

std::string orNull(std::optional<int> value)
{
    return value ? fmt::format("{}", *value) : "NULL";
}

int numberOf(HydraSession& session, const std::string& sql)
{
    const auto number = parseSigned(session.value(sql));
    if (!number)
        ADD_FAILURE() << sql.substr(0, 500) << "\nis no number";
    return number ? static_cast<int>(*number) : 0;
}

std::string schemaText()
{
    std::ifstream file(PENSTOCK_HYDRA_SCHEMA);
    std::ostringstream text;
    text << file.rdbuf();
    if (text.str().empty())
        ADD_FAILURE() << "cannot read " << PENSTOCK_HYDRA_SCHEMA;
    return text.str();
}

} // namespace

HydraSession::HydraSession(const std::string& url) : m_handle(::PQconnectdb(url.c_str()))
{
    if (::PQstatus(m_handle.get()) != CONNECTION_OK)
        ADD_FAILURE() << "cannot connect to " << url << ": " << ::PQerrorMessage(m_handle.get());
    // Notices would be printed between the lines of the tests.
    ::PQsetNoticeProcessor(m_handle.get(), [](void*, const char*) {}, nullptr);
}

void HydraSession::run(const std::string& sql)
{
    const Answer answer(::PQexec(m_handle.get(), sql.c_str()));
    const ExecStatusType status = ::PQresultStatus(answer.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        ADD_FAILURE() << sql.substr(0, 500) << "\n" << ::PQerrorMessage(m_handle.get());
}

std::vector<std::string> HydraSession::rows(const std::string& sql)
{
    const Answer answer(::PQexec(m_handle.get(), sql.c_str()));
    if (::PQresultStatus(answer.get()) != PGRES_TUPLES_OK) {
        ADD_FAILURE() << sql.substr(0, 500) << "\n" << ::PQerrorMessage(m_handle.get());
        return {};
    }
    std::vector<std::string> all;
    for (int row = 0; row < ::PQntuples(answer.get()); ++row) {
        std::vector<std::string> columns;
        for (int column = 0; column < ::PQnfields(answer.get()); ++column)
            columns.emplace_back(::PQgetisnull(answer.get(), row, column) != 0
                                     ? "NULL"
                                     : ::PQgetvalue(answer.get(), row, column));
        all.push_back(fmt::format("{}", fmt::join(columns, "|")));
    }
    return all;
}

std::string HydraSession::value(const std::string& sql)
{
    const std::vector<std::string> all = rows(sql);
    if (all.size() != 1) {
        ADD_FAILURE() << sql.substr(0, 500) << "\n" << all.size() << " rows, not one";
        return {};
    }
    return all.front();
}

HydraDatabase::HydraDatabase() : m_url(newDatabase()), m_session(m_url)
{
    m_session.run(schemaText());
    insertJobset("project", "jobset");
}

int HydraDatabase::insertJobset(const std::string& project, const std::string& name, int shares)
{
    run(fmt::format("INSERT INTO users (username, emailaddress, password) VALUES ('owner', 'owner@localhost', '!')"
                    " ON CONFLICT DO NOTHING;"
                    "INSERT INTO projects (name, displayname, owner) VALUES ({0}, {0}, 'owner') ON CONFLICT DO NOTHING",
                    sqlText(project)));
    const std::string insert = fmt::format("INSERT INTO jobsets (project, name, emailoverride, schedulingshares)"
                                           " VALUES ({}, {}, '', {}) RETURNING id",
                                           sqlText(project), sqlText(name), shares);
    return numberOf(m_session, insert);
}

int HydraDatabase::insertBuild(const HydraBuild& build)
{
    run("BEGIN");
    const std::string insert = fmt::format(
        "INSERT INTO builds (finished, timestamp, jobset_id, job, nixname, drvpath, system, maxsilent, timeout,"
        " iscurrent, priority, globalpriority) VALUES (0, {}, {}, {}, {}, {}, {}, {}, {}, 1, {}, {}) RETURNING id",
        build.timestamp, build.jobset, sqlText(build.job), sqlText(build.job), sqlText(build.drvPath),
        sqlText(build.system), orNull(build.maxSilent), orNull(build.timeout), build.priority, build.globalPriority);
    const int id = numberOf(m_session, insert);
    for (const HydraOutput& output : build.outputs)
        run(fmt::format("INSERT INTO buildoutputs (build, name, path) VALUES ({}, {}, {})", id, sqlText(output.name),
                        output.path ? sqlText(*output.path) : "NULL"));
    run("COMMIT");
    return id;
}

int HydraDatabase::insertFinishedBuild(const HydraBuild& build, int status, int stopTime)
{
    const int id = insertBuild(build);
    run(fmt::format("UPDATE builds SET finished = 1, buildstatus = {}, starttime = {}, stoptime = {},"
                    " iscachedbuild = 0 WHERE id = {}",
                    status, stopTime - 10, stopTime, id));
    return id;
}

void HydraDatabase::cancel(int build)
{
    run(fmt::format("UPDATE builds SET finished = 1, iscachedbuild = 0, buildstatus = 4,"
                    " starttime = extract(epoch from now())::int, stoptime = extract(epoch from now())::int"
                    " WHERE id = {} AND finished = 0",
                    build));
}

void HydraDatabase::restart(int build)
{
    run(fmt::format("BEGIN;"
                    "UPDATE jobsetevals SET nrsucceeded = NULL"
                    " WHERE id IN (SELECT eval FROM jobsetevalmembers WHERE build = {0});"
                    "DELETE FROM failedpaths WHERE path IN (SELECT path FROM buildoutputs WHERE build = {0}"
                    " UNION SELECT path FROM buildstepoutputs WHERE build = {0});"
                    "UPDATE builds SET finished = 0, iscachedbuild = 0 WHERE id = {0} AND finished = 1;"
                    "COMMIT",
                    build));
}

void HydraDatabase::bump(int build, int globalPriority)
{
    run(fmt::format("UPDATE builds SET globalpriority = {} WHERE id = {}", globalPriority, build));
}

void HydraDatabase::remove(int build)
{
    run(fmt::format("DELETE FROM builds WHERE id = {}", build));
}

std::string HydraDatabase::buildRow(int build)
{
    return value(fmt::format("SELECT finished, buildstatus, starttime, stoptime, iscachedbuild, size, closuresize,"
                             " releasename, notificationpendingsince FROM builds WHERE id = {}",
                             build));
}

std::vector<std::string> HydraDatabase::stepRows(int build)
{
    return rows(fmt::format("SELECT stepnr, type, drvpath, busy, status, errormsg, starttime, stoptime, machine,"
                            " system, propagatedfrom, resolveddrvpath FROM buildsteps WHERE build = {}"
                            " ORDER BY stepnr",
                            build));
}

std::vector<std::string> HydraDatabase::stepOutputRows(int build)
{
    return rows(fmt::format("SELECT stepnr, name, path FROM buildstepoutputs WHERE build = {} ORDER BY stepnr, name",
                            build));
}

std::vector<std::string> HydraDatabase::outputRows(int build)
{
    return rows(fmt::format("SELECT name, path FROM buildoutputs WHERE build = {} ORDER BY name", build));
}

NotificationRecorder::NotificationRecorder(const std::string& url) : m_session(url)
{
    for (const char* channel : {"step_started", "build_started", "step_finished", "build_finished", "builds_added",
                                "builds_restarted", "builds_cancelled", "builds_deleted", "builds_bumped",
                                "jobset_shares_changed", kMark})
        m_session.run(fmt::format("LISTEN {}", channel));
}

std::vector<std::string> NotificationRecorder::take()
{
    struct Freer {
        void operator()(PGnotify* notification) const { ::PQfreemem(notification); }
    };
    std::vector<std::string> all;
    m_session.run(fmt::format("NOTIFY {}", kMark));
    while (::PQstatus(m_session.handle()) == CONNECTION_OK) {
        const std::unique_ptr<PGnotify, Freer> told(::PQnotifies(m_session.handle()));
        if (told == nullptr) {
            m_session.run("SELECT 1"); // a round trip, so it reads what has come
            continue;
        }
        if (std::string_view(told->relname) == kMark)
            return all;
        std::string line = told->relname;
        if (told->extra[0] != '\0')
            line += fmt::format(" {}", told->extra);
        std::replace(line.begin(), line.end(), '\t', ' ');
        all.push_back(std::move(line));
    }
    ADD_FAILURE() << "the recorder's connection is lost: " << ::PQerrorMessage(m_session.handle());
    return all;
}

} // namespace penstock::test
