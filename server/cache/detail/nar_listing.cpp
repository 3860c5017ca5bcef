// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/detail/nar_listing.h"

#include "server/cache/detail/json_text.h"
#include "shared/base/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>

namespace penstock::cache::detail {
namespace {

constexpr std::size_t kPieceBytes = 32U << 10U;
constexpr std::string_view kDebugFolder = "lib/debug/.build-id/";
constexpr std::string_view kDebugEnding = ".debug";
constexpr std::size_t kMinBuildIdDigits = 6;
constexpr std::size_t kMaxBuildIdDigits = 128;

bool isHex(std::string_view text)
{
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::optional<DebugLink> debugLink(std::string_view path)
{
    if (!path.starts_with(kDebugFolder) || !path.ends_with(kDebugEnding))
        return std::nullopt;
    const std::string_view digits =
        path.substr(kDebugFolder.size(), path.size() - kDebugFolder.size() - kDebugEnding.size());
    if (digits.size() < 3 || digits[2] != '/')
        return std::nullopt;
    std::string id = std::string(digits.substr(0, 2)) + std::string(digits.substr(3));
    if (id.size() < kMinBuildIdDigits || id.size() > kMaxBuildIdDigits || id.size() % 2 != 0 || !isHex(id))
        return std::nullopt;
    return DebugLink{std::move(id), std::string(path)};
}

} // namespace

std::string NarListing::quoted(std::string_view text)
{
    m_isTrue = m_isTrue && isUtf8(text);
    return quoteJson(toValidUtf8(text));
}

Result<void> NarListing::node(std::string_view path, std::string_view members)
{
    if (!m_text)
        return {};
    if (!m_hasRoot) {
        m_piece += R"({"version":1,"root":)";
        m_hasRoot = true;
    } else {
        const std::size_t slash = path.rfind('/');
        const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
        if (!m_isFirst)
            m_piece += ',';
        m_piece += quoted(name);
        m_piece += ':';
    }
    m_piece += members;
    m_isFirst = false;
    if (m_piece.size() < kPieceBytes)
        return {};
    auto done = m_text(m_piece);
    m_piece.clear();
    return done;
}

Result<void> NarListing::onDirectory(std::string_view path)
{
    PENSTOCK_TRY_VOID(node(path, R"({"type":"directory","entries":{)"));
    m_isFirst = true;
    return {};
}

Result<void> NarListing::onDirectoryEnd(std::string_view /*path*/)
{
    if (m_text)
        m_piece += "}}";
    m_isFirst = false;
    return {};
}

Result<void> NarListing::onSymlink(std::string_view path, std::string_view target)
{
    return node(path, m_text ? fmt::format(R"({{"type":"symlink","target":{}}})", quoted(target)) : std::string());
}

Result<void> NarListing::onFile(std::string_view path, const nix::NarFile& file)
{
    if (m_debugLinks.size() < kMaxDebugLinks)
        if (auto link = debugLink(path))
            m_debugLinks.push_back(*std::move(link));
    if (!m_text)
        return {};
    // The empty file has no content whose offset could be told; Nix writes the one where it would be.
    return node(path, fmt::format(R"({{"type":"regular","size":{}{},"narOffset":{}}})", file.size,
                                  file.isExecutable ? R"(,"executable":true)" : "", file.offset));
}

Result<void> NarListing::finish()
{
    if (!m_text)
        return {};
    m_piece += '}';
    return m_text(m_piece);
}

} // namespace penstock::cache::detail
