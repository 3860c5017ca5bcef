// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixdaemon/wire.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

namespace penstock::nixdaemon {
namespace {

constexpr std::size_t kBufferSize = 64U << 10U;

// What comes from the daemon in a wrong form means that we no longer know where we are in its stream.
template <class T> Result<T> orCorrupt(Result<T> value)
{
    if (!value)
        return fail(ErrorCode::Corrupt, "the nix-daemon sent something unreadable: " + value.error().message);
    return value;
}

} // namespace

void WireWriter::number(std::uint64_t value)
{
    for (unsigned shift = 0; shift < 64; shift += 8)
        m_bytes.push_back(static_cast<char>((value >> shift) & 0xFFU));
}

void WireWriter::string(std::string_view text)
{
    number(text.size());
    m_bytes.append(text);
    m_bytes.append((8 - text.size() % 8) % 8, '\0');
}

void WireWriter::paths(const nix::StoreDir& dir, const nix::StorePathSet& paths)
{
    number(paths.size());
    for (const nix::StorePath& item : paths)
        path(dir, item);
}

void WireWriter::framed(std::string_view payload)
{
    for (; !payload.empty(); payload.remove_prefix(std::min(kFrameSize, payload.size()))) {
        const std::string_view frame = payload.substr(0, kFrameSize);
        number(frame.size());
        m_bytes.append(frame);
    }
    number(0);
}

Result<std::string_view> WireReader::peek()
{
    if (m_at == m_end) {
        m_at = m_end = 0;
        m_buffer.resize(kBufferSize);
        PENSTOCK_TRY(m_end, m_transport.read(m_buffer));
    }
    return std::string_view(m_buffer.data(), m_end).substr(m_at);
}

Result<void> WireReader::take(std::span<char> into)
{
    while (!into.empty()) {
        PENSTOCK_TRY(const std::string_view ready, peek());
        const std::size_t part = std::min(into.size(), ready.size());
        std::copy_n(ready.begin(), part, into.begin());
        into = into.subspan(part);
        consume(part);
    }
    return {};
}

Result<std::uint64_t> WireReader::number()
{
    std::array<char, 8> bytes{};
    PENSTOCK_TRY_VOID(take(bytes));
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;)
        value = (value << 8U) | static_cast<unsigned char>(bytes[i]);
    return value;
}

Result<bool> WireReader::boolean()
{
    PENSTOCK_TRY(const std::uint64_t value, number());
    return value != 0;
}

Result<std::string> WireReader::string()
{
    PENSTOCK_TRY(const std::uint64_t length, number());
    if (length > kMaxWireString)
        return fail(ErrorCode::Corrupt,
                    fmt::format("the nix-daemon announced a string of {} bytes; at most {} are read", length,
                                kMaxWireString));
    std::string text;
    // Grows with what really arrives, not with what is announced.
    while (text.size() < length) {
        const std::size_t before = text.size();
        text.resize(before + std::min<std::size_t>(kBufferSize, static_cast<std::size_t>(length) - before));
        PENSTOCK_TRY_VOID(take(std::span(text).subspan(before)));
    }
    std::array<char, 8> padding{};
    PENSTOCK_TRY_VOID(take(std::span(padding).first((8 - text.size() % 8) % 8)));
    if (std::any_of(padding.begin(), padding.end(), [](char c) { return c != '\0'; }))
        return fail(ErrorCode::Corrupt, "the nix-daemon sent a string with padding that is not zero");
    return text;
}

Result<std::uint64_t> WireReader::count()
{
    PENSTOCK_TRY(const std::uint64_t value, number());
    if (value > kMaxWireCount)
        return fail(ErrorCode::Corrupt,
                    fmt::format("the nix-daemon announced a list of {} items; at most {} are read", value,
                                kMaxWireCount));
    return value;
}

Result<std::vector<std::string>> WireReader::strings()
{
    PENSTOCK_TRY(std::uint64_t left, count());
    std::vector<std::string> texts;
    for (; left > 0; --left) {
        PENSTOCK_TRY(std::string text, string());
        texts.push_back(std::move(text));
    }
    return texts;
}

Result<nix::StorePath> WireReader::path(const nix::StoreDir& dir)
{
    PENSTOCK_TRY(const std::string text, string());
    return orCorrupt(nix::StorePath::parse(dir, text));
}

Result<std::optional<nix::StorePath>> WireReader::optionalPath(const nix::StoreDir& dir)
{
    PENSTOCK_TRY(const std::string text, string());
    if (text.empty())
        return std::nullopt;
    PENSTOCK_TRY(nix::StorePath path, orCorrupt(nix::StorePath::parse(dir, text)));
    return path;
}

Result<nix::StorePathSet> WireReader::paths(const nix::StoreDir& dir)
{
    PENSTOCK_TRY(std::uint64_t left, count());
    nix::StorePathSet paths;
    for (; left > 0; --left) {
        PENSTOCK_TRY(nix::StorePath item, path(dir));
        paths.insert(std::move(item));
    }
    return paths;
}

} // namespace penstock::nixdaemon
