// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/build/local_store.h"

#include "shared/nix/nar.h"
#include "shared/nixdaemon/daemon_pool.h"
#include "shared/nixstore/cli_store.h"
#include "shared/nixstore/daemon_store.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace penstock::client {

namespace {

constexpr std::size_t kConnections = 12; // streams both ways, and a question beside them
constexpr std::uint64_t kMaxDerivationNar = 33U << 20U;

std::string valueOf(const config::Environment& environment, const std::string& name)
{
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
}

// The text of the one file that the archive is.
struct TextVisitor final : nix::NarVisitor {
    Result<void> onDirectory(std::string_view) override { return fail(ErrorCode::Corrupt, "is a directory"); }
    Result<void> onSymlink(std::string_view, std::string_view) override
    {
        return fail(ErrorCode::Corrupt, "is a symbolic link");
    }
    Result<void> onContent(std::string_view bytes) override
    {
        text += bytes;
        return {};
    }
    std::string text;
};

Result<std::string> readFromStore(nixstore::StoreAccess& store, const std::string& path)
{
    PENSTOCK_TRY(const auto parsed, nix::StorePath::parse(store.storeDir(), path));
    PENSTOCK_TRY(const auto info, store.info(parsed));
    if (!info)
        return fail(ErrorCode::NotFound, fmt::format("derivation {} is not in the local store; instantiate it here, "
                                                     "or copy it with nix copy --derivation", path));
    TextVisitor visitor;
    nix::NarParser parser(visitor, {kMaxDerivationNar, 1});
    const auto push = [&](std::string_view bytes) -> Result<void> {
        PENSTOCK_TRY(const auto taken, parser.push(bytes));
        return taken == bytes.size() ? Result<void>() : fail(ErrorCode::Corrupt, "bytes follow the archive");
    };
    if (auto read = store.readNar(*info, push); !read)
        return fail(std::move(read).error().in(path));
    PENSTOCK_TRY_VOID(parser.finish());
    return std::move(visitor.text);
}

bool isSocket(const std::string& path)
{
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode) && ::access(path.c_str(), W_OK) == 0;
}

Result<transfer::StoreMaker> daemonMaker(const nix::StoreDir& dir, const std::string& socket)
{
    nixdaemon::PoolOptions options;
    options.daemon.storeDir = dir;
    options.maxConnections = kConnections;
    PENSTOCK_TRY(auto pool, nixdaemon::DaemonPool::create(socket, std::move(options)));
    return transfer::StoreMaker([pool](const nixdaemon::Interrupt& interrupt) {
        return std::make_unique<nixstore::DaemonStore>(pool, interrupt);
    });
}

transfer::StoreMaker toolMaker(const nix::StoreDir& dir, const config::Environment& environment)
{
    nixstore::CliOptions options;
    options.storeDir = dir;
    options.environment = {environment.begin(), environment.end()};
    if (const auto temporary = valueOf(environment, "TMPDIR"); !temporary.empty())
        options.temporaryDir = temporary;
    return [options](const nixdaemon::Interrupt& interrupt) {
        return std::make_unique<nixstore::CliStore>(options, interrupt);
    };
}

} // namespace

Result<StorePlace> storePlace(const config::Environment& environment)
{
    const auto remote = valueOf(environment, "NIX_REMOTE");
    const auto stated = valueOf(environment, "NIX_DAEMON_SOCKET_PATH");
    if (remote.empty() || remote == "auto" || remote == "daemon" || remote == "unix" || remote == "unix://") {
        if (!stated.empty())
            return StorePlace{stated, {}};
        const auto state = valueOf(environment, "NIX_STATE_DIR");
        return StorePlace{(state.empty() ? "/nix/var/nix" : state) + "/daemon-socket/socket", {}};
    }
    constexpr std::string_view kUnix = "unix://";
    if (!remote.starts_with(kUnix))
        return StorePlace{};
    const auto question = remote.find('?');
    StorePlace place{remote.substr(kUnix.size(), question == std::string::npos ? question : question - kUnix.size()), {}};
    if (question == std::string::npos)
        return place;
    constexpr std::string_view kRoot = "root=";
    for (auto at = question; at != std::string::npos; at = remote.find('&', at + 1)) {
        const auto end = remote.find('&', at + 1);
        const auto setting = remote.substr(at + 1, end == std::string::npos ? end : end - at - 1);
        if (setting.starts_with(kRoot))
            place.root = setting.substr(kRoot.size());
    }
    if (place.root.find('%') != std::string::npos)
        return fail(ErrorCode::Invalid, fmt::format("NIX_REMOTE: root={} has a % in it; name the folder as it is",
                                                    place.root));
    return place;
}

Result<LocalStore> LocalStore::open(nix::StoreDir dir, const config::Environment& environment)
{
    PENSTOCK_TRY(auto place, storePlace(environment));
    const auto remote = valueOf(environment, "NIX_REMOTE");
    const bool mayBeLocal = remote.empty() || remote == "auto";
    if (place.socket.empty() || (mayBeLocal && !isSocket(place.socket))) {
        place.socket.clear();
        auto maker = toolMaker(dir, environment);
        return LocalStore(std::move(dir), std::move(place), std::move(maker));
    }
    PENSTOCK_TRY(auto maker, daemonMaker(dir, place.socket));
    return LocalStore(std::move(dir), std::move(place), std::move(maker));
}

DerivationReader LocalStore::derivationReader() const
{
    return [root = m_place.root, maker = m_maker](const std::string& path) -> Result<std::string> {
        auto text = readDerivationFile(root + path);
        if (text || text.error().code != ErrorCode::NotFound)
            return text;
        PENSTOCK_TRY(const auto interrupt, nixdaemon::Interrupt::create());
        return readFromStore(*maker(interrupt), path);
    };
}

Result<bool> LocalStore::has(const std::string& path) const
{
    PENSTOCK_TRY(auto parsed, nix::StorePath::parse(m_dir, path));
    PENSTOCK_TRY(const auto interrupt, nixdaemon::Interrupt::create());
    PENSTOCK_TRY(const auto valid, m_maker(interrupt)->validPaths({parsed}, false));
    return valid.contains(parsed);
}

} // namespace penstock::client
