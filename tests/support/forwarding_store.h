// SPDX-License-Identifier: GPL-3.0-or-later
// ForwardingStore: a store in front of another one that hands everything on; a test derives from it and stands between
// where it wants to. Its thread is that of the other one, which outlives it.
#pragma once

#include "server/store/store.h"

#include <string>
#include <utility>
#include <vector>

namespace penstock::test {

class ForwardingStore : public store::Store {
public:
    explicit ForwardingStore(store::Store& inner) : m_inner(inner) {}

    Result<work::Recovery> loadOpen() override { return m_inner.loadOpen(); }
    void persist(work::Changes changes, work::IdMarks marks, store::Answer<void> done) override
    {
        m_inner.persist(std::move(changes), marks, std::move(done));
    }
    void findJobs(store::JobFilter filter, store::Answer<std::vector<store::JobView>> answer) override
    {
        m_inner.findJobs(std::move(filter), std::move(answer));
    }
    void findJob(JobId id, store::Answer<store::JobView> answer) override { m_inner.findJob(id, std::move(answer)); }
    void findSteps(store::StepFilter filter, store::Answer<std::vector<store::StepView>> answer) override
    {
        m_inner.findSteps(filter, std::move(answer));
    }
    void findAttempts(store::AttemptFilter filter, store::Answer<std::vector<store::AttemptView>> answer) override
    {
        m_inner.findAttempts(filter, std::move(answer));
    }
    void loadJob(JobId id, store::Answer<work::StoredJob> answer) override { m_inner.loadJob(id, std::move(answer)); }
    void loadDerivations(std::vector<StepId> steps,
                         store::Answer<std::vector<store::StoredDerivation>> answer) override
    {
        m_inner.loadDerivations(std::move(steps), std::move(answer));
    }
    void addToken(store::TokenRow token, store::Answer<void> done) override
    {
        m_inner.addToken(std::move(token), std::move(done));
    }
    void findToken(std::string id, store::Answer<store::TokenRow> answer) override
    {
        m_inner.findToken(std::move(id), std::move(answer));
    }
    void listTokens(store::Answer<std::vector<store::TokenRow>> answer) override
    {
        m_inner.listTokens(std::move(answer));
    }
    void revokeToken(std::string id, store::Answer<void> done) override
    {
        m_inner.revokeToken(std::move(id), std::move(done));
    }
    Result<void> health() const override { return m_inner.health(); }

protected:
    [[nodiscard]] store::Store& inner() { return m_inner; }

private:
    store::Store& m_inner;
};

} // namespace penstock::test
