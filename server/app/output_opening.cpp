// SPDX-License-Identifier: GPL-3.0-or-later
// Opening the stores and keys at start-up.
#include "server/app/output_desk.h"
#include "server/app/signing_keys.h"
#include "server/cache/binary_cache.h"
#include "server/cache/dir_store.h"
#include "server/cache/s3_settings.h"
#include "server/cache/s3_store.h"
#include "shared/config/files.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

namespace penstock::app {
namespace {

constexpr std::size_t kMaxAwsFile = 1U << 20U;

// A file that is not there holds no profile; one that cannot be read is the operator's to mend.
Result<std::string> readAwsFile(const std::string& path)
{
    if (path.empty() || ::access(path.c_str(), F_OK) != 0)
        return std::string();
    return config::readTextFile(path, kMaxAwsFile);
}

Result<std::unique_ptr<cache::ObjectStore>> openBucket(const cache::S3Place& place,
                                                       const config::Environment& environment)
{
    cache::AwsSettings settings;
    settings.environment.insert(environment.begin(), environment.end());
    const auto files = cache::awsFilesOf(settings.environment);
    PENSTOCK_TRY(settings.systemd, readAwsFile(files.systemd));
    PENSTOCK_TRY(settings.credentials, readAwsFile(files.credentials));
    PENSTOCK_TRY(settings.config, readAwsFile(files.config));
    PENSTOCK_TRY(auto options, cache::s3OptionsOf(place, settings));
    return std::unique_ptr<cache::ObjectStore>(std::make_unique<cache::S3Store>(std::move(options)));
}

Result<std::unique_ptr<cache::ObjectStore>> openObjects(const cache::StoreUri& uri,
                                                        const config::Environment& environment)
{
    switch (uri.kind) {
    case cache::StoreKind::Directory: {
        PENSTOCK_TRY(auto store, cache::DirStore::open(uri.directory));
        return std::unique_ptr<cache::ObjectStore>(std::move(store));
    }
    case cache::StoreKind::S3: return openBucket(uri.s3, environment);
    case cache::StoreKind::Local: break;
    }
    return fail(ErrorCode::Invalid, "this server keeps outputs in directories and S3; give file:///DIR or s3://BUCKET");
}

struct Surroundings {
    const config::Environment& environment;
    const Clock& clock;
    Logger& logger;
};

Result<OpenedStore> openStore(const cache::StoreUri& uri, std::vector<nix::SecretKey> keys, const Surroundings& around)
{
    for (const auto& file : uri.secretKeyFiles) {
        PENSTOCK_TRY(const auto text, config::readSecretFile(file));
        PENSTOCK_TRY(auto key, nix::SecretKey::parse(text));
        keys.push_back(std::move(key));
    }
    PENSTOCK_TRY(auto objects, openObjects(uri, around.environment));
    auto* files = objects.get();
    PENSTOCK_TRY(auto store, cache::BinaryCache::open(std::move(objects),
                                                      cache::binaryCacheOptions(uri, std::move(keys)), around.clock,
                                                      around.logger));
    return OpenedStore{std::move(store), files};
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
    OpenedOutputs opened{{}, nullptr, {}, std::move(grants), {std::move(directory), options.trusted}};
    for (const auto& key : keys) {
        opened.publicKeys.push_back(key.publicKey().print());
        opened.rules.trusted.push_back(key.publicKey()); // what we signed ourselves is welcome back
        logger.info("server.signing_key", {{"public_key", opened.publicKeys.back()}});
    }
    for (const auto& uri : options.stores) {
        auto store = openStore(uri, keys, {places.environment, clock, logger});
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
