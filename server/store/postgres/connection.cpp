// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/connection.h"

#include "shared/base/check.h"
#include "shared/base/text.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/core.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>

namespace penstock::store::postgres {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kMaxUnsent = std::size_t{1} << 20U; // bytes of one request that may wait with others
constexpr std::chrono::seconds kConnectLimit(15);
constexpr std::chrono::seconds kStopLimit(5); // for what is under way when stop is asked for

int millisecondsUntil(Clock::time_point deadline)
{
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 3'600'000));
}

std::string oneLine(const char* text)
{
    std::string line;
    for (const std::string_view part : split(text == nullptr ? "" : text, '\n')) {
        const std::string_view words = trim(part);
        if (!words.empty())
            line += (line.empty() ? "" : "; ") + toValidUtf8(words);
    }
    return line;
}

Error errorOf(const PGresult* result)
{
    const char* state = ::PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const std::string_view sqlState = state == nullptr ? "08006" : state;
    return {codeOfSqlState(sqlState),
            fmt::format("the database says: {} ({})", oneLine(::PQresultErrorMessage(result)), sqlState)};
}

} // namespace

ErrorCode codeOfSqlState(std::string_view state)
{
    // 08 connection, 23503 what a row was to refer to is gone since it was read (our own tables refer to none),
    // 25006 read-only (a stand-by), 28 and 3D: not let in now, 40001 and 40P01 try again, 53 resources, 55 not in the
    // state for it, 57 shutdown or cancelled, 58 system, XX internal.
    if (state == "57014") // statement_timeout, or cancelled by a person
        return ErrorCode::Timeout;
    for (const std::string_view start :
         {"08", "23503", "25006", "28", "3D", "40001", "40P01", "53", "55", "57", "58", "XX"})
        if (state.starts_with(start))
            return ErrorCode::Unavailable;
    return ErrorCode::Conflict;
}

// ------------------------------------------------------------------------------------------------- StopSignal

StopSignal::StopSignal() : m_descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
{
    PENSTOCK_CHECK(m_descriptor >= 0);
}
StopSignal::~StopSignal()
{
    ::close(m_descriptor);
}
void StopSignal::request()
{
    ::eventfd_write(m_descriptor, 1);
}
bool StopSignal::isRequested() const
{
    return !sleepFor(milliseconds(0));
}
bool StopSignal::sleepFor(milliseconds time) const
{
    const auto deadline = Clock::now() + time;
    pollfd waited{m_descriptor, POLLIN, 0};
    int ready = 0;
    do
        ready = ::poll(&waited, 1, millisecondsUntil(deadline));
    while (ready < 0 && errno == EINTR);
    return ready <= 0;
}

// ------------------------------------------------------------------------------------------------- connecting

Result<Connection> Connection::open(const std::string& connectionString, const std::string& applicationName,
                                    const StopSignal& stop)
{
    // What stands before dbname may be overridden in the string, what stands after it may not.
    const std::array<const char*, 8> keywords{"keepalives_idle",  "keepalives_interval", "keepalives_count",
                                              "tcp_user_timeout", "dbname",              "client_encoding",
                                              "application_name", nullptr};
    const std::array<const char*, 8> values{"10",    "5", "3", "20000", connectionString.c_str(), "UTF8",
                                            applicationName.c_str(), nullptr};
    PGconn* handle = ::PQconnectStartParams(keywords.data(), values.data(), 1);
    if (handle == nullptr)
        return fail(ErrorCode::Internal, "libpq has no memory for a connection");
    Connection connection(handle, stop);
    PENSTOCK_TRY_VOID(connection.connect());
    return connection;
}

Result<void> Connection::connect()
{
    Deadline deadline = Clock::now() + kConnectLimit;
    auto state = PGRES_POLLING_WRITING;
    if (::PQstatus(m_handle.get()) == CONNECTION_BAD)
        state = PGRES_POLLING_FAILED;
    while (state != PGRES_POLLING_OK) {
        if (state == PGRES_POLLING_FAILED)
            return fail(ErrorCode::Unavailable,
                        fmt::format("cannot connect to the database: {}", oneLine(::PQerrorMessage(m_handle.get()))));
        if (Clock::now() >= deadline)
            return fail(ErrorCode::Unavailable,
                        fmt::format("the database did not answer within {} s of connecting", kConnectLimit.count()));
        if (m_stop->isRequested())
            return fail(ErrorCode::Cancelled, "stopped while connecting to the database");
        PENSTOCK_TRY_VOID(waitFor(state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline));
        state = ::PQconnectPoll(m_handle.get());
    }
    if (::PQsetnonblocking(m_handle.get(), 1) != 0)
        return fail(lost("connecting"));
    ::PQsetNoticeProcessor(m_handle.get(), [](void*, const char*) {}, nullptr);
    return runScript("SET jit = off; SET synchronous_commit = on; SET lock_timeout = '20s'; SET TIME ZONE 'UTC'; "
                     "SET standard_conforming_strings = on; SET idle_in_transaction_session_timeout = '10min'");
}

