// SPDX-License-Identifier: GPL-3.0-or-later
// PostgresStore: the Store on PostgreSQL, the embedded cluster or any other (a direct connection: a pooler that hands
// sessions around would lose the lead). One thread writes (writer.h), a few read, each with a connection of its own
// that is opened when first needed and again after a loss. Answers run on those threads. While the database is away:
// persist() waits, however long; health() and onHealth tell why; a question is tried for about a second and then
// answered with Unavailable. More than kMaxQuestions waiting are refused with Exhausted.
#pragma once

#include "server/store/postgres/reader_pool.h"
#include "server/store/postgres/writer.h"
#include "server/store/store.h"
#include "shared/base/log.h"

namespace penstock::store {

struct PostgresOptions {
    std::string connectionString; // keywords or URL, as libpq takes it
    int readers = 2;
    // Each change of health(), from the writing thread.
    std::function<void(Result<void>)> onHealth = {};
    Duration pruneInterval = std::chrono::hours(1); // of usage and history that no recovery needs; with a persist()
    postgres::Projection* projection = nullptr;   // writes into our transactions; outlives the store
};

class PostgresStore final : public Store {
public:
    // Connects nothing yet. logger must outlive the store.
    PostgresStore(PostgresOptions options, Logger& logger);

    [[nodiscard]] Result<work::Recovery> loadOpen() override;
    void persist(work::Changes changes, work::IdMarks marks, Answer<void> done) override;
    void findJobs(JobFilter filter, Answer<std::vector<JobView>> answer) override;
    void findJob(JobId id, Answer<JobView> answer) override;
    void findSteps(StepFilter filter, Answer<std::vector<StepView>> answer) override;
    void findAttempts(AttemptFilter filter, Answer<std::vector<AttemptView>> answer) override;
    void loadJob(JobId id, Answer<work::StoredJob> answer) override;
    void loadDerivations(std::vector<StepId> steps, Answer<std::vector<StoredDerivation>> answer) override;
    void addToken(TokenRow token, Answer<void> done) override;
    void findToken(std::string id, Answer<TokenRow> answer) override;
    void listTokens(Answer<std::vector<TokenRow>> answer) override;
    void revokeToken(std::string id, Answer<void> done) override;
    [[nodiscard]] Result<void> health() const override;

private:
    postgres::Writer m_writer;
    postgres::ReaderPool m_readers;
    postgres::ReaderPool m_texts; // builders that wait for a derivation wait for nobody's questions
};

} // namespace penstock::store
