// SPDX-License-Identifier: GPL-3.0-or-later
// DaemonConnection: a client of the nix-daemon's worker protocol, 1.21 (Nix 2.1) to 1.38 (newest), without
// linking Nix. Blocking: for executor and pool threads only. One thread at a time uses it; cancel() may come
// from any. Settings and temporary roots live as long as the connection. Closing it while a build runs kills
// the build.
//
// Failures: Invalid (the daemon complains, or an argument is refused before it is sent), Unavailable
// (connection lost: says nothing about the build), Cancelled, Timeout (handshake only), Corrupt (out of
// step), Denied. After Unavailable, Cancelled, Timeout and Corrupt the connection is of no more use: open
// another (isUsable). What is streamed is never held whole. An error of a caller's own source or sink is
// given back as it is, and the connection is closed then, so that nothing half-sent counts.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "shared/base/stream.h"
#include "shared/nix/drv.h"
#include "shared/nix/store_path.h"
#include "shared/nixdaemon/daemon_codec.h"
#include "shared/nixdaemon/daemon_events.h"
#include "shared/nixdaemon/daemon_types.h"
#include "shared/nixdaemon/frame_writer.h"
#include "shared/nixdaemon/unix_socket.h"
#include "shared/nixdaemon/wire.h"

#include <chrono>
#include <functional>
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
    // The daemon runs with the experimental feature ca-derivations. Without it Nix 2.8 dies of a question for
    // a realisation, so none is asked.
    bool hasCaDerivations = false;
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
    // From now on this one stops the calls. By the thread that makes the calls, and not beside cancel().
    void watch(const Interrupt& interrupt);
    // False after a failure that ended the connection, and when the daemon ended it meanwhile.
    [[nodiscard]] bool isUsable() const;
    // The last call ended with an error of the daemon, which may have closed the connection behind it.
    [[nodiscard]] bool hasFailed() const { return m_state != State::Ready; }

    [[nodiscard]] Result<void> setOptions(const ConnectionSettings& settings);
    [[nodiscard]] Result<void> ping();
    // Asks for a build that no machine can do, to see whether the daemon would take such a request from us.
    [[nodiscard]] Result<Trust> findTrust();

    [[nodiscard]] Result<bool> isValidPath(const nix::StorePath& path);
    [[nodiscard]] Result<nix::StorePathSet> queryValidPaths(const nix::StorePathSet& paths, bool substitute);
    // Nothing when the path is not valid.
    [[nodiscard]] Result<std::optional<PathInfo>> queryPathInfo(const nix::StorePath& path);
    // Of those that are valid; many requests are under way at once.
    [[nodiscard]] Result<std::map<nix::StorePath, PathInfo>> queryPathInfos(const nix::StorePathSet& paths);
    [[nodiscard]] Result<nix::StorePathSet> queryAllValidPaths();
    [[nodiscard]] Result<nix::StorePathSet> queryReferrers(const nix::StorePath& path);
    [[nodiscard]] Result<nix::StorePathSet> queryValidDerivers(const nix::StorePath& path);
    // digest: the 32 characters before the name.
    [[nodiscard]] Result<std::optional<nix::StorePath>> queryPathFromHashPart(std::string_view digest);
    // Of those that a substituter has.
    [[nodiscard]] Result<std::map<nix::StorePath, SubstitutableInfo>>
    querySubstitutablePathInfos(const nix::StorePathSet& paths);
    // id: sha256:HASH!OUTPUT. Below 1.31 only its path is known. Invalid where asking is not safe
    // (nix-formats 5.11).
    [[nodiscard]] Result<std::optional<Realisation>> queryRealisation(std::string_view id);
    [[nodiscard]] Result<void> registerRealisation(const Realisation& realisation);
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

    // The bytes of a valid path, in pieces; the archive is checked to be one. Ask queryPathInfo first, and
    // compare its hash. After an error in its middle the connection is of no more use.
    [[nodiscard]] Result<void> narFromPath(const nix::StorePath& path, const ByteSink& sink);
    // Checked here and by the daemon against narHash and narSize (Corrupt). Its references must be valid.
    // When the path is valid already, the bytes are read and dropped.
    [[nodiscard]] Result<void> addToStoreNar(const NarToAdd& nar, const AddOptions& options);
    // The same for many in one go, references first; below 1.32 one after the other. Archives of paths that
    // are valid already are not asked for. Stops at the first error; what came before it may then be in the
    // store. When somebody else adds one of them at the same time, the daemon may complain (Invalid): ask
    // again what is valid.
    [[nodiscard]] Result<void> addMultipleToStore(const std::vector<NarToAdd>& nars,
                                                  const AddOptions& options);
    // The store computes the path. Below 1.25 only Text may have references. When the source fails, Nix 2.8
    // may keep what it got of a Flat or Text file until then, under that content's own path.
    [[nodiscard]] Result<nix::StorePath> addToStore(const ContentToAdd& content, const ByteSource& source);
    // Stored unchecked. Needs trust.
    [[nodiscard]] Result<void> addSignatures(const nix::StorePath& path,
                                             const std::vector<std::string>& signatures);
    // Needs 1.33 and trust.
    [[nodiscard]] Result<void> addBuildLog(const nix::StorePath& drvPath, const ByteSource& log);
    // link: the absolute path of a symbolic link outside of the store to a store path; make it first.
    [[nodiscard]] Result<void> addIndirectRoot(const std::string& link);
    // Makes or replaces the link, too: the daemon does from 1.36 on when it trusts us, else we do.
    [[nodiscard]] Result<void> addPermRoot(const nix::StorePath& path, const std::string& link);

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

    DaemonConnection(std::unique_ptr<Transport> transport, const DaemonOptions& options)
        : m_dir(options.storeDir),
          m_hasCaDerivations(options.hasCaDerivations),
          m_transport(std::move(transport)),
          m_reader(*m_transport)
    {}
    [[nodiscard]] Result<void> shakeHands(unsigned announcedMinor);
    // Sends, reads the daemon's messages, then the result with read(m_reader).
    template <class Read>
    auto call(const WireWriter& request, DaemonEvents& events, Read read)
        -> decltype(read(std::declval<WireReader&>()));
    [[nodiscard]] Result<void> callForOne(const WireWriter& request, DaemonEvents& events);
    [[nodiscard]] Result<nix::StorePathSet> callForPaths(const WireWriter& request);
    [[nodiscard]] Result<void> exchange(const WireWriter& request, DaemonEvents& events);
    [[nodiscard]] Result<void> recover();
    // Begins something of many steps: from here on the connection is broken, unless ready() is reached.
    [[nodiscard]] Result<void> begin();
    void ready(bool afterError) { m_state = afterError ? State::AfterError : State::Ready; }
    // Closes the connection and gives the error back.
    [[nodiscard]] tl::unexpected<Error> abandon(Error error);

    // One request for each path, a bounded number under way at once. readAnswer reads the result of one.
    using Ask = std::function<WireWriter(const nix::StorePath&)>;
    using ReadAnswer = std::function<Result<void>(const nix::StorePath&)>;
    [[nodiscard]] Result<void> askForMany(const nix::StorePathSet& paths, const Ask& ask,
                                          const ReadAnswer& readAnswer);

    // The parts of an operation with a stream of ours; all are begun with begin().
    using Produce = std::function<Result<void>(FrameWriter&)>;
    [[nodiscard]] Result<void> sendFramed(const WireWriter& request, const Produce& produce);
    [[nodiscard]] Result<void> sendOnRequest(const WireWriter& request, const NarToAdd& nar);
    [[nodiscard]] Result<void> sendWhole(const WireWriter& request, const ContentToAdd& content,
                                         const ByteSource& source);
    [[nodiscard]] Result<std::vector<const NarToAdd*>> notYetValid(const std::vector<NarToAdd>& nars,
                                                                   const AddOptions& options);
    [[nodiscard]] Result<void> send(std::string_view bytes);
    [[nodiscard]] Result<void> takeMessages();
    [[nodiscard]] Result<void> finishStream();
    // What the daemon said before or instead of the failure, if it said anything.
    [[nodiscard]] Error explain(Error failure);
    [[nodiscard]] Error explainInNar(Error failure, std::string tail);
    [[nodiscard]] Result<void> streamNar(const ByteSink& sink);

    [[nodiscard]] Result<void> needMinor(unsigned minor, std::string_view operation) const;
    [[nodiscard]] Result<void> needRealisations() const;
    [[nodiscard]] Result<std::vector<std::string>>
    printDerivedPaths(const std::vector<DerivedPath>& paths) const;

    nix::StoreDir m_dir;
    bool m_hasCaDerivations;
    std::unique_ptr<Transport> m_transport;
    UnixSocket* m_socket = nullptr; // the transport, if it is one
    WireReader m_reader;
    Greeting m_greeting{0, {}, Trust::Unknown};
    State m_state = State::Ready;
};

template <class Read>
auto DaemonConnection::call(const WireWriter& request, DaemonEvents& events, Read read)
    -> decltype(read(std::declval<WireReader&>()))
{
    PENSTOCK_TRY_VOID(recover());
    PENSTOCK_TRY_VOID(exchange(request, events));
    auto result = read(m_reader);
    if (result)
        m_state = State::Ready;
    return result;
}

} // namespace penstock::nixdaemon