Error Connection::lost(const char* doing)
{
    m_isBroken = true;
    return {ErrorCode::Unavailable, fmt::format("lost the connection to the database while {}: {}", doing,
                                                oneLine(::PQerrorMessage(m_handle.get())))};
}

// Waits for the socket. Once stop is wanted the deadline moves close, so that what is nearly done may end.
Result<void> Connection::waitFor(short events, Deadline& deadline)
{
    bool isStopKnown = false;
    for (;;) {
        std::array<pollfd, 2> waited{{{::PQsocket(m_handle.get()), events, 0},
                                      {isStopKnown ? -1 : m_stop->descriptor(), POLLIN, 0}}};
        const int ready = ::poll(waited.data(), waited.size(), millisecondsUntil(deadline));
        if (ready < 0 && errno != EINTR)
            return fail(ErrorCode::Internal, fmt::format("poll failed: {}", std::generic_category().message(errno)));
        if (ready > 0 && waited[0].revents != 0)
            return {};
        if (ready > 0 && waited[1].revents != 0) {
            isStopKnown = true;
            deadline = std::min(deadline, Clock::now() + kStopLimit);
        }
        if (Clock::now() >= deadline) {
            m_isBroken = true;
            if (isStopKnown)
                return fail(ErrorCode::Cancelled, "stopped while the database was at work");
            return fail(ErrorCode::Unavailable, "the database did not answer in time");
        }
    }
}

// ------------------------------------------------------------------------------------------------- statements

Result<void> Connection::flush()
{
    Deadline deadline = Clock::now() + std::chrono::hours(1);
    for (;;) {
        const int left = ::PQflush(m_handle.get());
        if (left == 0)
            return {};
        if (left < 0)
            return fail(lost("sending"));
        PENSTOCK_TRY_VOID(waitFor(POLLIN | POLLOUT, deadline));
        // Reading too, or both sides could wait for the other to read.
        if (::PQconsumeInput(m_handle.get()) == 0)
            return fail(lost("sending"));
    }
}

Result<ResultPointer> Connection::next()
{
    Deadline deadline = Clock::now() + std::chrono::hours(1);
    while (::PQisBusy(m_handle.get()) != 0) {
        PENSTOCK_TRY_VOID(waitFor(POLLIN, deadline));
        if (::PQconsumeInput(m_handle.get()) == 0)
            return fail(lost("waiting for an answer"));
    }
    return ResultPointer(::PQgetResult(m_handle.get()));
}

