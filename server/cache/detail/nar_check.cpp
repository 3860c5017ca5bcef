// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/detail/nar_check.h"

#include <fmt/format.h>
#include <utility>

namespace penstock::cache::detail {

NarCheck::NarCheck(const nix::StoreDir& dir, const nix::NarInfo& announced, bool wantsListing)
    : m_path(announced.path.print(dir)),
      m_narHash(announced.narHash),
      m_narSize(announced.narSize),
      m_facts{wantsListing ? ListingState::Kept : ListingState::Unwanted, {}, {}, {}},
      m_listing(kMaxKeptListing),
      m_visitor(wantsListing ? std::vector<nix::NarVisitor*>{&m_listing, &m_debugInfo}
                             : std::vector<nix::NarVisitor*>{&m_debugInfo}),
      m_parser(m_visitor),
      m_scan(dir, announced.references)
{}

Result<std::unique_ptr<NarCheck>> NarCheck::begin(const nix::StoreDir& dir, const nix::NarInfo& announced,
                                                  bool wantsListing)
{
    const std::string path = announced.path.print(dir);
    if (announced.narHash.algorithm() != nix::HashAlgorithm::Sha256)
        return fail(ErrorCode::Invalid, fmt::format("{}: NarHash {} has to be a SHA-256", path,
                                                    announced.narHash.prefixedBase32()));
    if (announced.narSize == 0)
        return fail(ErrorCode::Invalid, fmt::format("{}: NarSize is 0; no NAR is that small", path));
    std::unique_ptr<NarCheck> check(new NarCheck(dir, announced, wantsListing));
    if (announced.contentAddress.empty())
        return check;
    auto address = nix::ContentAddress::parse(announced.contentAddress);
    if (!address)
        return fail(std::move(address).error().in(path));
    auto content = nix::ContentCheck::begin(dir, announced.path, *address, announced.references);
    if (!content)
        return fail(std::move(content).error().in(path));
    check->m_content.emplace(*std::move(content));
    return check;
}

void NarCheck::finishListing()
{
    if (m_facts.listingState == ListingState::Unwanted)
        return;
    auto listing = std::move(m_listing).finish();
    if (listing)
        m_facts.listing = *std::move(listing);
    else
        m_facts.listingState =
            listing.error().code == ErrorCode::Exhausted ? ListingState::TooLarge : ListingState::Impossible;
}

Result<void> NarCheck::push(std::string_view nar)
{
    if (nar.size() > m_narSize - m_hasher.byteCount())
        return fail(ErrorCode::Corrupt,
                    fmt::format("{}: its NAR is larger than the announced {} bytes", m_path, m_narSize));
    m_hasher.update(nar);
    auto taken = m_parser.push(nar);
    if (!taken)
        return fail(std::move(taken).error().in(m_path));
    if (*taken < nar.size())
        return fail(ErrorCode::Corrupt, fmt::format("{}: {} bytes follow the end of its NAR at {}", m_path,
                                                    nar.size() - *taken, m_parser.byteCount()));
    m_scan.push(nar);
    if (m_content && m_contentResult)
        m_contentResult = m_content->push(nar);
    return {};
}

Result<NarFacts> NarCheck::finish()
{
    const std::uint64_t size = m_hasher.byteCount();
    const nix::Hash hash = std::move(m_hasher).finish();
    if (size != m_narSize)
        return fail(ErrorCode::Corrupt,
                    fmt::format("{}: its NAR has {} bytes, {} were announced", m_path, size, m_narSize));
    if (hash != m_narHash)
        return fail(ErrorCode::Corrupt, fmt::format("{}: its NAR has the hash {}, {} was announced", m_path,
                                                    hash.prefixedBase32(), m_narHash.prefixedBase32()));
    m_isAnnouncedNar = true;
    if (auto whole = m_parser.finish(); !whole)
        return fail(std::move(whole).error().in(m_path));
    if (m_content && m_contentResult)
        m_contentResult = m_content->finish();
    if (!m_contentResult)
        return fail(std::move(m_contentResult).error().in(m_path));
    finishListing();
    m_facts.debugFiles = m_debugInfo.files();
    m_facts.unstated = m_scan.unstated();
    return std::move(m_facts);
}

} // namespace penstock::cache::detail
