// SPDX-License-Identifier: GPL-3.0-or-later
// Projection: writes what follows from our own rows into Hydra's tables and channels, in the same transaction. It keeps
// nothing in memory: facts are read (projection_read), decided upon (decide, pure) and written as sets
// (projection_write), so any transaction may be repeated and any server may go on where another ended.
//
// Called on the store's writing thread only. Builds rows that others hold are skipped and written by later().
#pragma once

#include "server/hydra/decide.h"
#include "server/hydra/options.h"
#include "server/hydra/projection_read.h"
#include "server/store/postgres/projection.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

namespace penstock::hydra {

class Projection final : public store::postgres::Projection {
public:
    // clock and logger outlive it. Without a resolver all derivations are told as they are.
    Projection(const Options& options, const Clock& clock, Logger& logger, std::optional<Resolver> resolver = {});

    // Invalid: no Hydra database, or too old a one.
    [[nodiscard]] Result<void> begin(store::postgres::Connection& connection) override;
    [[nodiscard]] Result<Rest> write(store::postgres::Connection& connection, const work::Changes& changes) override;
    [[nodiscard]] Result<Rest> later(store::postgres::Connection& connection) override;

private:
    // later() goes over all that waits in rounds of many parts, each a transaction of its own: so nothing is kept from
    // its turn by what is held before it.
    struct Round {
        std::int64_t afterAttempt = 0; // those up to here had their turn
        std::int64_t afterBuild = 0;
        bool waits = false; // something was still held
        bool isThrough = false;
    };
    [[nodiscard]] Result<Happened> readDeferred(store::postgres::Connection& connection, Round& round);

    [[nodiscard]] Result<Rest> project(store::postgres::Connection& connection, const Happened& happened);

    // Finds out which derivations are built as others.
    [[nodiscard]] Result<void> tellResolved(store::postgres::Connection& connection);
    [[nodiscard]] Result<void> addResolutions(store::postgres::Connection& connection, Facts& facts);

    ProjectionRules m_rules;
    std::optional<Resolver> m_resolver;
    const Clock& m_clock;
    Logger& m_logger;
    int m_schema = 0; // of Hydra, since begin()
    Round m_round;
};

} // namespace penstock::hydra
