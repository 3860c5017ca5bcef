// SPDX-License-Identifier: GPL-3.0-or-later
// WatchedStore: the memory store, with the ledger told of every batch at the moment it is durable. One
// thread.
#pragma once

#include "server/store/memory_store.h"
#include "tests/sim/ledger.h"
#include "tests/support/forwarding_store.h"

#include <memory>
#include <utility>

namespace penstock::sim {

class WatchedStore final : public test::ForwardingStore {
public:
    WatchedStore(store::MemoryStore& inner, Ledger& ledger) : ForwardingStore(inner), m_ledger(ledger) {}

    void persist(work::Changes changes, work::IdMarks marks, store::Answer<void> done) override
    {
        auto copy = std::make_shared<const work::Changes>(changes);
        inner().persist(std::move(changes), marks,
                        [&ledger = m_ledger, copy, done = std::move(done)](Result<void> result) {
                            if (result)
                                ledger.committed(*copy);
                            done(std::move(result));
                        });
    }

private:
    Ledger& m_ledger;
};

} // namespace penstock::sim
