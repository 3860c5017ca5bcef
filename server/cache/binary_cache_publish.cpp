// SPDX-License-Identifier: GPL-3.0-or-later
// How staged paths become visible: checked, made durable, signed; narinfos last, references before referrers.
#include "server/cache/binary_cache.h"

#include "server/cache/detail/order.h"
#include "server/cache/parallel.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace penstock::cache {
namespace {

std::string_view nameOfSignature(std::string_view signature)
{
    return signature.substr(0, signature.find(':'));
}

} // namespace

Result<void> BinaryCache::publish(std::vector<nix::NarInfo> staged)
{
    nix::StorePathSet paths;
    std::erase_if(staged, [&paths](const nix::NarInfo& info) { return !paths.insert(info.path).second; });
    const detail::PathClaims::Claim claim(m_claims, paths);
    PENSTOCK_TRY_VOID(checkCacheInfoOnce());
    PENSTOCK_TRY_VOID(checkReferences(staged));
    PENSTOCK_TRY(staged, withoutPresent(std::move(staged)));
    PENSTOCK_TRY(const auto rounds, detail::roundsOf(staged));
    std::vector<detail::NarFacts> facts(staged.size());
    PENSTOCK_TRY_VOID(checkNars(staged, facts));
    std::vector<std::string> keys;
    for (const nix::NarInfo& info : staged)
        keys.push_back(info.url);
    PENSTOCK_TRY_VOID(m_objects->sync(keys));
    PENSTOCK_TRY_VOID(putSideFiles(staged, facts));
    for (nix::NarInfo& info : staged)
        sign(info);
    std::vector<std::vector<SmallObject>> objects;
    for (const auto& round : rounds) {
        auto& infos = objects.emplace_back();
        for (const std::size_t i : round) {
            PENSTOCK_TRY(auto object, textObject(std::string(staged[i].path.digest()) + ".narinfo",
                                                 nix::printNarInfo(m_options.storeDir, staged[i]),
                                                 "text/x-nix-narinfo", m_options.narInfoCompression));
            infos.push_back(std::move(object));
        }
    }
    auto put = m_objects->putRounds(std::move(objects));
    for (const nix::NarInfo& info : staged) {
        if (!put) {
            m_presence.forget(info.path.digest()); // some of them may be there
            continue;
        }
        m_presence.put(info.path.digest(), std::make_shared<const nix::NarInfo>(info), now());
        m_staged.forget(info.path);
    }
    return put;
}

Result<void> BinaryCache::checkReferences(const std::vector<nix::NarInfo>& staged)
{
    nix::StorePathSet own;
    for (const nix::NarInfo& info : staged)
        own.insert(info.path);
    nix::StorePathSet outside;
    for (const nix::NarInfo& info : staged)
        std::copy_if(info.references.begin(), info.references.end(), std::inserter(outside, outside.end()),
                     [&own](const nix::StorePath& path) { return !own.contains(path); });
    PENSTOCK_TRY(const nix::StorePathSet there, findMany(outside));
    if (there.size() == outside.size())
        return {};
    for (const nix::NarInfo& info : staged)
        for (const nix::StorePath& reference : info.references)
            if (outside.contains(reference) && !there.contains(reference))
                return fail(
                    ErrorCode::Invalid,
                    fmt::format("{} refers to {}, which is neither in {} nor published with it; send that "
                                "first",
                                info.path.baseName(), reference.baseName(), describe()));
    return {};
}

Result<std::vector<nix::NarInfo>> BinaryCache::withoutPresent(std::vector<nix::NarInfo> staged)
{
    nix::StorePathSet paths;
    for (const nix::NarInfo& info : staged)
        paths.insert(info.path);
    PENSTOCK_TRY(const nix::StorePathSet there, findMany(paths));
    std::vector<nix::NarInfo> missing;
    for (nix::NarInfo& info : staged)
        if (there.contains(info.path))
            m_staged.forget(info.path);
        else
            missing.push_back(std::move(info));
    return missing;
}

