// SPDX-License-Identifier: GPL-3.0-or-later
// HookedStore: the memory store, with a test in front of the questions for derivations: it counts them, holds them back
// or refuses them, as a database that is slow, away or damaged would. One thread.
#pragma once

#include "server/store/memory_store.h"
#include "tests/support/forwarding_store.h"

#include <deque>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace penstock::test {

class HookedStore final : public ForwardingStore {
public:
    HookedStore() : ForwardingStore(m_memory) {}

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
        inner().persist(std::move(changes), {}, [](const Result<void>&) {});
    }

    void loadDerivations(std::vector<StepId> steps,
                         store::Answer<std::vector<store::StoredDerivation>> answer) override
    {
        ++questions;
        auto question = [this, steps = std::move(steps), answer = std::move(answer)] {
            const auto error = refuse ? refuse(steps) : std::nullopt;
            if (error)
                return answer(fail(*error));
            inner().loadDerivations(steps, answer);
        };
        if (isHeld)
            m_held.emplace_back(std::move(question));
        else
            question();
    }

private:
    store::MemoryStore m_memory{store::MemoryStore::inlineDefer()};
    std::deque<std::function<void()>> m_held;
};

} // namespace penstock::test
