// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/detail/staged.h"

#include <utility>

namespace penstock::cache::detail {
namespace {

constexpr std::size_t kMaxBytes = 64U << 20U;
constexpr std::size_t kEntryBytes = 1024;
constexpr std::size_t kReferenceBytes = 128;

} // namespace

void Staged::put(const nix::NarInfo& info, NarFacts facts)
{
    std::size_t bytes = kEntryBytes + info.references.size() * kReferenceBytes + facts.listing.size();
    for (const nix::DebugFile& file : facts.debugFiles)
        bytes += sizeof(nix::DebugFile) + file.buildId.size() + file.member.size();
    const MutexLock lock(m_mutex);
    drop(info.path);
    const std::uint64_t number = ++m_lastNumber;
    m_entries.emplace(info.path, Entry{info, std::move(facts), bytes, number});
    m_order.emplace(number, info.path);
    m_bytes += bytes;
    while (m_bytes > kMaxBytes) {
        const nix::StorePath oldest = m_order.begin()->second;
        drop(oldest);
    }
}

std::optional<NarFacts> Staged::find(const nix::NarInfo& info)
{
    const MutexLock lock(m_mutex);
    const auto found = m_entries.find(info.path);
    if (found == m_entries.end() || found->second.info != info)
        return std::nullopt;
    return found->second.facts;
}

void Staged::forget(const nix::StorePath& path)
{
    const MutexLock lock(m_mutex);
    drop(path);
}

void Staged::drop(const nix::StorePath& path)
{
    const auto found = m_entries.find(path);
    if (found == m_entries.end())
        return;
    m_bytes -= found->second.bytes;
    m_order.erase(found->second.number);
    m_entries.erase(found);
}

} // namespace penstock::cache::detail
