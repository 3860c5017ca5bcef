// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/detail/presence.h"

#include <iterator>
#include <utility>

namespace penstock::cache::detail {
namespace {

constexpr std::size_t kEntryBytes = 256;     // list, index and digest
constexpr std::size_t kReferenceBytes = 128; // a node of the set with its base name

std::size_t bytesOfInfo(const nix::NarInfo* info)
{
    if (info == nullptr)
        return kEntryBytes;
    std::size_t bytes =
        kEntryBytes + sizeof(nix::NarInfo) + info->url.size() + info->references.size() * kReferenceBytes;
    for (const std::string& signature : info->signatures)
        bytes += sizeof(std::string) + signature.size();
    return bytes;
}

} // namespace

std::optional<std::shared_ptr<const nix::NarInfo>> Presence::find(std::string_view digest, Instant now)
{
    const MutexLock lock(m_mutex);
    const auto found = m_index.find(digest);
    if (found == m_index.end())
        return std::nullopt;
    if (found->second->expires <= now) {
        drop(found->second);
        return std::nullopt;
    }
    if (found->second->info)
        m_present.splice(m_present.begin(), m_present, found->second);
    return found->second->info;
}

void Presence::put(std::string_view digest, std::shared_ptr<const nix::NarInfo> info, Instant now)
{
    const Duration life = info ? m_options.positive : m_options.negative;
    const MutexLock lock(m_mutex);
    const auto found = m_index.find(digest);
    if (found != m_index.end())
        drop(found->second);
    if (life <= Duration{0})
        return;
    while (!m_absent.empty() && m_absent.back().expires <= now)
        drop(std::prev(m_absent.end()));
    const std::size_t bytes = bytesOfInfo(info.get());
    Entries& entries = info ? m_present : m_absent;
    entries.push_front({std::string(digest), std::move(info), now + life, bytes});
    m_index.emplace(entries.front().digest, entries.begin());
    m_bytes += bytes;
    while (m_index.size() > m_options.maxEntries || m_bytes > m_options.maxBytes)
        dropOne();
}

// A flood of questions for what is not there must not push out what is.
void Presence::dropOne()
{
    const bool ofAbsent = m_present.empty() || m_absent.size() > m_options.maxEntries / 4;
    drop(std::prev(ofAbsent ? m_absent.end() : m_present.end()));
}

void Presence::forget(std::string_view digest)
{
    const MutexLock lock(m_mutex);
    const auto found = m_index.find(digest);
    if (found != m_index.end())
        drop(found->second);
}

std::size_t Presence::size()
{
    const MutexLock lock(m_mutex);
    return m_index.size();
}

void Presence::drop(Entries::iterator entry)
{
    m_bytes -= entry->bytes;
    m_index.erase(entry->digest);
    (entry->info ? m_present : m_absent).erase(entry);
}

} // namespace penstock::cache::detail