Result<void> BinaryCache::checkNars(const std::vector<nix::NarInfo>& staged,
                                    std::vector<detail::NarFacts>& facts)
{
    const auto check = [&](std::size_t i) -> Result<void> {
        const nix::NarInfo& info = staged[i];
        if (auto known = m_staged.find(info)) {
            PENSTOCK_TRY(const auto object, m_objects->head(info.url));
            if (!object || object->size != info.fileSize)
                return fail(ErrorCode::Invalid, fmt::format("{}: its NAR {} is gone from {}; upload it again",
                                                            info.path.baseName(), info.url, describe()));
            facts[i] = *std::move(known);
            return {};
        }
        // Staged by a former run, or dropped from the list: nobody's word is signed.
        auto verified = verifyStored(info);
        if (!verified && verified.error().code == ErrorCode::NotFound)
            return fail(ErrorCode::Invalid, fmt::format("{}: its NAR {} is not in {}; upload it",
                                                        info.path.baseName(), info.url, describe()));
        if (!verified)
            return fail(std::move(verified).error());
        if (verified->info != info)
            return fail(ErrorCode::Corrupt,
                        fmt::format("{}: {} has the hash {}, {} was staged", info.path.baseName(), info.url,
                                    verified->info.fileHash->prefixedBase32(),
                                    info.fileHash ? info.fileHash->prefixedBase32() : "none"));
        facts[i] = std::move(verified->facts);
        return {};
    };
    return parallelFor(staged.size(), m_options.parallel, check);
}

Result<void> BinaryCache::putSideFiles(const std::vector<nix::NarInfo>& staged,
                                       std::vector<detail::NarFacts>& facts)
{
    if (!m_options.writeListings && !m_options.writeDebugInfo)
        return {};
    const auto put = [&](std::size_t i) -> Result<void> {
        if (m_options.writeListings)
            PENSTOCK_TRY_VOID(putListing(staged[i], facts[i]));
        return m_options.writeDebugInfo ? putDebugLinks(staged[i], facts[i]) : Result<void>();
    };
    return parallelFor(staged.size(), m_options.parallel, put);
}

Result<void> BinaryCache::putListing(const nix::NarInfo& info, const detail::NarFacts& facts)
{
    std::string text = facts.listing;
    if (facts.listingState != detail::ListingState::Kept) {
        auto made = facts.listingState == detail::ListingState::Impossible
                        ? fail(ErrorCode::Invalid, "a name or the target of a link is not UTF-8")
                        : listingOf(info);
        if (!made && made.error().code != ErrorCode::Invalid && made.error().code != ErrorCode::Exhausted)
            return fail(std::move(made).error());
        if (!made) { // readers take the NAR then
            m_logger.info("cache.no_listing",
                          {{"path", info.path.baseName()}, {"reason", made.error().message}});
            return {};
        }
        text = *std::move(made);
    }
    PENSTOCK_TRY(const auto object, textObject(std::string(info.path.digest()) + ".ls", std::move(text),
                                               "application/json", m_options.listingCompression));
    return m_objects->putText(object.key, object.text, object.options);
}

Result<std::string> BinaryCache::listingOf(const nix::NarInfo& info)
{
    nix::ListingBuilder listing;
    nix::NarParser parser(listing);
    const auto parse = [&parser](std::string_view nar) -> Result<void> {
        PENSTOCK_TRY([[maybe_unused]] const std::size_t taken, parser.push(nar));
        return {};
    };
    PENSTOCK_TRY_VOID(readNar(info, parse));
    return std::move(listing).finish();
}

Result<void> BinaryCache::putDebugLinks(const nix::NarInfo& info, const detail::NarFacts& facts)
{
    for (const nix::DebugFile& file : facts.debugFiles) {
        PutOptions options;
        options.contentType = "application/json";
        options.ifAbsent = true;
        // Neither word needs an escape: digits, letters, slashes and dots.
        const auto done = m_objects->putText(
            fmt::format("debuginfo/{}.debug", file.buildId),
            fmt::format(R"({{"archive":"../{}","member":"{}"}})", info.url, file.member), options);
        if (!done &&
            done.error().code != ErrorCode::Conflict) // the same build id, found in another path before
            return done;
    }
    return {};
}

void BinaryCache::sign(nix::NarInfo& info) const
{
    if (m_options.keys.empty())
        return;
    const std::string message = nix::fingerprint(m_options.storeDir, info);
    std::vector<std::string> signatures;
    for (const nix::SecretKey& key : m_options.keys)
        signatures.push_back(key.sign(message));
    for (std::string& signature : info.signatures) {
        // One that bears our name and is not ours helps nobody.
        const bool isOurs =
            std::any_of(m_options.keys.begin(), m_options.keys.end(),
                        [&](const nix::SecretKey& key) { return key.name() == nameOfSignature(signature); });
        if (!isOurs && signatures.size() < nix::kMaxSignatures)
            signatures.push_back(std::move(signature));
    }
    info.signatures = std::move(signatures);
}

} // namespace penstock::cache