Result<Rows> Connection::onlyResult()
{
    PENSTOCK_TRY_VOID(flush());
    PENSTOCK_TRY(ResultPointer result, next());
    if (result == nullptr)
        return fail(lost("waiting for an answer"));
    for (;;) { // to the end; a script has one for each statement, and the first error counts
        PENSTOCK_TRY(ResultPointer more, next());
        if (more == nullptr)
            break;
        const ExecStatusType status = ::PQresultStatus(result.get());
        if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
            result = std::move(more);
    }
    const ExecStatusType status = ::PQresultStatus(result.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        return fail(errorOf(result.get()));
    return Rows(std::move(result));
}

Result<void> Connection::runScript(const std::string& sql)
{
    if (::PQsendQuery(m_handle.get(), sql.c_str()) == 0)
        return fail(lost("sending"));
    PENSTOCK_TRY_VOID(onlyResult());
    return {};
}

Result<void> Connection::prepare(const Statement& statement)
{
    if (m_prepared.contains(&statement))
        return {};
    if (::PQsendPrepare(m_handle.get(), statement.name, statement.sql, 0, nullptr) == 0)
        return fail(lost("preparing"));
    const auto done = onlyResult();
    if (!done)
        return fail(Error(done.error()).in(statement.name));
    m_prepared.insert(&statement);
    return {};
}

Result<Rows> Connection::run(const Statement& statement, const Parameters& parameters)
{
    PENSTOCK_TRY_VOID(prepare(statement));
    const std::vector<int> formats(static_cast<std::size_t>(parameters.count()), 1);
    if (::PQsendQueryPrepared(m_handle.get(), statement.name, parameters.count(), parameters.pointers().data(),
                              parameters.lengths().data(), formats.data(), 1) == 0)
        return fail(lost("sending"));
    return onlyResult();
}

Result<Rows> Connection::runPlanned(const Statement& statement, const Parameters& parameters)
{
    const std::vector<int> formats(static_cast<std::size_t>(parameters.count()), 1);
    if (::PQsendQueryParams(m_handle.get(), statement.sql, parameters.count(), nullptr, parameters.pointers().data(),
                            parameters.lengths().data(), formats.data(), 1) == 0)
        return fail(lost("sending"));
    return onlyResult();
}

Result<std::vector<Rows>> Connection::collect(std::size_t count)
{
    std::vector<Rows> all;
    std::optional<Error> first;
    for (std::size_t index = 0; index < count; ++index) {
        PENSTOCK_TRY(ResultPointer result, next());
        if (result == nullptr)
            return fail(lost("waiting for an answer"));
        const ExecStatusType status = ::PQresultStatus(result.get());
        if (status == PGRES_FATAL_ERROR && !first)
            first = errorOf(result.get());
        all.emplace_back(std::move(result));
        if (!isUsable())
            break;
        PENSTOCK_TRY(const ResultPointer end, next()); // each statement's results end with a null
    }
    if (!isUsable())
        return fail(first ? *std::move(first) : lost("waiting for an answer"));
    PENSTOCK_TRY(const ResultPointer sync, next());
    if (sync == nullptr || ::PQresultStatus(sync.get()) != PGRES_PIPELINE_SYNC)
        return fail(lost("waiting for the end of a pipeline"));
    if (first)
        return fail(*std::move(first));
    return all;
}

Result<std::vector<Rows>> Connection::runAll(std::span<const Request> requests)
{
    for (const Request& request : requests)
        PENSTOCK_TRY_VOID(prepare(*request.statement));
    if (::PQenterPipelineMode(m_handle.get()) == 0)
        return fail(lost("entering pipeline mode"));
    for (const Request& request : requests) {
        const Parameters made = request.make ? request.make() : Parameters();
        const Parameters& parameters = request.make ? made : request.parameters;
        const std::vector<int> formats(static_cast<std::size_t>(parameters.count()), 1);
        if (::PQsendQueryPrepared(m_handle.get(), request.statement->name, parameters.count(),
                                  parameters.pointers().data(), parameters.lengths().data(), formats.data(), 1) == 0)
            return fail(lost("sending"));
        if (parameters.size() > kMaxUnsent) // libpq has a copy of it until it is gone
            PENSTOCK_TRY_VOID(flush());
    }
    if (::PQpipelineSync(m_handle.get()) == 0)
        return fail(lost("sending"));
    PENSTOCK_TRY_VOID(flush());
    auto all = collect(requests.size());
    if (isUsable() && ::PQexitPipelineMode(m_handle.get()) == 0)
        return fail(lost("leaving pipeline mode"));
    return all;
}

// ---------------------------------------------------------------------------------------------- notifications

Result<std::set<std::string>> Connection::waitForNotifications(milliseconds time, int wake)
{
    const Deadline deadline = Clock::now() + std::min<milliseconds>(time, std::chrono::hours(1));
    for (;;) {
        if (::PQconsumeInput(m_handle.get()) == 0)
            return fail(lost("listening"));
        std::set<std::string> channels;
        while (const std::unique_ptr<PGnotify, decltype(&::PQfreemem)> told{::PQnotifies(m_handle.get()), &::PQfreemem})
            channels.emplace(told->relname);
        if (!channels.empty() || Clock::now() >= deadline)
            return channels;
        std::array<pollfd, 3> waited{{{::PQsocket(m_handle.get()), POLLIN, 0},
                                      {m_stop->descriptor(), POLLIN, 0},
                                      {wake, POLLIN, 0}}};
        const int ready = ::poll(waited.data(), waited.size(), millisecondsUntil(deadline));
        if (ready < 0 && errno != EINTR)
            return fail(ErrorCode::Internal, fmt::format("poll failed: {}", std::generic_category().message(errno)));
        if (ready > 0 && waited[1].revents != 0)
            return fail(ErrorCode::Cancelled, "stopped while listening to the database");
        if (ready > 0 && waited[2].revents != 0 && waited[0].revents == 0)
            return channels;
    }
}

} // namespace penstock::store::postgres
