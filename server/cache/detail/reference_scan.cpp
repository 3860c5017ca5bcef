// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/detail/reference_scan.h"

#include <algorithm>

namespace penstock::cache::detail {
namespace {

bool isDigest(std::string_view text)
{
    return std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= '0' && c <= '9') ||
               (c >= 'a' && c <= 'z' && c != 'e' && c != 'o' && c != 't' && c != 'u');
    });
}

} // namespace

ReferenceScan::ReferenceScan(const nix::StoreDir& dir, const nix::StorePathSet& stated)
    : m_prefix(dir.text() + "/")
{
    for (const nix::StorePath& path : stated)
        m_stated.emplace(path.digest());
}

void ReferenceScan::push(std::string_view bytes)
{
    const std::size_t whole = m_prefix.size() + nix::kStoreDigestLength + 1;
    // Where the pieces meet.
    const std::string_view begin = bytes.substr(0, whole - 1);
    m_tail.append(begin);
    scan(m_tail);
    scan(bytes);
    if (bytes.size() >= whole - 1)
        m_tail = std::string(bytes.substr(bytes.size() - (whole - 1)));
    else if (m_tail.size() > whole - 1)
        m_tail.erase(0, m_tail.size() - (whole - 1));
}

void ReferenceScan::scan(std::string_view bytes)
{
    const std::size_t whole = m_prefix.size() + nix::kStoreDigestLength + 1;
    for (std::size_t at = bytes.find(m_prefix); at != std::string_view::npos && at + whole <= bytes.size();
         at = bytes.find(m_prefix, at + 1)) {
        const std::string_view digest = bytes.substr(at + m_prefix.size(), nix::kStoreDigestLength);
        if (bytes[at + whole - 1] == '-' && isDigest(digest) && !m_stated.contains(digest) &&
            m_unstated.size() < kMaxUnstated)
            m_unstated.emplace(digest);
    }
}

} // namespace penstock::cache::detail
