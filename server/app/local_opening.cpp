// SPDX-License-Identifier: GPL-3.0-or-later
// The machine's own Nix store: through its daemon where there is one, else through the nix tools.
#include "server/app/nix_remote.h"
#include "server/app/store_opening.h"
#include "server/cache/dir_store.h"
#include "server/cache/local_store.h"
#include "shared/nixdaemon/daemon_pool.h"
#include "shared/nixstore/cli_store.h"
#include "shared/nixstore/daemon_store.h"
#include "shared/nixstore/tool_process.h"

#include <filesystem>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace penstock::app {
namespace {

constexpr std::size_t kConnections = 24; // the desk's threads, and who reads by HTTP
constexpr std::size_t kMaxVersion = 64U << 10U;

using PathOfDigest = std::function<Result<std::optional<nix::StorePath>>(std::string_view digest)>;

std::string variable(const config::Environment& environment, std::string_view name)
{
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
}

bool exists(const std::string& path)
{
    std::error_code error;
    return std::filesystem::exists(path, error);
}

// Where the daemon is spoken to; empty: there is none.
std::string socketOf(const cache::StoreUri& uri, const config::Environment& environment)
{
    if (!uri.root.empty()) {
        const std::string socket = uri.root + nixdaemon::defaultSocketPath({}, {});
        return exists(socket) ? socket : std::string();
    }
    constexpr std::string_view kUnix = "unix://";
    const std::string remote = variable(environment, "NIX_REMOTE");
    if (remote.starts_with(kUnix)) {
        const auto end = std::min(remote.find('?'), remote.size());
        if (end > kUnix.size())
            return remote.substr(kUnix.size(), end - kUnix.size());
    }
    if (remote.starts_with('/') || remote.starts_with("local"))
        return {};
    const std::string named = variable(environment, "NIX_DAEMON_SOCKET_PATH");
    const std::string socket = nixdaemon::defaultSocketPath(named, nixStateDir(environment));
    return !named.empty() || remote == "daemon" || exists(socket) ? socket : std::string();
}

// Of a store below another root: where its /nix is.
std::string rootOf(const cache::StoreUri& uri, const config::Environment& environment)
{
    return uri.root.empty() ? nixRoot(environment) : uri.root;
}

// The tools cannot be asked by digest; the store's directory can.
PathOfDigest searchIn(std::string directory, nix::StoreDir dir)
{
    return [directory = std::move(directory),
            dir = std::move(dir)](std::string_view digest) -> Result<std::optional<nix::StorePath>> {
        std::error_code error;
        const std::string prefix = fmt::format("{}-", digest);
        for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
             at.increment(error)) {
            const std::string name = at->path().filename().string();
            if (!name.starts_with(prefix))
                continue;
            // Locks and the like are no names of paths.
            if (auto path = nix::StorePath::parse(dir, fmt::format("{}/{}", dir.text(), name)))
                return *std::move(path);
        }
        if (error && error != std::errc::no_such_file_or_directory)
            return fail(ErrorCode::Unavailable, fmt::format("looking for {} in {}: {}", digest, directory,
                                                            error.message()));
        return std::nullopt;
    };
}

struct Access {
    std::unique_ptr<nixstore::StoreAccess> store;
    PathOfDigest pathOfDigest;
    std::string name;
};

Result<Access> throughDaemon(const cache::StoreUri& uri, std::string socket, const nixdaemon::Interrupt& interrupt)
{
    nixdaemon::PoolOptions options;
    options.daemon.storeDir = uri.storeDir;
    options.maxConnections = kConnections;
    options.settings.useSubstitutes = true; // where a question asks for it
    const std::string name = fmt::format("the local store of the nix-daemon at {}", socket);
    PENSTOCK_TRY(const auto pool, nixdaemon::DaemonPool::create(std::move(socket), std::move(options)));
    PathOfDigest pathOfDigest = [pool, interrupt](std::string_view digest) -> Result<std::optional<nix::StorePath>> {
        PENSTOCK_TRY(const auto daemon, pool->lease(interrupt));
        return daemon->queryPathFromHashPart(digest);
    };
    return Access{std::make_unique<nixstore::DaemonStore>(pool, interrupt), std::move(pathOfDigest), name};
}

