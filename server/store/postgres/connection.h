// SPDX-License-Identifier: GPL-3.0-or-later
// Connection: one libpq handle, used by one thread at a time. Its calls block, but never for good: a waking descriptor
// (StopSignal) ends every wait soon after the owner wants to stop, TCP keep-alives end those for a vanished host.
//
// Errors by SQLSTATE: Unavailable (connection lost or refused, server shutting down, out of resources, read-only, a
// serialisation failure, a deadlock, or a row to refer to that has gone: the same may be tried again), Conflict (unique
// and other integrity violations, missing tables, anything that trying again cannot help), Timeout (it took too long or
// was cancelled by hand), Cancelled (stop is wanted).
// After Unavailable ask isUsable(): false means open a new one.
#pragma once

#include "server/store/postgres/parameters.h"
#include "server/store/postgres/rows.h"
#include "shared/base/result.h"

#include <chrono>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace penstock::store::postgres {

// Wakes waiting connections. request() from any thread, once; the rest by the waiting threads.
class StopSignal {
public:
    StopSignal();
    ~StopSignal();
    StopSignal(const StopSignal&) = delete;
    StopSignal& operator=(const StopSignal&) = delete;

    void request();
    [[nodiscard]] int descriptor() const { return m_descriptor; }
    [[nodiscard]] bool isRequested() const;
    // True when it slept through, false when stop is wanted.
    [[nodiscard]] bool sleepFor(std::chrono::milliseconds time) const;

private:
    int m_descriptor; // an eventfd, never read
};

struct Statement {
    const char* name; // it is prepared under this name at its first use on a connection
    const char* sql;
};

struct Request {
    const Statement* statement;
    Parameters parameters = {};
    std::function<Parameters()> make = {}; // in place of parameters, when it is sent: what is large is there once only
};

class Connection {
public:
    // applicationName is shown in pg_stat_activity.
    [[nodiscard]] static Result<Connection> open(const std::string& connectionString,
                                                 const std::string& applicationName, const StopSignal& stop);

    // One statement, prepared, in a transaction of its own or in the open one.
    [[nodiscard]] Result<Rows> run(const Statement& statement, const Parameters& parameters = {});
    // All of them in one pipeline: one round trip. The first error is the answer; those after it were not carried out.
    [[nodiscard]] Result<std::vector<Rows>> runAll(std::span<const Request> requests);
    // Not prepared, planned for these very values.
    [[nodiscard]] Result<Rows> runPlanned(const Statement& statement, const Parameters& parameters);
    // Text with several statements and no parameters.
    [[nodiscard]] Result<void> runScript(const std::string& sql);

    // Names of channels (LISTEN) on which something was told, without repeats: as soon as there is one, or, perhaps
    // empty, when the time is over or `wake`, a descriptor, can be read from; -1: none. Outside of a transaction.
    [[nodiscard]] Result<std::set<std::string>> waitForNotifications(std::chrono::milliseconds time, int wake = -1);

    [[nodiscard]] bool isUsable() const { return ::PQstatus(m_handle.get()) == CONNECTION_OK && !m_isBroken; }
    [[nodiscard]] int backend() const { return ::PQbackendPID(m_handle.get()); } // pid of the server's process

private:
    struct HandleDeleter {
        void operator()(PGconn* handle) const { ::PQfinish(handle); }
    };
    using Deadline = std::chrono::steady_clock::time_point;

    Connection(PGconn* handle, const StopSignal& stop) : m_handle(handle), m_stop(&stop) {}
    [[nodiscard]] Result<void> connect();
    [[nodiscard]] Result<void> prepare(const Statement& statement);
    [[nodiscard]] Result<void> waitFor(short events, Deadline& deadline);
    [[nodiscard]] Result<void> flush();
    [[nodiscard]] Result<ResultPointer> next();
    [[nodiscard]] Result<Rows> onlyResult();
    [[nodiscard]] Result<std::vector<Rows>> collect(std::size_t count);
    [[nodiscard]] Error lost(const char* doing);

    std::unique_ptr<PGconn, HandleDeleter> m_handle;
    const StopSignal* m_stop;
    std::set<const Statement*> m_prepared;
    bool m_isBroken = false; // answers are out of step; only closing helps
};

// Of a failed result or state. Exposed for tests.
[[nodiscard]] ErrorCode codeOfSqlState(std::string_view state);

} // namespace penstock::store::postgres
