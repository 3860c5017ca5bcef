// SPDX-License-Identifier: GPL-3.0-or-later
// Turns rows into statements with array parameters. A statement takes a slice of rows of bounded size, so that no
// message to the server comes near PostgreSQL's limit of 1 GB. Pure.
#pragma once

#include "server/store/postgres/connection.h"
#include "server/work/changes.h"

#include <vector>

namespace penstock::store::postgres {

struct Write {
    Request request;
    std::uint64_t rows;   // in the parameters
    const char* what;     // for messages: "step"
    enum class Expect : std::uint8_t {
        Any,    // fewer may be written: they were there already
        All,    // fewer: our view of the rows is wrong
    } expect;
};

// Machines, share groups, namespaces, usage, history, the pause; before everything else. (farm_writer.cpp)
[[nodiscard]] std::vector<Write> farmRowsOf(const work::Changes& changes);
// New rows; changes outlives the writes.
[[nodiscard]] std::vector<Write> insertsOf(const work::Changes& changes);
// Updates of steps, attempts, jobs.
[[nodiscard]] std::vector<Write> updatesOf(const work::Changes& changes);
// The idempotency keys of new jobs; after the updates, as those may finish the jobs that hold them.
[[nodiscard]] std::vector<Write> keysOf(const work::Changes& changes);

} // namespace penstock::store::postgres
