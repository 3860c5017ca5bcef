// SPDX-License-Identifier: GPL-3.0-or-later
// Opening the stores and keys at start-up.
#include "server/app/output_desk.h"
#include "server/app/signing_keys.h"
#include "server/app/store_opening.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace penstock::app {
namespace {

// Behind a first store that is another one; a further store that is the machine's own is as good as one of our own.
Result<void> openInputs(const OutputOptions& options, const std::vector<nix::SecretKey>& keys,
                        const StorePlaces& places, OpenedOutputs& opened)
{
    const auto& uris = options.stores;
    if (uris.front().kind == cache::StoreKind::Local)
        return {};
    const auto named = std::find_if(uris.begin(), uris.end(),
                                    [](const auto& uri) { return uri.kind == cache::StoreKind::Local; });
    const OpenedStore* local = nullptr;
    if (named != uris.end()) {
        local = &opened.stores.at(static_cast<std::size_t>(named - uris.begin()));
    } else {
        PENSTOCK_TRY(auto uri, cache::parseStoreUri("local"));
        uri.storeDir = uris.front().storeDir;
        auto store = openStore(uri, keys, places);
        if (!store)
            return fail(std::move(store).error().in("sources and derivations are read in the machine's own Nix store"));
        local = &opened.local.emplace(*std::move(store));
    }
    const auto& first = opened.stores.front();
    opened.inputs = std::make_unique<cache::FallbackStore>(
        cache::FallbackStore::Side{*first.store, first.files},
        cache::FallbackStore::Side{*local->store, local->files}, keys);
    return {};
}

} // namespace

Result<OpenedOutputs> openOutputs(const OutputOptions& options, const OutputPlaces& places, const Clock& clock,
                                  Logger& logger)
{
    const auto credentials = places.environment.find("CREDENTIALS_DIRECTORY");
    PENSTOCK_TRY(const auto keys,
                 loadSigningKeys({options.keyFiles, places.dataDir, places.serverName,
                                  credentials == places.environment.end() ? std::string() : credentials->second}));
    PENSTOCK_TRY(auto grants, transfer::GrantKey::make(keys.front().derive("penstock transfer grant")));
    PENSTOCK_TRY(auto directory, nix::StoreDir::parse(places.storeDir));
    OpenedOutputs opened{{}, {}, nullptr, nullptr, {}, std::move(grants), {std::move(directory), options.trusted}};
    for (const auto& key : keys) {
        opened.publicKeys.push_back(key.publicKey().print());
        opened.rules.trusted.push_back(key.publicKey()); // what we signed ourselves is welcome back
        logger.info("server.signing_key", {{"public_key", opened.publicKeys.back()}});
    }
    for (const auto& uri : options.stores) {
        auto store = openStore(uri, keys, {places.dataDir, places.environment, clock, logger});
        if (!store)
            return fail(std::move(store).error().in(fmt::format("--store {}", uri.text)));
        opened.stores.push_back(*std::move(store));
    }
    if (places.readsLocal)
        PENSTOCK_TRY_VOID(openInputs(options, keys, {places.dataDir, places.environment, clock, logger}, opened));
    std::vector<NamedStore> further;
    for (std::size_t at = 1; at < opened.stores.size(); ++at)
        further.push_back({options.stores[at].text, opened.stores[at].store.get()});
    PENSTOCK_TRY(opened.further, FurtherStores::open(places.dataDir + "/outbox", *opened.stores.front().store,
                                                     std::move(further), clock, logger));
    return opened;
}

} // namespace penstock::app
