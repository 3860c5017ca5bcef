// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/rows.h"

#include "server/store/postgres/text.h"
#include "shared/base/text.h"

#include <bit>
#include <fmt/core.h>

namespace penstock::store::postgres {

std::uint64_t Rows::affected() const
{
    // libpq's accessor takes a non-const result but does not change it.
    return parseUnsigned(::PQcmdTuples(m_result.get())).value_or(0);
}

std::optional<std::string_view> RowReader::optionalBytes()
{
    const int column = m_column++;
    if (column >= ::PQnfields(m_result)) {
        m_isSpoilt = true;
        return std::nullopt;
    }
    if (::PQgetisnull(m_result, m_row, column) != 0)
        return std::nullopt;
    return std::string_view(::PQgetvalue(m_result, m_row, column),
                            static_cast<std::size_t>(::PQgetlength(m_result, m_row, column)));
}

std::string_view RowReader::bytes()
{
    const auto value = optionalBytes();
    if (!value)
        m_isSpoilt = true;
    return value.value_or(std::string_view());
}

std::optional<std::int64_t> RowReader::optionalInt64()
{
    const auto value = optionalBytes();
    if (!value)
        return std::nullopt;
    if (value->size() != 8 && value->size() != 4 && value->size() != 2) {
        m_isSpoilt = true;
        return std::nullopt;
    }
    // Sign-extended from the first byte.
    std::uint64_t bits = (static_cast<unsigned char>(value->front()) & 0x80U) != 0 ? ~std::uint64_t{0} : 0;
    for (const char c : *value)
        bits = bits << 8U | static_cast<unsigned char>(c);
    return static_cast<std::int64_t>(bits);
}

std::int64_t RowReader::int64()
{
    const auto value = optionalInt64();
    if (!value)
        m_isSpoilt = true;
    return value.value_or(0);
}

std::optional<std::uint64_t> RowReader::optionalUint64()
{
    const auto value = optionalInt64();
    return value ? std::optional(static_cast<std::uint64_t>(*value)) : std::nullopt;
}

std::optional<double> RowReader::optionalFloat64()
{
    const auto bits = optionalInt64(); // big endian, as an integer of the same width
    return bits ? std::optional(std::bit_cast<double>(*bits)) : std::nullopt;
}

bool RowReader::boolean()
{
    const std::string_view value = bytes();
    if (value.size() != 1)
        m_isSpoilt = true;
    return value == std::string_view("\1", 1);
}

std::string RowReader::text()
{
    return decoded(fromColumnText(bytes()));
}

std::optional<WallTime> RowReader::optionalTime()
{
    const auto micros = optionalInt64();
    return micros ? std::optional(WallTime::fromMicros(*micros)) : std::nullopt;
}

Result<void> RowReader::finish(const char* what) const
{
    if (m_error)
        return fail(Error(*m_error).in(what));
    if (m_isSpoilt)
        return fail(ErrorCode::Corrupt,
                    fmt::format("a stored {} has a column this Penstock cannot read; is the database of another "
                                "version?",
                                what));
    return {};
}

} // namespace penstock::store::postgres
