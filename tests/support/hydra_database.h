// SPDX-License-Identifier: GPL-3.0-or-later
// A fresh database with Hydra's tables (tests/support/hydra/schema.sql) in the test program's own PostgreSQL, rows as
// an evaluator inserts them, rows as text, and what is notified. A statement that fails fails the test. One thread.
#pragma once

#include <libpq-fe.h>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace penstock::test {

struct HydraOutput {
    std::string name = "out";
    std::optional<std::string> path = std::nullopt; // nothing: only the build can tell
};

struct HydraBuild { // as the evaluator says it
    int jobset = 1;
    std::string job = "job";
    std::string drvPath;
    std::vector<HydraOutput> outputs = {};
    std::string system = "x86_64-linux";
    int timestamp = 1'700'000'000; // Unix seconds
    int priority = 100;
    int globalPriority = 0;
    std::optional<int> maxSilent = std::nullopt; // seconds; nothing: the runner's default
    std::optional<int> timeout = std::nullopt;
};

// One libpq connection with answers as text.
class HydraSession {
public:
    explicit HydraSession(const std::string& url);

    void run(const std::string& sql); // any number of statements
    // Each row as its columns with "|" between them, null as "NULL"; in the order of the statement.
    [[nodiscard]] std::vector<std::string> rows(const std::string& sql);
    // The first column of the only row; "NULL" for null.
    [[nodiscard]] std::string value(const std::string& sql);
    [[nodiscard]] PGconn* handle() const { return m_handle.get(); }

private:
    struct Closer {
        void operator()(PGconn* handle) const { ::PQfinish(handle); }
    };
    std::unique_ptr<PGconn, Closer> m_handle;
};

class HydraDatabase {
public:
    // With project "project" and jobset "project:jobset", id 1, 100 shares.
    HydraDatabase();

    [[nodiscard]] const std::string& url() const { return m_url; } // for libpq, so for --db-url too
    [[nodiscard]] HydraSession& session() { return m_session; }
    void run(const std::string& sql) { m_session.run(sql); }
    [[nodiscard]] std::vector<std::string> rows(const std::string& sql) { return m_session.rows(sql); }
    [[nodiscard]] std::string value(const std::string& sql) { return m_session.value(sql); }

    // Answers the id. The project is made when there is none.
    int insertJobset(const std::string& project, const std::string& name, int shares = 100);
    // The row and its outputs, one transaction, nothing notified. Answers the id.
    int insertBuild(const HydraBuild& build);
    // What a finished earlier build leaves: finished, buildstatus, times, its outputs' paths.
    int insertFinishedBuild(const HydraBuild& build, int status, int stopTime = 1'700'000'100);
    // As the web interface does it, each in one transaction with its triggers.
    void cancel(int build);
    void restart(int build);
    void bump(int build, int globalPriority);
    void remove(int build);

    // "finished|buildstatus|starttime|stoptime|iscachedbuild|size|closuresize|releasename|notificationpendingsince"
    [[nodiscard]] std::string buildRow(int build);
    // In the order of stepnr, each
    // "stepnr|type|drvpath|busy|status|errormsg|starttime|stoptime|machine|system|propagatedfrom|resolveddrvpath".
    [[nodiscard]] std::vector<std::string> stepRows(int build);
    // "stepnr|name|path", ordered by both.
    [[nodiscard]] std::vector<std::string> stepOutputRows(int build);
    [[nodiscard]] std::vector<std::string> outputRows(int build); // "name|path"

private:
    std::string m_url;
    HydraSession m_session;
};

// Records notifications from its making on, on a connection of its own.
class NotificationRecorder {
public:
    // The four that a runner sends and the six that it is told.
    explicit NotificationRecorder(const std::string& url);

    // What was committed before this call and is not taken yet, in order, each "channel payload" (an empty payload:
    // "channel"); the tabs in a payload are spaces.
    [[nodiscard]] std::vector<std::string> take();

private:
    HydraSession m_session;
};

} // namespace penstock::test
