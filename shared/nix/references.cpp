// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/references.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

namespace penstock::nix {
namespace {

constexpr std::size_t kLength = kStoreDigestLength;

constexpr std::array<bool, 256> makeAlphabet()
{
    std::array<bool, 256> alphabet{};
    for (const char c : std::string_view("0123456789abcdfghijklmnpqrsvwxyz"))
        alphabet[static_cast<unsigned char>(c)] = true;
    return alphabet;
}
constexpr std::array<bool, 256> kAlphabet =
    makeAlphabet(); // as isBase32Character, without a call for each byte

bool isDigestCharacter(char c)
{
    return kAlphabet[static_cast<unsigned char>(c)];
}

std::size_t beginningOf(const char* digest)
{
    std::uint64_t word = 0;
    std::memcpy(&word, digest, sizeof word);
    return (word * 0x9E3779B97F4A7C15U) >> 48U;
}

std::set<std::string> digestsOf(const StorePathSet& paths)
{
    std::set<std::string> digests;
    for (const StorePath& path : paths)
        digests.emplace(path.digest());
    return digests;
}

} // namespace

ReferenceScanner::ReferenceScanner(std::set<std::string> digests) : m_digests(std::move(digests))
{
    for (const std::string& digest : m_digests) {
        if (digest.size() != kLength || !std::all_of(digest.begin(), digest.end(), isDigestCharacter))
            continue;
        m_missing.insert(digest);
        m_beginnings.set(beginningOf(digest.data()));
    }
}

ReferenceScanner::ReferenceScanner(const StorePathSet& candidates) : ReferenceScanner(digestsOf(candidates))
{}

void ReferenceScanner::push(std::string_view bytes)
{
    if (m_missing.empty() || bytes.empty())
        return;
    // What begins in the tail and ends in these bytes.
    std::array<char, 2 * (kLength - 1)> joint{};
    const std::size_t fresh = std::min(bytes.size(), kLength - 1);
    std::copy_n(m_tail.data(), m_tailLength, joint.data());
    std::copy_n(bytes.data(), fresh, joint.data() + m_tailLength);
    scan({joint.data(), m_tailLength + fresh});
    scan(bytes);
    if (bytes.size() >= kLength - 1)
        keepTail(bytes);
    else
        keepTail({joint.data(), m_tailLength + fresh});
}

void ReferenceScanner::keepTail(std::string_view bytes)
{
    m_tailLength = std::min(bytes.size(), m_tail.size());
    std::copy_n(bytes.data() + bytes.size() - m_tailLength, m_tailLength, m_tail.data());
}

// Looks at the last character of a window first: one outside of the alphabet rules out all windows over it.
void ReferenceScanner::scan(std::string_view bytes)
{
    const char* const text = bytes.data();
    std::size_t begin = 0; // of the window
    std::size_t known = 0; // below here, from begin on, all is known to be of the alphabet
    while (begin + kLength <= bytes.size()) {
        std::size_t at = begin + kLength;
        while (at > std::max(begin, known) && isDigestCharacter(text[at - 1]))
            --at;
        if (at > std::max(begin, known)) {
            begin = at;
            continue;
        }
        look(bytes.substr(begin, kLength));
        known = begin + kLength;
        ++begin;
    }
}

void ReferenceScanner::look(std::string_view window)
{
    if (!m_beginnings.test(beginningOf(window.data())))
        return;
    const auto found = m_missing.find(window);
    if (found == m_missing.end())
        return;
    m_found.emplace(window);
    m_missing.erase(found);
}

StorePathSet ReferenceScanner::foundOf(const StorePathSet& candidates) const
{
    StorePathSet paths;
    for (const StorePath& path : candidates)
        if (m_found.contains(std::string(path.digest())))
            paths.insert(path);
    return paths;
}

} // namespace penstock::nix
