// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/parameters.h"

#include "server/store/postgres/text.h"
#include "shared/base/bytes.h"

#include <bit>
#include <utility>

namespace penstock::store::postgres {
namespace {

std::string bigEndian64(std::int64_t value)
{
    const auto bits = static_cast<std::uint64_t>(value);
    std::string out;
    appendBigEndian32(out, static_cast<std::uint32_t>(bits >> 32U));
    appendBigEndian32(out, static_cast<std::uint32_t>(bits & 0xFFFF'FFFFU));
    return out;
}

// Header of an array: dimensions, has nulls, element type, size, lower bound.
constexpr std::size_t kHasNullAt = 4;
constexpr std::size_t kCountAt = 12;

void overwrite32(std::string& out, std::size_t at, std::uint32_t value)
{
    std::string bytes;
    appendBigEndian32(bytes, value);
    out.replace(at, bytes.size(), bytes);
}

} // namespace

void Parameters::bytes(std::string value)
{
    m_size += value.size();
    m_values.emplace_back(std::move(value));
}
void Parameters::null()
{
    m_values.emplace_back(std::nullopt);
}
void Parameters::int64(std::int64_t value)
{
    bytes(bigEndian64(value));
}
void Parameters::int64(std::optional<std::int64_t> value)
{
    if (value)
        int64(*value);
    else
        null();
}
void Parameters::text(std::string_view value)
{
    bytes(toColumnText(value));
}
void Parameters::text(std::optional<std::string_view> value)
{
    if (value)
        text(*value);
    else
        null();
}
void Parameters::boolean(bool value)
{
    bytes(std::string(1, value ? '\1' : '\0'));
}

std::vector<const char*> Parameters::pointers() const
{
    std::vector<const char*> all;
    all.reserve(m_values.size());
    for (const auto& value : m_values)
        all.push_back(value ? value->data() : nullptr);
    return all;
}
std::vector<int> Parameters::lengths() const
{
    std::vector<int> all;
    all.reserve(m_values.size());
    for (const auto& value : m_values)
        all.push_back(value ? static_cast<int>(value->size()) : 0);
    return all;
}

ArrayColumn::ArrayColumn(Element element)
{
    appendBigEndian32(m_out, 1);
    appendBigEndian32(m_out, 0);
    appendBigEndian32(m_out, static_cast<std::uint32_t>(element));
    appendBigEndian32(m_out, 0);
    appendBigEndian32(m_out, 1);
}

void ArrayColumn::raw(std::string_view value)
{
    appendBigEndian32(m_out, static_cast<std::uint32_t>(value.size()));
    m_out.append(value);
    ++m_count;
}
void ArrayColumn::int64(std::int64_t value)
{
    const auto bits = static_cast<std::uint64_t>(value);
    appendBigEndian32(m_out, 8);
    appendBigEndian32(m_out, static_cast<std::uint32_t>(bits >> 32U));
    appendBigEndian32(m_out, static_cast<std::uint32_t>(bits & 0xFFFF'FFFFU));
    ++m_count;
}
void ArrayColumn::int32(std::int32_t value)
{
    appendBigEndian32(m_out, 4);
    appendBigEndian32(m_out, static_cast<std::uint32_t>(value));
    ++m_count;
}
void ArrayColumn::float64(double value)
{
    int64(std::bit_cast<std::int64_t>(value));
}
void ArrayColumn::boolean(bool value)
{
    raw(value ? std::string_view("\1", 1) : std::string_view("\0", 1));
}
void ArrayColumn::text(std::string_view value)
{
    raw(toColumnText(value));
}
void ArrayColumn::bytes(std::string_view value)
{
    raw(value);
}
void ArrayColumn::null()
{
    appendBigEndian32(m_out, 0xFFFF'FFFFU); // length -1
    ++m_count;
    m_hasNull = true;
}

std::string ArrayColumn::take()
{
    overwrite32(m_out, kHasNullAt, m_hasNull ? 1 : 0);
    overwrite32(m_out, kCountAt, m_count);
    return std::move(m_out);
}

} // namespace penstock::store::postgres
