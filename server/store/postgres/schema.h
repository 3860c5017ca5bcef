// SPDX-License-Identifier: GPL-3.0-or-later
// The schema "penstock": brought up to date by numbered migrations, which are embedded in the program, only ever added,
// and applied under an advisory lock in one transaction. Blocks on the connection.
#pragma once

#include "server/store/postgres/connection.h"

#include <span>

namespace penstock::store::postgres {

struct Migration {
    int number; // from 1, without gaps
    const char* name;
    const char* sql;
};

[[nodiscard]] std::span<const Migration> migrations();

// Invalid when the schema is newer than this program knows, with what to do.
[[nodiscard]] Result<void> migrate(Connection& connection);

} // namespace penstock::store::postgres
