// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/output_options.h"

#include "server/app/hydra_stores.h"

#include <fmt/format.h>

#include <utility>

namespace penstock::app {
namespace {

using config::OptionSpec;

// What Hydra's queue runner called it.
std::vector<std::string> hydraNames(const std::string& camel, const std::string& name)
{
    return {camel, "hydra." + camel, name, "hydra." + name};
}

} // namespace

void addOutputOptions(std::vector<OptionSpec>& options)
{
    options.push_back({.name = "store",
                       .help = "where outputs go: local, file:///DIR?…, s3://BUCKET?…; the first counts",
                       .valueName = "URI",
                       .fallbackNote = "file://<data-dir>/cache",
                       .repeatable = true});
    addHydraStores(options);
    options.push_back({.name = "signing-key",
                       .help = "key file of Nix that outputs are signed with, owner only",
                       .valueName = "FILE",
                       .fallbackNote = "one made at the first start in the data directory",
                       .repeatable = true,
                       .synonyms = hydraNames("signingKeyPath", "signing_key_path")});
    options.push_back({.name = "trusted-public-keys",
                       .help = "paths signed by one of these keys may be uploaded, NAME:BASE64",
                       .valueName = "KEY",
                       .repeatable = true});
    options.push_back({.name = "use-substitutes",
                       .help = "do not build what the first store has already",
                       .valueName = "WORD",
                       .fallback = "yes",
                       .choices = {"yes", "no"}});
}

Result<OutputOptions> readOutputOptions(const config::Values& values, const std::string& dataDir,
                                        const std::string& storeDir)
{
    OutputOptions options;
    PENSTOCK_TRY(const auto directory, nix::StoreDir::parse(storeDir));
    PENSTOCK_TRY(HydraStores named, readHydraStores(values));
    options.stores = std::move(named.stores);
    for (const auto& text : values.list("store")) {
        auto uri = cache::parseStoreUri(text);
        if (!uri)
            return fail(std::move(uri).error().in("--store"));
        options.stores.push_back(*std::move(uri));
    }
    if (options.stores.empty()) {
        cache::StoreUri uri;
        uri.directory = dataDir + "/cache";
        uri.text = "file://" + uri.directory;
        options.stores.push_back(std::move(uri));
    }
    for (auto& uri : options.stores)
        uri.storeDir = directory;
    options.lookUp = values.text("use-substitutes") == "yes";
    options.keyFiles = values.list("signing-key");
    for (const auto& text : values.list("trusted-public-keys")) {
        auto key = nix::PublicKey::parse(text);
        if (!key)
            return fail(std::move(key).error().in(fmt::format("--trusted-public-keys {}", text)));
        options.trusted.push_back(*std::move(key));
    }
    return options;
}

} // namespace penstock::app
