// SPDX-License-Identifier: GPL-3.0-or-later
// How the database finds what it is asked for, where a large backlog would make another way slow.
#include "server/store/postgres/postgres_store.h"
#include "server/store/postgres/sql.h"
#include "tests/support/postgres_fixture.h"
#include "tests/support/store_world.h"
#include "tests/unit/store/beside.h"

#include <fmt/core.h>

namespace penstock::store {
namespace {

using postgres::Parameters;
using postgres::Statement;

// A third of the steps is not finished, and no job lists those.
constexpr const char* kBacklog = R"(
INSERT INTO penstock.steps (id, created_us, attempts, failures, infrastructure_failures, state, result, avoid, error,
                            name, spec)
SELECT id, 0, 0, 0, 0, CASE WHEN id % 3 = 0 THEN 'blocked' ELSE 'finished' END,
       CASE WHEN id % 3 = 0 THEN NULL ELSE 'succeeded' END, '', '', 'step', '' FROM generate_series(1, 30000) id;
INSERT INTO penstock.job_steps (job_id, step_id, root) SELECT 1, id, true FROM generate_series(1, 30000) id
WHERE id % 3 <> 0;
ANALYZE penstock.steps, penstock.job_steps;
)";

std::string planOf(postgres::Connection& connection, const Statement& statement, const Parameters& parameters)
{
    const std::string sql = fmt::format("EXPLAIN {}", statement.sql);
    const auto rows = connection.runPlanned(Statement{"", sql.c_str()}, parameters);
    EXPECT_TRUE(rows.has_value()) << rows.error().message;
    std::string plan;
    for (int row = 0; rows && row < rows->count(); ++row)
        plan += postgres::RowReader(*rows, row).text() + "\n";
    return plan;
}

TEST(Plans, AListOfUnfinishedStepsIsReadBackwardsFromTheirIndex)
{
    const std::string database = test::newDatabase();
    PostgresStore store({database}, test::testLogger());
    ASSERT_TRUE(store.loadOpen().has_value());
    Beside beside(database);
    beside.run(kBacklog);
    Parameters parameters;
    parameters.null(); // step
    parameters.text(std::string_view("blocked"));
    parameters.null(); // before
    parameters.int64(100);
    const std::string plan = planOf(beside.connection(), postgres::sql::kFindOpenSteps, parameters);
    EXPECT_NE(plan.find("Index Scan Backward using unfinished_steps"), std::string::npos) << plan;
    EXPECT_EQ(plan.find("Sort"), std::string::npos) << plan;
}

} // namespace
} // namespace penstock::store
