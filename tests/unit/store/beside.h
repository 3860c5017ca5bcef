// SPDX-License-Identifier: GPL-3.0-or-later
// Beside: looks into and changes a store's database from outside it.
#pragma once

#include "server/store/postgres/connection.h"

#include <cstdint>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace penstock::store {

// A connection beside the store, as a person with psql has.
class Beside {
public:
    explicit Beside(const std::string& connectionString)
        : m_connection(postgres::Connection::open(connectionString, "test", m_stop))
    {
        EXPECT_TRUE(m_connection.has_value());
    }
    std::int64_t number(const char* sql)
    {
        const auto rows = m_connection->runPlanned(postgres::Statement{"", sql}, {});
        EXPECT_TRUE(rows.has_value()) << rows.error().message;
        if (!rows || rows->count() == 0)
            return -1;
        return postgres::RowReader(*rows, 0).int64();
    }
    std::vector<std::string> texts(const char* sql)
    {
        const auto rows = m_connection->runPlanned(postgres::Statement{"", sql}, {});
        EXPECT_TRUE(rows.has_value()) << rows.error().message;
        std::vector<std::string> all;
        for (int row = 0; rows && row < rows->count(); ++row)
            all.push_back(postgres::RowReader(*rows, row).text());
        return all;
    }
    void run(const std::string& sql)
    {
        const auto done = m_connection->runScript(sql);
        EXPECT_TRUE(done.has_value()) << done.error().message;
    }
    postgres::Connection& connection() { return *m_connection; }

private:
    postgres::StopSignal m_stop;
    Result<postgres::Connection> m_connection;
};

} // namespace penstock::store
