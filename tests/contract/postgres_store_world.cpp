// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/postgres_store.h"
#include "tests/support/store_world.h"
#include "tests/support/postgres_fixture.h"

namespace penstock::store {
namespace {

struct PostgresWorld final : StoreWorld {
    std::string connectionString = test::newDatabase();

    std::unique_ptr<Store> open() override
    {
        PostgresOptions options;
        options.connectionString = connectionString;
        return std::make_unique<PostgresStore>(options, test::testLogger());
    }
};

INSTANTIATE_TEST_SUITE_P(Postgres, StoreContract,
                         ::testing::Values(WorldKind{"Real", []() -> std::unique_ptr<StoreWorld> {
                                                         return std::make_unique<PostgresWorld>();
                                                     }}),
                         [](const auto& tested) { return tested.param.name; });

} // namespace
} // namespace penstock::store
