// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/store_opening.h"

#include "server/cache/binary_cache.h"
#include "server/cache/dir_store.h"
#include "server/cache/orphans.h"
#include "server/cache/s3_settings.h"
#include "server/cache/s3_store.h"
#include "shared/config/files.h"

#include <fmt/format.h>

#include <utility>

namespace penstock::app {
namespace {

constexpr std::size_t kMaxAwsFile = 1U << 20U;
constexpr std::string_view kUserAgent = "penstock-server"; // tells in the bucket's log who wrote: us or a builder

// Empty when it is not there, as AWS's own tools have it.
Result<std::string> readAwsFile(const std::string& path)
{
    if (path.empty())
        return std::string();
    auto text = config::readTextFile(path, kMaxAwsFile);
    if (text)
        return text;
    if (text.error().code == ErrorCode::NotFound || text.error().code == ErrorCode::Invalid) // none, or empty
        return std::string();
    return fail(std::move(text).error().in("AWS credentials"));
}

Result<cache::AwsSettings> readAwsSettings(const config::Environment& environment)
{
    const cache::AwsFiles files = cache::awsFilesOf(environment);
    cache::AwsSettings settings{environment};
    PENSTOCK_TRY(settings.systemd, readAwsFile(files.systemd));
    PENSTOCK_TRY(settings.credentials, readAwsFile(files.credentials));
    PENSTOCK_TRY(settings.config, readAwsFile(files.config));
    return settings;
}

std::function<Result<std::string>()> abortingUploads(cache::S3Store& store)
{
    return [&store]() -> Result<std::string> {
        PENSTOCK_TRY(const std::size_t aborted, store.abortOldUploads());
        return aborted == 0 ? std::string()
                            : fmt::format("{} uploads in parts that nobody completed for a day", aborted);
    };
}

// Until a store is opened its answers are waited for only so long, lest one that swallows what is sent to it hold up
// the whole start.
struct Life {
    CancelToken stopping;
    CancelToken opened;
    Instant patience;
};
constexpr Duration kOpeningTime = std::chrono::seconds(15);

struct OpenedObjects {
    std::unique_ptr<cache::ObjectStore> store;
    std::function<Result<std::string>()> tidy = {};
};

Result<OpenedObjects> openBucket(const cache::StoreUri& uri, const Life& life, const StorePlaces& places)
{
    PENSTOCK_TRY(const auto settings, readAwsSettings(places.environment));
    PENSTOCK_TRY(auto options, cache::s3OptionsOf(uri.s3, settings));
    options.reloadCredentials = [place = uri.s3,
                                 environment = places.environment]() -> Result<curl::AwsCredentials> {
        PENSTOCK_TRY(const auto now, readAwsSettings(environment));
        return cache::s3CredentialsOf(place, now);
    };
    options.http.userAgent = kUserAgent;
    options.http.isCancelled = [life, &clock = places.clock] {
        return life.stopping.isCancelled() ||
               (!life.opened.isCancelled() && clock.now().mono > life.patience);
    };
    options.log = &places.logger;
    auto store = std::make_unique<cache::S3Store>(std::move(options));
    auto tidy = abortingUploads(*store);
    return OpenedObjects{std::move(store), std::move(tidy)};
}

// Orphans are looked for now and not later: nothing is being published yet.
void removeOrphans(cache::DirStore& store, const StorePlaces& places)
{
    const auto swept = cache::removeOrphanNars(store, places.clock, {});
    if (!swept)
        places.logger.warning("store.orphans_not_removed",
                              {{"store", store.describe()}, {"error", swept.error().message}});
    else if (!swept->isWhole)
        places.logger.info("store.orphans_not_looked_for",
                           {{"store", store.describe()}, {"why", "reading the whole cache takes too long"}});
    else if (swept->removed > 0)
        places.logger.info("store.orphans_removed", {{"store", store.describe()}, {"files", swept->removed}});
}

Result<OpenedObjects> openObjects(const cache::StoreUri& uri, const Life& life, const StorePlaces& places)
{
    if (uri.kind == cache::StoreKind::S3)
        return openBucket(uri, life, places);
    auto opened = cache::DirStore::open(uri.directory);
    if (!opened)
        return fail(opened.error().code, opened.error().message + "; name a directory that this user may write");
    auto store = *std::move(opened);
    removeOrphans(*store, places);
    return OpenedObjects{std::move(store)};
}

Result<void> addKeys(const cache::StoreUri& uri, std::vector<nix::SecretKey>& keys)
{
    for (const auto& file : uri.secretKeyFiles) {
        PENSTOCK_TRY(const auto text, config::readSecretFile(file));
        auto key = nix::SecretKey::parse(text);
        if (!key)
            return fail(std::move(key).error().in(fmt::format("secret-key={}", file)));
        keys.push_back(*std::move(key));
    }
    return {};
}

} // namespace

void OpenedStore::stop() const
{
    stopping.cancel();
    if (interrupt)
        interrupt->raise();
}

Result<OpenedStore> openStore(const cache::StoreUri& uri, std::vector<nix::SecretKey> keys, const StorePlaces& places)
{
    PENSTOCK_TRY_VOID(addKeys(uri, keys));
    if (uri.kind == cache::StoreKind::Local)
        return openLocalStore(uri, std::move(keys), places);
    OpenedStore opened;
    const Life life{opened.stopping, {}, places.clock.now().mono + kOpeningTime};
    PENSTOCK_TRY(auto objects, openObjects(uri, life, places));
    opened.files = objects.store.get();
    opened.tidy = std::move(objects.tidy);
    auto options = cache::binaryCacheOptions(uri, std::move(keys));
    if (uri.kind == cache::StoreKind::S3) {
        opened.signedExpiry = uri.s3.presignedExpiry;
        opened.partBytes = uri.s3.bufferBytes;
        options.mayBeAway = true;
    }
    PENSTOCK_TRY(opened.store,
                 cache::BinaryCache::open(std::move(objects.store), std::move(options), places.clock, places.logger));
    life.opened.cancel();
    return opened;
}

} // namespace penstock::app
