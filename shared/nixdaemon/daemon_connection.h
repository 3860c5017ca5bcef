// SPDX-License-Identifier: GPL-3.0-or-later
// DaemonConnection: a client of the nix-daemon's worker protocol, 1.21 (Nix 2.1) to 1.38 (newest), without
// linking Nix. Blocking: for executor and pool threads only. One thread at a time uses it; cancel() may come
// from any. Settings and temporary roots live as long as the connection. Closing it while a build runs kills
// the build.
//
// Failures: Invalid (the daemon complains, or an argument is refused before it is sent), Unavailable
// (connection lost: says nothing about the build), Cancelled, Timeout (handshake only), Corrupt (out of
// step), Denied. After Unavailable, Cancelled, Timeout and Corrupt the connection is of no more use: open
// another.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "shared/nix/drv.h"
#include "shared/nix/store_path.h"
#include "shared/nixdaemon/daemon_codec.h"
#include "shared/nixdaemon/daemon_events.h"
#include "shared/nixdaemon/daemon_types.h"
#include "shared/nixdaemon/unix_socket.h"
#include "shared/nixdaemon/wire.h"

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::nixdaemon {

struct DaemonOptions {
    nix::StoreDir storeDir = nix::StoreDir::standard();
    unsigned announcedMinor = kNewestMinor;
    Duration openTimeout = std::chrono::seconds(30); // connect and handshake; operations have no limit
    std::optional<Interrupt> interrupt =
        std::nullopt; // to share a cancellation; else the connection makes its own
};

// $NIX_DAEMON_SOCKET_PATH, else $NIX_STATE_DIR/daemon-socket/socket, else /nix/var/nix/daemon-socket/socket.
// The caller reads the environment; empty means not set.
[[nodiscard]] std::string defaultSocketPath(std::string_view nixDaemonSocketPath,
                                            std::string_view nixStateDir);

class DaemonConnection {
public:
    [[nodiscard]] static Result<std::unique_ptr<DaemonConnection>> open(const std::string& socketPath,
                                                                        DaemonOptions options);
    // The handshake over any transport; options' timeout and interrupt are then the transport's business.
    [[nodiscard]] static Result<std::unique_ptr<DaemonConnection>> over(std::unique_ptr<Transport> transport,
                                                                        const DaemonOptions& options);

    [[nodiscard]] const Greeting& greeting() const { return m_greeting; }
    [[nodiscard]] const nix::StoreDir& storeDir() const { return m_dir; }
    // Callable from any thread as long as the connection lives.
    void cancel() { m_transport->cancel(); }

    [[nodiscard]] Result<void> setOptions(const ConnectionSettings& settings);
    [[nodiscard]] Result<void> ping();
    // Asks for a build that no machine can do, to see whether the daemon would take such a request from us.
    [[nodiscard]] Result<Trust> findTrust();

    [[nodiscard]] Result<bool> isValidPath(const nix::StorePath& path);
    [[nodiscard]] Result<nix::StorePathSet> queryValidPaths(const nix::StorePathSet& paths, bool substitute);
    // Nothing when the path is not valid.
    [[nodiscard]] Result<std::optional<PathInfo>> queryPathInfo(const nix::StorePath& path);
    [[nodiscard]] Result<MissingPaths> queryMissing(const std::vector<DerivedPath>& paths);
    // Needs 1.22. An output without a path is not known yet.
    [[nodiscard]] Result<std::map<std::string, std::optional<nix::StorePath>>>
    queryDerivationOutputMap(const nix::StorePath& drvPath);

    // Spares the path from garbage collection until the connection ends.
    [[nodiscard]] Result<void> addTempRoot(const nix::StorePath& path);
    // The same for many, without waiting for each answer.
    [[nodiscard]] Result<void> addTempRoots(const nix::StorePathSet& paths);
    [[nodiscard]] Result<void> ensurePath(const nix::StorePath& path, DaemonEvents& events);
    [[nodiscard]] Result<nix::StorePath> addTextToStore(std::string_view name, std::string_view content,
                                                        const nix::StorePathSet& references);

    // A failed build is a result. Input-addressed outputs need trust; all inputs must be valid.
    [[nodiscard]] Result<BuildResult> buildDerivation(const nix::StorePath& drvPath,
                                                      const nix::BasicDerivation& drv, BuildMode mode,
                                                      DaemonEvents& events);
    // Needs 1.34. Keyed by the derived path as printed.
    [[nodiscard]] Result<std::map<std::string, BuildResult>>
    buildPathsWithResults(const std::vector<DerivedPath>& paths, BuildMode mode, DaemonEvents& events);

private:
    // AfterError: the daemon may have closed the connection behind its error, which cannot be told from it.
    enum class State : std::uint8_t { Ready, AfterError, Broken };

    DaemonConnection(std::unique_ptr<Transport> transport, nix::StoreDir dir)
        : m_dir(std::move(dir)), m_transport(std::move(transport)), m_reader(*m_transport)
    {}
    [[nodiscard]] Result<void> shakeHands(unsigned announcedMinor);
    // Sends, reads the daemon's messages, then the result with read(m_reader).
    template <class Read>
    auto call(const WireWriter& request, DaemonEvents& events, Read read)
        -> decltype(read(std::declval<WireReader&>()));
    [[nodiscard]] Result<void> callForOne(const WireWriter& request, DaemonEvents& events);
    [[nodiscard]] Result<void> exchange(const WireWriter& request, DaemonEvents& events);
    [[nodiscard]] Result<void> recover();
    [[nodiscard]] Result<void> readTempRootAnswers(std::size_t count);
    [[nodiscard]] Result<void> needMinor(unsigned minor, std::string_view operation) const;
    [[nodiscard]] Result<std::vector<std::string>>
    printDerivedPaths(const std::vector<DerivedPath>& paths) const;

    nix::StoreDir m_dir;
    std::unique_ptr<Transport> m_transport;
    WireReader m_reader;
    Greeting m_greeting{0, {}, Trust::Unknown};
    State m_state = State::Ready;
};

} // namespace penstock::nixdaemon
