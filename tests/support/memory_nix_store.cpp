// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/memory_nix_store.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <utility>

namespace penstock::test {

Result<nix::StorePathSet> MemoryNixStore::validPaths(const nix::StorePathSet& paths, bool /*substitute*/)
{
    const MutexLock lock(m_mutex);
    nix::StorePathSet valid;
    std::copy_if(paths.begin(), paths.end(), std::inserter(valid, valid.end()),
                 [this](const nix::StorePath& path) { return m_entries.contains(path); });
    return valid;
}

Result<std::optional<nix::NarInfo>> MemoryNixStore::info(const nix::StorePath& path)
{
    const MutexLock lock(m_mutex);
    const auto found = m_entries.find(path);
    return found == m_entries.end() ? std::nullopt : std::optional(found->second.info);
}

Result<void> MemoryNixStore::readNar(const nix::NarInfo& info, const ByteSink& sink)
{
    std::string nar;
    {
        const MutexLock lock(m_mutex);
        const auto found = m_entries.find(info.path);
        if (found == m_entries.end())
            return fail(ErrorCode::Invalid, "no such path");
        nar = found->second.nar;
    }
    constexpr std::size_t kPiece = 50;
    for (std::size_t at = 0; at < nar.size(); at += kPiece)
        PENSTOCK_TRY_VOID(sink(std::string_view(nar).substr(at, kPiece)));
    return {};
}

Result<void> MemoryNixStore::addNar(const nix::NarInfo& info, const ByteSource& nar)
{
    if (onAdd)
        PENSTOCK_TRY_VOID(onAdd(info));
    std::string bytes;
    std::array<char, 77> piece{};
    for (;;) {
        PENSTOCK_TRY(const std::size_t got, nar(piece));
        if (got == 0)
            break;
        bytes.append(piece.data(), got);
    }
    if (bytes.size() != info.narSize || nix::hashOf(bytes) != info.narHash)
        return fail(ErrorCode::Corrupt, "another NAR than announced");
    const MutexLock lock(m_mutex);
    for (const nix::StorePath& reference : info.references)
        if (reference != info.path && !m_entries.contains(reference))
            return fail(ErrorCode::Invalid, fmt::format("{} is not valid", reference.baseName()));
    m_entries.emplace(info.path, Entry{info, std::move(bytes)});
    m_added.push_back(info.path);
    return {};
}

Result<void> MemoryNixStore::addRoot(const nix::StorePath& path, const std::string& link)
{
    const MutexLock lock(m_mutex);
    m_roots.emplace(link, path);
    return {};
}

Result<std::optional<nix::StorePath>> MemoryNixStore::pathOfDigest(std::string_view digest)
{
    const MutexLock lock(m_mutex);
    for (const auto& [path, entry] : m_entries)
        if (path.digest() == digest)
            return path;
    return std::nullopt;
}

std::vector<nix::StorePath> MemoryNixStore::added()
{
    const MutexLock lock(m_mutex);
    return m_added;
}

std::map<std::string, nix::StorePath> MemoryNixStore::roots()
{
    const MutexLock lock(m_mutex);
    return m_roots;
}

} // namespace penstock::test
