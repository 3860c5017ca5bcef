// SPDX-License-Identifier: GPL-3.0-or-later
// check_cache URI [KEY…]: what of a binary cache a client would stumble over, a line each; file:// or s3://, with the
// AWS_* environment. Reads every NAR. KEYs: trusted public keys. Exit 0: nothing but orphans, 1: faults, 2: not known.
#include "server/cache/cache_check.h"
#include "server/cache/cache_uri.h"
#include "server/cache/dir_store.h"
#include "server/cache/s3_settings.h"
#include "server/cache/s3_store.h"
#include "shared/config/options.h"

#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <utility>

namespace penstock::cache {
namespace {

Result<std::unique_ptr<ObjectStore>> openObjects(const StoreUri& uri)
{
    if (uri.kind == StoreKind::S3) {
        PENSTOCK_TRY(auto options, s3OptionsOf(uri.s3, {config::processEnvironment()}));
        return std::unique_ptr<ObjectStore>(std::make_unique<S3Store>(std::move(options)));
    }
    PENSTOCK_TRY(auto store, DirStore::open(uri.directory, DirAccess::ReadOnly));
    return std::unique_ptr<ObjectStore>(std::move(store));
}

Result<bool> check(int argc, char** argv)
{
    if (argc < 2)
        return fail(ErrorCode::Invalid, "usage: check_cache URI [KEY…]");
    PENSTOCK_TRY(const auto uri, parseStoreUri(argv[1]));
    CacheCheckOptions options{.storeDir = uri.storeDir, .trusted = {}, .readsNars = true};
    for (int i = 2; i < argc; ++i) {
        PENSTOCK_TRY(auto key, nix::PublicKey::parse(argv[i]));
        options.trusted.push_back(std::move(key));
    }
    PENSTOCK_TRY(const auto objects, openObjects(uri));
    PENSTOCK_TRY(const auto summary, checkCache(*objects, options, [](const CacheFinding& found) {
                     fmt::print("{}: {}: {}\n", toString(found.fault), found.key, found.message);
                 }));
    fmt::print("{} paths, {} faults, {} orphans\n", summary.paths, summary.harmful, summary.orphans);
    return summary.harmful == 0;
}

} // namespace
} // namespace penstock::cache

int main(int argc, char** argv)
{
    const auto good = penstock::cache::check(argc, argv);
    if (!good) {
        fmt::print(stderr, "check_cache: {}\n", good.error().message);
        return 2;
    }
    return *good ? 0 : 1;
}
