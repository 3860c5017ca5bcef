// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixstore/daemon_store.h"

#include <utility>

#include <fmt/format.h>

namespace penstock::nixstore {
namespace {

constexpr unsigned kSubstituteFlag = 27; // first protocol minor

nix::NarInfo toNarInfo(const nix::StorePath& path, nixdaemon::PathInfo&& info)
{
    return {path,
            {},
            {},
            std::nullopt,
            std::nullopt,
            info.narHash,
            info.narSize,
            std::move(info.references),
            std::move(info.deriver),
            {},
            std::move(info.signatures),
            std::move(info.contentAddress)};
}

nixdaemon::NarToAdd toNarToAdd(const nix::NarInfo& info, const ByteSource& nar)
{
    constexpr bool kIsUltimate = false; // it was built elsewhere
    constexpr std::uint64_t kNow = 0;
    return {info.path,
            {info.deriver, info.narHash, info.references, kNow, info.narSize, kIsUltimate, info.signatures,
             info.contentAddress},
            nar};
}

// Below 1.27 the question for valid paths cannot ask to substitute.
Result<nix::StorePathSet> substituteOneByOne(nixdaemon::DaemonConnection& daemon,
                                             const nix::StorePathSet& paths)
{
    PENSTOCK_TRY(nix::StorePathSet valid, daemon.queryValidPaths(paths, false));
    nix::StorePathSet missing;
    for (const nix::StorePath& path : paths)
        if (!valid.contains(path))
            missing.insert(path);
    if (missing.empty())
        return valid;
    PENSTOCK_TRY(const auto offered, daemon.querySubstitutablePathInfos(missing));
    nixdaemon::DaemonEvents events;
    for (const auto& [path, info] : offered) {
        const auto ensured = daemon.ensurePath(path, events);
        if (!ensured && ensured.error().code != ErrorCode::Invalid)
            return fail(ensured.error()); // else the store could not fetch it: then it is not valid
    }
    return daemon.queryValidPaths(paths, false);
}

} // namespace

Result<nix::StorePathSet> DaemonStore::validPaths(const nix::StorePathSet& paths, bool substitute)
{
    if (paths.empty())
        return nix::StorePathSet{};
    PENSTOCK_TRY(const auto daemon, m_pool->lease(m_interrupt));
    if (substitute && daemon->greeting().minor < kSubstituteFlag)
        return substituteOneByOne(*daemon, paths);
    return daemon->queryValidPaths(paths, substitute);
}

Result<std::optional<nix::NarInfo>> DaemonStore::info(const nix::StorePath& path)
{
    PENSTOCK_TRY(const auto daemon, m_pool->lease(m_interrupt));
    PENSTOCK_TRY(auto found, daemon->queryPathInfo(path));
    if (!found)
        return std::nullopt;
    return toNarInfo(path, *std::move(found));
}

Result<std::vector<nix::NarInfo>> DaemonStore::infos(const nix::StorePathSet& paths)
{
    std::vector<nix::NarInfo> infos;
    if (paths.empty())
        return infos;
    PENSTOCK_TRY(const auto daemon, m_pool->lease(m_interrupt));
    PENSTOCK_TRY(auto found, daemon->queryPathInfos(paths));
    infos.reserve(found.size());
    for (auto& [path, info] : found)
        infos.push_back(toNarInfo(path, std::move(info)));
    return infos;
}

Result<void> DaemonStore::readNar(const nix::NarInfo& info, const ByteSink& sink)
{
    nix::Hasher hasher;
    const auto streamed = [&]() -> Result<void> {
        PENSTOCK_TRY(const auto daemon, m_pool->lease(m_interrupt));
        return daemon->narFromPath(info.path, [&](std::string_view bytes) {
            hasher.update(bytes);
            return sink(bytes);
        });
    }();
    if (!streamed) {
        // The daemon does not look first whether the path is valid. The store may have lost it meanwhile.
        if (streamed.error().code == ErrorCode::Invalid || streamed.error().code == ErrorCode::Corrupt) {
            PENSTOCK_TRY(const auto valid, validPaths({info.path}, false));
            if (valid.empty())
                return fail(ErrorCode::NotFound, fmt::format("{} is not valid in the store: {}",
                                                             info.path.baseName(), streamed.error().message));
        }
        return streamed;
    }
    const std::uint64_t size = hasher.byteCount();
    const nix::Hash hash = std::move(hasher).finish();
    if (hash != info.narHash || (info.narSize != 0 && size != info.narSize))
        return fail(ErrorCode::Corrupt,
                    fmt::format("{}: the store gave a NAR of {} bytes with the hash {}; {} bytes with {} are "
                                "registered: check it with nix-store --verify --check-contents",
                                info.path.baseName(), size, hash.prefixedBase32(), info.narSize,
                                info.narHash.prefixedBase32()));
    return {};
}

Result<void> DaemonStore::addNar(const nix::NarInfo& info, const ByteSource& nar)
{
    PENSTOCK_TRY(const auto daemon, m_pool->lease(m_interrupt));
    return daemon->addToStoreNar(toNarToAdd(info, nar), {false, true});
}

Result<void> DaemonStore::addNars(const std::vector<NarToTake>& nars, std::size_t& added)
{
    added = 0;
    std::vector<nixdaemon::NarToAdd> all;
    all.reserve(nars.size());
    for (const NarToTake& each : nars)
        all.push_back(toNarToAdd(each.info, each.nar));
    const auto outcome = [&]() -> Result<void> {
        PENSTOCK_TRY(const auto daemon, m_pool->lease(m_interrupt));
        return daemon->addMultipleToStore(all, {false, true});
    }();
    if (outcome) {
        added = nars.size();
        return {};
    }
    nix::StorePathSet paths;
    for (const NarToTake& each : nars)
        paths.insert(each.info.path);
    const auto valid = validPaths(paths, false);
    while (valid && added < nars.size() && valid->contains(nars[added].info.path))
        ++added;
    return outcome;
}

Result<void> DaemonStore::addRoot(const nix::StorePath& path, const std::string& link)
{
    PENSTOCK_TRY(const auto daemon, m_pool->lease(m_interrupt));
    PENSTOCK_TRY(const bool isValid, daemon->isValidPath(path));
    if (!isValid)
        return fail(ErrorCode::NotFound,
                    fmt::format("{} is not valid in the store, so it cannot be held", path.baseName()));
    return daemon->addPermRoot(path, link);
}

} // namespace penstock::nixstore
