// SPDX-License-Identifier: GPL-3.0-or-later
// Opening the stores and keys at start-up.
#include "server/app/output_desk.h"
#include "server/app/signing_keys.h"
#include "server/cache/binary_cache.h"
#include "server/cache/dir_store.h"
#include "shared/config/files.h"

#include <fmt/format.h>

#include <utility>

namespace penstock::app {
namespace {

Result<std::unique_ptr<cache::ObjectStore>> openObjects(const cache::StoreUri& uri)
{
    switch (uri.kind) {
    case cache::StoreKind::Directory: {
        PENSTOCK_TRY(auto store, cache::DirStore::open(uri.directory));
        return std::unique_ptr<cache::ObjectStore>(std::move(store));
    }
    case cache::StoreKind::S3:
    case cache::StoreKind::Local: break;
    }
    return fail(ErrorCode::Invalid, "this server keeps outputs in directories; give file:///DIR");
}

Result<OpenedStore> openStore(const cache::StoreUri& uri, std::vector<nix::SecretKey> keys, const Clock& clock,
                              Logger& logger)
{
    for (const auto& file : uri.secretKeyFiles) {
        PENSTOCK_TRY(const auto text, config::readSecretFile(file));
        PENSTOCK_TRY(auto key, nix::SecretKey::parse(text));
        keys.push_back(std::move(key));
    }
    PENSTOCK_TRY(auto objects, openObjects(uri));
    auto* files = objects.get();
    PENSTOCK_TRY(auto store, cache::BinaryCache::open(std::move(objects),
                                                      cache::binaryCacheOptions(uri, std::move(keys)), clock, logger));
    return OpenedStore{std::move(store), files};
}

} // namespace

Result<OpenedOutputs> openOutputs(const OutputOptions& options, const OutputPlaces& places, const Clock& clock,
                                  Logger& logger)
{
    PENSTOCK_TRY(const auto keys, loadSigningKeys({options.keyFiles, places.dataDir, places.serverName,
                                                   places.credentialsDirectory}));
    PENSTOCK_TRY(auto grants, transfer::GrantKey::make(keys.front().derive("penstock transfer grant")));
    PENSTOCK_TRY(auto directory, nix::StoreDir::parse(places.storeDir));
    OpenedOutputs opened{{}, nullptr, {}, std::move(grants), {std::move(directory), options.trusted}};
    for (const auto& key : keys) {
        opened.publicKeys.push_back(key.publicKey().print());
        opened.rules.trusted.push_back(key.publicKey()); // what we signed ourselves is welcome back
        logger.info("server.signing_key", {{"public_key", opened.publicKeys.back()}});
    }
    for (const auto& uri : options.stores) {
        auto store = openStore(uri, keys, clock, logger);
        if (!store)
            return fail(std::move(store).error().in(fmt::format("--store {}", uri.text)));
        opened.stores.push_back(*std::move(store));
    }
    std::vector<NamedStore> further;
    for (std::size_t at = 1; at < opened.stores.size(); ++at)
        further.push_back({options.stores[at].text, opened.stores[at].store.get()});
    PENSTOCK_TRY(opened.further, FurtherStores::open(places.dataDir + "/outbox", *opened.stores.front().store,
                                                     std::move(further), clock, logger));
    return opened;
}

} // namespace penstock::app
