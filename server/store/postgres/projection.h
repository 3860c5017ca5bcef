// SPDX-License-Identifier: GPL-3.0-or-later
// Projection: what else our transactions write, for a source whose own tables have to agree with ours. The writer
// calls it on its thread, with its connection; it must not keep the connection. One implementation knows Hydra's tables
// (server/hydra); without a source there is none.
//
// Any write may be repeated, when it is not known whether the commit happened: all of it must be harmless twice.
// Errors are judged as the writer's own are: Unavailable and Timeout mean that the whole transaction is tried again,
// all others that our view of the rows is wrong, and the process ends.
#pragma once

#include "server/store/postgres/connection.h"
#include "server/work/changes.h"
#include "shared/base/result.h"

#include <cstdint>

namespace penstock::store::postgres {

struct Projection {
    enum class Rest : std::uint8_t { // what could not be written yet
        None,  // not asked for before a write leaves something
        More,  // asked for soon
        Waits, // for others: asked for after longer and longer pauses
    };
    virtual ~Projection() = default;
    // Once at start-up and outside of a transaction: our tables are there, we lead, and nothing has been loaded.
    [[nodiscard]] virtual Result<void> begin(Connection& connection) = 0;
    // In the open transaction, after our own rows: new rows carry their last progress (see MergedBatch).
    [[nodiscard]] virtual Result<Rest> write(Connection& connection, const work::Changes& changes) = 0;
    // Outside of a transaction, a while after the start and after a write that left something, and then again as long as
    // something is left. Batches wait meanwhile, so each call does a part of it only.
    [[nodiscard]] virtual Result<Rest> later(Connection& connection) = 0;
};

} // namespace penstock::store::postgres
