// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/reader_pool.h"

#include <fmt/core.h>
#include <pthread.h>

namespace penstock::store::postgres {
namespace {

constexpr int kMaxTries = 5;
constexpr std::chrono::milliseconds kPause(100); // grows with each try: about a second in all

} // namespace

ReaderPool::ReaderPool(std::string connectionString, int readers, std::string name)
    : m_connectionString(std::move(connectionString)), m_name(std::move(name)), m_queue(kMaxQuestions)
{
    for (int number = 0; number < readers; ++number)
        m_threads.emplace_back([this] {
            ::pthread_setname_np(::pthread_self(), "store-reader");
            run();
        });
}

ReaderPool::~ReaderPool()
{
    m_queue.close();
    m_stop.request();
    for (std::thread& thread : m_threads)
        thread.join();
}

void ReaderPool::run()
{
    std::optional<Connection> connection;
    while (auto question = m_queue.takeOne())
        (*question)(connection);
}

bool ReaderPool::mayTry(int tries) const
{
    if (tries == 1)
        return !m_stop.isRequested();
    return tries <= kMaxTries && m_stop.sleepFor(kPause * (tries - 1));
}

Result<void> ReaderPool::connect(std::optional<Connection>& connection) const
{
    if (connection && connection->isUsable())
        return {};
    connection.reset();
    PENSTOCK_TRY(connection, Connection::open(m_connectionString, m_name, m_stop));
    return connection->runScript("SET statement_timeout = '30s'");
}

Error ReaderPool::tooMany()
{
    return {ErrorCode::Exhausted,
            fmt::format("{} questions wait for the database already; ask again later", kMaxQuestions)};
}

} // namespace penstock::store::postgres
