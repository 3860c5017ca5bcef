// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/hydra_stores.h"

#include "shared/base/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <string_view>
#include <utility>

namespace penstock::app {
namespace {

constexpr const char* kKey = "remoteStoreAddr";

bool isKnown(std::string_view text)
{
    return text.starts_with("file://") || text.starts_with("s3://") || text == "local" || text.starts_with("local?");
}

} // namespace

void addHydraStores(std::vector<config::OptionSpec>& options)
{
    options.push_back({.name = kKey, .repeatable = true,
                       .synonyms = {kKey, "hydra.remoteStoreAddr", "remote_store_addr", "hydra.remote_store_addr"},
                       .keyOnly = true});
}

Result<HydraStores> readHydraStores(const config::Values& values)
{
    HydraStores read;
    if (!values.has(kKey))
        return read;
    if (values.source("store") == config::Source::File)
        return fail(ErrorCode::Invalid,
                    fmt::format("{} says again what {} says", values.origin(kKey), values.origin("store")));
    if (values.has("store"))
        return read;
    for (const std::string& text : values.list(kKey)) {
        const bool isDirectory = text.starts_with('/');
        if (!isDirectory && !isKnown(text)) {
            read.notes.push_back(fmt::format("{} is left out: outputs are copied to local, file:///DIR and s3://BUCKET",
                                             toValidUtf8(text)));
            continue;
        }
        auto uri = cache::parseStoreUri(isDirectory ? "file://" + text : text);
        if (!uri)
            return fail(std::move(uri).error().in(values.origin(kKey)));
        if (isDirectory)
            read.notes.push_back(fmt::format("{} is taken as {}, a binary cache", toValidUtf8(text), uri->text));
        read.stores.push_back(*std::move(uri));
    }
    return read;
}

std::vector<cache::StoreUri> asHydraCounts(std::vector<cache::StoreUri> stores)
{
    auto first = std::ranges::find(stores, cache::StoreKind::S3, &cache::StoreUri::kind);
    if (first == stores.end())
        first = std::ranges::find(stores, cache::StoreKind::Local, &cache::StoreUri::kind);
    if (first != stores.end()) {
        std::rotate(stores.begin(), first, first + 1);
        return stores;
    }
    cache::StoreUri local;
    local.kind = cache::StoreKind::Local;
    local.text = "local";
    stores.insert(stores.begin(), std::move(local));
    return stores;
}

} // namespace penstock::app
