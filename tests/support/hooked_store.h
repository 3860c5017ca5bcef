// SPDX-License-Identifier: GPL-3.0-or-later
// HookedStore: the memory store, with a test in front of the questions for derivations: it counts them, holds them back
// or refuses them, as a database that is slow, away or damaged would. One thread.
#pragma once

#include "server/store/memory_store.h"

#include <deque>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace penstock::test {

class HookedStore final : public store::Store {
public:
    std::size_t questions = 0;
    bool isHeld = false; // questions wait for release()
    std::function<std::optional<Error>(const std::vector<StepId>&)> refuse = {};

    void release()
    {
        isHeld = false;
        for (auto held = std::exchange(m_held, {}); const auto& question : held)
            question();
    }
    void add(work::StepRow row)
    {
        work::Changes changes;
        changes.newSteps.push_back(std::move(row));
        m_inner.persist(std::move(changes), {}, [](const Result<void>&) {});
    }

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
        ++questions;
        auto question = [this, steps = std::move(steps), answer = std::move(answer)] {
            const auto error = refuse ? refuse(steps) : std::nullopt;
            if (error)
                return answer(fail(*error));
            m_inner.loadDerivations(steps, answer);
        };
        if (isHeld)
            m_held.emplace_back(std::move(question));
        else
            question();
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

private:
    store::MemoryStore m_inner{store::MemoryStore::inlineDefer()};
    std::deque<std::function<void()>> m_held;
};

} // namespace penstock::test