Result<Access> throughTools(const cache::StoreUri& uri, const config::Environment& environment,
                            const nixdaemon::Interrupt& interrupt)
{
    nixstore::CliOptions options;
    options.storeDir = uri.storeDir;
    options.environment = {environment.begin(), environment.end()};
    options.store = uri.root;
    if (const auto temporary = variable(environment, "TMPDIR"); !temporary.empty())
        options.temporaryDir = temporary;
    const auto version = nixstore::outputOf({{"nix", "--version"}, options.environment}, interrupt, kMaxVersion);
    if (!version)
        return fail(Error(version.error())
                        .in(fmt::format("there is no nix-daemon ({} is not there), and the nix tools cannot be run "
                                        "either; start the daemon, name its socket by NIX_DAEMON_SOCKET_PATH, or "
                                        "install Nix",
                                        uri.root.empty()
                                            ? nixdaemon::defaultSocketPath({}, nixStateDir(environment))
                                            : uri.root + nixdaemon::defaultSocketPath({}, {}))));
    const std::string root = rootOf(uri, environment);
    return Access{std::make_unique<nixstore::CliStore>(std::move(options), interrupt),
                  searchIn(root + uri.storeDir.text(), uri.storeDir),
                  fmt::format("the local store{}{}", root.empty() ? "" : " in ", root)};
}

} // namespace

std::string realStoreDir(const std::vector<cache::StoreUri>& stores, const std::string& storeDir,
                         const config::Environment& environment)
{
    const auto local = std::ranges::find(stores, cache::StoreKind::Local, &cache::StoreUri::kind);
    const cache::StoreUri uri = local == stores.end() ? cache::StoreUri{} : *local;
    const std::string real = nixRemoteParameter(environment, "real");
    if (uri.root.empty() && !real.empty())
        return real;
    return rootOf(uri, environment) + (local == stores.end() ? storeDir : uri.storeDir.text());
}

nixstore::StoreAccess* holderOfLinks(const std::string& directory, const std::vector<cache::StoreUri>& stores,
                                     const std::vector<OpenedStore>& opened, const config::Environment& environment)
{
    const auto local = std::ranges::find(stores, cache::StoreKind::Local, &cache::StoreUri::kind);
    if (local == stores.end())
        return nullptr;
    const std::string state = local->root.empty() ? nixStateDir(environment) : local->root + "/nix/var/nix";
    if (directory.starts_with(state + "/gcroots/"))
        return nullptr;
    return opened.at(static_cast<std::size_t>(local - stores.begin())).access.get();
}

Result<OpenedStore> openLocalStore(const cache::StoreUri& uri, std::vector<nix::SecretKey> keys,
                                   const StorePlaces& places)
{
    OpenedStore opened;
    PENSTOCK_TRY(opened.interrupt, nixdaemon::Interrupt::create());
    auto socket = socketOf(uri, places.environment);
    PENSTOCK_TRY(auto access, socket.empty() ? throughTools(uri, places.environment, *opened.interrupt)
                                             : throughDaemon(uri, std::move(socket), *opened.interrupt));
    opened.access = std::move(access.store);
    PENSTOCK_TRY(auto beside, cache::DirStore::open(places.dataDir + "/local"));
    cache::LocalStoreOptions options;
    options.keys = std::move(keys);
    options.rootsDirectory = places.dataDir + "/gcroots";
    options.pathOfDigest = std::move(access.pathOfDigest);
    options.name = std::move(access.name);
    PENSTOCK_TRY(auto store, cache::LocalStore::open(*opened.access, std::move(beside), std::move(options),
                                                     places.logger));
    opened.files = &store->files();
    opened.store = std::move(store);
    return opened;
}

} // namespace penstock::app
