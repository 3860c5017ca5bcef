// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/memory_store.h"

#include <utility>

namespace penstock::store {

MemoryStore::Defer MemoryStore::inlineDefer()
{
    return [](const Task& task) { task(); };
}

MemoryStore::MemoryStore(Defer defer, std::shared_ptr<MemoryTables> tables)
    : m_defer(std::move(defer)), m_tables(std::move(tables)), m_refused(std::make_shared<Result<void>>())
{
}

MemoryStore::~MemoryStore()
{
    m_tables->giveBackLead(m_epoch);
}

Result<work::Recovery> MemoryStore::loadOpen()
{
    if (m_epoch == 0 || !m_tables->checkLead(m_epoch)) {
        PENSTOCK_TRY(m_epoch, m_tables->takeLead());
    }
    *m_refused = {};
    return m_tables->recover();
}

void MemoryStore::persist(work::Changes changes, work::IdMarks marks, Answer<void> done)
{
    m_defer([tables = m_tables, refused = m_refused, epoch = m_epoch, changes = std::move(changes), marks,
             done = std::move(done)] {
        if (*refused)
            *refused = tables->checkLead(epoch);
        if (*refused)
            *refused = tables->apply(changes, marks);
        done(*refused);
    });
}

void MemoryStore::findJobs(JobFilter filter, Answer<std::vector<JobView>> answer)
{
    m_defer([tables = m_tables, filter = std::move(filter), answer = std::move(answer)] {
        answer(tables->findJobs(filter));
    });
}

void MemoryStore::findJob(JobId id, Answer<JobView> answer)
{
    m_defer([tables = m_tables, id, answer = std::move(answer)] { answer(tables->findJob(id)); });
}

void MemoryStore::findSteps(StepFilter filter, Answer<std::vector<StepView>> answer)
{
    m_defer([tables = m_tables, filter, answer = std::move(answer)] { answer(tables->findSteps(filter)); });
}

void MemoryStore::findAttempts(AttemptFilter filter, Answer<std::vector<AttemptView>> answer)
{
    m_defer([tables = m_tables, filter, answer = std::move(answer)] { answer(tables->findAttempts(filter)); });
}

void MemoryStore::loadJob(JobId id, Answer<work::StoredJob> answer)
{
    m_defer([tables = m_tables, id, answer = std::move(answer)] { answer(tables->loadJob(id)); });
}

void MemoryStore::loadDerivations(std::vector<StepId> steps, Answer<std::vector<StoredDerivation>> answer)
{
    m_defer([tables = m_tables, steps = std::move(steps), answer = std::move(answer)] {
        answer(tables->loadDerivations(steps));
    });
}

void MemoryStore::addToken(TokenRow token, Answer<void> done)
{
    m_defer([tables = m_tables, token = std::move(token), done = std::move(done)] { done(tables->addToken(token)); });
}

void MemoryStore::findToken(std::string id, Answer<TokenRow> answer)
{
    m_defer([tables = m_tables, id = std::move(id), answer = std::move(answer)] { answer(tables->findToken(id)); });
}

void MemoryStore::listTokens(Answer<std::vector<TokenRow>> answer)
{
    m_defer([tables = m_tables, answer = std::move(answer)] { answer(tables->listTokens()); });
}

void MemoryStore::revokeToken(std::string id, Answer<void> done)
{
    m_defer([tables = m_tables, id = std::move(id), done = std::move(done)] { done(tables->revokeToken(id)); });
}

Result<void> MemoryStore::health() const
{
    return {};
}

} // namespace penstock::store
