// SPDX-License-Identifier: GPL-3.0-or-later
// Rows: the answer of one statement, in binary format. RowReader walks the columns of one row in order; what does not
// fit (a null where none may be, a wrong width) is remembered and told by finish() as Corrupt. One thread at a time.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/result.h"

#include <cstdint>
#include <libpq-fe.h>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::store::postgres {

struct ResultDeleter {
    void operator()(PGresult* result) const { ::PQclear(result); }
};
using ResultPointer = std::unique_ptr<PGresult, ResultDeleter>;

class Rows {
public:
    explicit Rows(ResultPointer result) : m_result(std::move(result)) {}
    [[nodiscard]] int count() const { return ::PQntuples(m_result.get()); }
    [[nodiscard]] std::uint64_t affected() const; // rows written
    [[nodiscard]] const PGresult* get() const { return m_result.get(); }

private:
    ResultPointer m_result;
};

class RowReader {
public:
    RowReader(const Rows& rows, int row) : m_result(rows.get()), m_row(row) {}

    [[nodiscard]] std::int64_t int64(); // of any integer width
    [[nodiscard]] std::uint64_t uint64() { return static_cast<std::uint64_t>(int64()); }
    [[nodiscard]] std::int32_t int32() { return static_cast<std::int32_t>(int64()); }
    [[nodiscard]] std::uint32_t uint32() { return static_cast<std::uint32_t>(int64()); }
    [[nodiscard]] std::optional<std::int64_t> optionalInt64();
    [[nodiscard]] std::optional<std::uint64_t> optionalUint64();
    [[nodiscard]] std::optional<double> optionalFloat64();
    [[nodiscard]] bool boolean();
    [[nodiscard]] std::string text();
    [[nodiscard]] std::string_view bytes();         // valid as long as the Rows
    [[nodiscard]] std::optional<std::string_view> optionalBytes();
    [[nodiscard]] WallTime time() { return WallTime::fromMicros(int64()); }
    [[nodiscard]] std::optional<WallTime> optionalTime();
    // A word of server/work/state.h; parse is one of its parse functions.
    template <class Enum> [[nodiscard]] Enum word(std::optional<Enum> (*parse)(std::string_view))
    {
        const auto value = parse(bytes());
        if (!value)
            m_isSpoilt = true;
        return value.value_or(Enum{});
    }
    template <class Enum> [[nodiscard]] std::optional<Enum> optionalWord(std::optional<Enum> (*parse)(std::string_view))
    {
        const auto text = optionalBytes();
        if (!text)
            return std::nullopt;
        const auto value = parse(*text);
        if (!value)
            m_isSpoilt = true;
        return value;
    }
    // Takes the value of a decoder, or remembers its error.
    template <class T> [[nodiscard]] T decoded(Result<T> result)
    {
        if (!result && !m_error)
            m_error = std::move(result).error();
        return result ? *std::move(result) : T{};
    }
    void check(const Result<void>& decoded) // remembers its error
    {
        if (!decoded && !m_error)
            m_error = decoded.error();
    }
    [[nodiscard]] Result<void> finish(const char* what) const;

private:
    const PGresult* m_result;
    int m_row;
    int m_column = 0;
    bool m_isSpoilt = false;
    std::optional<Error> m_error;
};

} // namespace penstock::store::postgres
