// SPDX-License-Identifier: GPL-3.0-or-later
// MemoryStore: a complete Store without a database, for tests and the simulator. It passes the same contract suite as
// PostgresStore. Every asynchronous call becomes one task that is handed to `defer`: nothing is applied before that
// task runs, and its completion runs inside it. So a caller decides thread, latency and loss: a task that is dropped
// is a batch that never reached the disk. defer must keep the order of tasks and never run two at once.
// loadOpen() works at once, on the caller's thread, while no task runs.
// The rows outlive the store in a shared MemoryTables: a restarted server makes a new store over the same tables, and
// two stores over the same tables are two servers, of which one leads.
#pragma once

#include "server/store/memory_tables.h"
#include "shared/base/loop.h"

#include <functional>
#include <memory>

namespace penstock::store {

class MemoryStore final : public Store {
public:
    using Defer = std::function<void(Task)>;

    // Runs each task inside the call.
    [[nodiscard]] static Defer inlineDefer();

    explicit MemoryStore(Defer defer, std::shared_ptr<MemoryTables> tables = std::make_shared<MemoryTables>());
    ~MemoryStore() override; // gives the lead back, also when tasks still wait: they are then refused
    MemoryStore(const MemoryStore&) = delete;
    MemoryStore& operator=(const MemoryStore&) = delete;

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
    Defer m_defer;
    std::shared_ptr<MemoryTables> m_tables;
    std::uint64_t m_epoch = 0; // 0: does not lead
    std::shared_ptr<Result<void>> m_refused; // the first refusal; every later batch gets it too
};

} // namespace penstock::store
