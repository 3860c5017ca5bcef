// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/postgres_store.h"

#include "server/store/postgres/queries.h"

#include <utility>

namespace penstock::store {

using postgres::Connection;

PostgresStore::PostgresStore(PostgresOptions options, Logger& logger)
    : m_writer({options.connectionString, std::move(options.onHealth), options.pruneInterval, options.projection},
               logger),
      m_readers(options.connectionString, options.readers), m_texts(options.connectionString, 1, "penstock-texts")
{
}

Result<work::Recovery> PostgresStore::loadOpen()
{
    return m_writer.loadOpen();
}

void PostgresStore::persist(work::Changes changes, work::IdMarks marks, Answer<void> done)
{
    m_writer.persist(std::move(changes), marks, std::move(done));
}

void PostgresStore::findJobs(JobFilter filter, Answer<std::vector<JobView>> answer)
{
    m_readers.ask<std::vector<JobView>>(
        [filter = std::move(filter)](Connection& c) { return postgres::findJobs(c, filter); }, std::move(answer));
}

void PostgresStore::findJob(JobId id, Answer<JobView> answer)
{
    m_readers.ask<JobView>([id](Connection& c) { return postgres::findJob(c, id); }, std::move(answer));
}

void PostgresStore::findSteps(StepFilter filter, Answer<std::vector<StepView>> answer)
{
    m_readers.ask<std::vector<StepView>>([filter](Connection& c) { return postgres::findSteps(c, filter); },
                                         std::move(answer));
}

void PostgresStore::findAttempts(AttemptFilter filter, Answer<std::vector<AttemptView>> answer)
{
    m_readers.ask<std::vector<AttemptView>>([filter](Connection& c) { return postgres::findAttempts(c, filter); },
                                            std::move(answer));
}

void PostgresStore::loadJob(JobId id, Answer<work::StoredJob> answer)
{
    m_readers.ask<work::StoredJob>([id](Connection& c) { return postgres::loadJob(c, id); }, std::move(answer));
}

void PostgresStore::loadDerivations(std::vector<StepId> steps, Answer<std::vector<StoredDerivation>> answer)
{
    m_texts.ask<std::vector<StoredDerivation>>(
        [steps = std::move(steps)](Connection& c) { return postgres::loadDerivations(c, steps); }, std::move(answer));
}

void PostgresStore::addToken(TokenRow token, Answer<void> done)
{
    // Tried a second time after a lost connection, our own row may be there already.
    m_readers.ask<void>(
        [token = std::move(token), isRepeated = false](Connection& c) mutable -> Result<void> {
            auto added = postgres::addToken(c, token);
            if (!added && added.error().code == ErrorCode::Conflict && isRepeated)
                if (const auto stored = postgres::findToken(c, token.id); stored && stored->hash == token.hash)
                    return {};
            isRepeated = true;
            return added;
        },
        std::move(done));
}

void PostgresStore::findToken(std::string id, Answer<TokenRow> answer)
{
    m_readers.ask<TokenRow>([id = std::move(id)](Connection& c) { return postgres::findToken(c, id); },
                            std::move(answer));
}

void PostgresStore::listTokens(Answer<std::vector<TokenRow>> answer)
{
    m_readers.ask<std::vector<TokenRow>>([](Connection& c) { return postgres::listTokens(c); }, std::move(answer));
}

void PostgresStore::revokeToken(std::string id, Answer<void> done)
{
    m_readers.ask<void>([id = std::move(id)](Connection& c) { return postgres::revokeToken(c, id); },
                        std::move(done));
}

Result<void> PostgresStore::health() const
{
    return m_writer.health();
}

} // namespace penstock::store
