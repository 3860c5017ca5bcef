// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixdaemon/daemon_connection.h"

#include "shared/nixdaemon/daemon_messages.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace penstock::nixdaemon {
namespace {

constexpr std::uint64_t kClientMagic = 0x6e697863;
constexpr std::uint64_t kDaemonMagic = 0x6478696f;
constexpr std::uint64_t kMajor = 1;

// First protocol minors.
constexpr unsigned kFeatures = 38;
constexpr unsigned kTrust = 35;
constexpr unsigned kNixVersion = 33;
constexpr unsigned kBuildPathsResults = 34;
constexpr unsigned kAddReturnsInfo = 25;

tl::unexpected<Error> ended()
{
    return fail(ErrorCode::Unavailable, "the connection to the nix-daemon has ended; open another");
}

Trust trustOf(std::uint64_t number)
{
    return number == 1 ? Trust::Trusted : number == 2 ? Trust::NotTrusted : Trust::Unknown;
}

} // namespace

std::string defaultSocketPath(std::string_view nixDaemonSocketPath, std::string_view nixStateDir)
{
    if (!nixDaemonSocketPath.empty())
        return std::string(nixDaemonSocketPath);
    const std::string_view state = nixStateDir.empty() ? std::string_view("/nix/var/nix") : nixStateDir;
    return fmt::format("{}/daemon-socket/socket", state);
}

Result<std::unique_ptr<DaemonConnection>> DaemonConnection::open(const std::string& socketPath,
                                                                 DaemonOptions options)
{
    if (!options.interrupt) {
        PENSTOCK_TRY(options.interrupt, Interrupt::create());
    }
    const Instant deadline = SystemClock().now().mono + options.openTimeout;
    PENSTOCK_TRY(auto socket, UnixSocket::connect(socketPath, *options.interrupt, deadline));
    UnixSocket* const opened = socket.get();
    auto connection = over(std::move(socket), options);
    if (!connection)
        return fail(std::move(connection.error()).in(fmt::format("nix-daemon at {}", socketPath)));
    opened->setDeadline(std::nullopt);
    (*connection)->m_socket = opened;
    return connection;
}

Result<std::unique_ptr<DaemonConnection>> DaemonConnection::over(std::unique_ptr<Transport> transport,
                                                                 const DaemonOptions& options)
{
    std::unique_ptr<DaemonConnection> connection(new DaemonConnection(std::move(transport), options));
    PENSTOCK_TRY_VOID(connection->shakeHands(std::clamp(options.announcedMinor, kOldestMinor, kNewestMinor)));
    return connection;
}

Result<void> DaemonConnection::shakeHands(unsigned announcedMinor)
{
    WireWriter hello;
    hello.number(kClientMagic);
    hello.number(kMajor << 8U | announcedMinor);
    PENSTOCK_TRY_VOID(m_transport->write(hello.bytes()));
    PENSTOCK_TRY(const std::uint64_t magic, m_reader.number());
    if (magic != kDaemonMagic)
        return fail(ErrorCode::Corrupt, fmt::format("what answers is no nix-daemon (magic {:#x})", magic));
    PENSTOCK_TRY(const std::uint64_t version, m_reader.number());
    const auto daemonMinor = static_cast<unsigned>(version & 0xFFU);
    if (version >> 8U != kMajor || daemonMinor < kOldestMinor)
        return fail(ErrorCode::Denied,
                    fmt::format("the nix-daemon speaks protocol {}.{}; 1.{} (Nix 2.1) or newer is needed",
                                version >> 8U, daemonMinor, kOldestMinor));
    m_greeting.minor = std::min(announcedMinor, daemonMinor);
    if (m_greeting.minor >= kFeatures) {
        WireWriter features;
        features.number(0); // none: every layout here is the one without features
        PENSTOCK_TRY_VOID(m_transport->write(features.bytes()));
        PENSTOCK_TRY_VOID(m_reader.strings());
    }
    WireWriter obsolete;
    obsolete.number(0); // no CPU affinity
    obsolete.number(0); // no reserved space
    PENSTOCK_TRY_VOID(m_transport->write(obsolete.bytes()));
    if (m_greeting.minor >= kNixVersion) {
        PENSTOCK_TRY(m_greeting.nixVersion, m_reader.string());
    }
    if (m_greeting.minor >= kTrust) {
        PENSTOCK_TRY(const std::uint64_t trust, m_reader.number());
        m_greeting.trust = trustOf(trust);
    }
    DaemonEvents events;
    PENSTOCK_TRY(const auto complaint, readMessages(m_reader, m_greeting.minor, events));
    if (complaint)
        return fail(ErrorCode::Denied, "the nix-daemon refuses the connection: " + complaint->text);
    return {};
}

Result<void> DaemonConnection::exchange(const WireWriter& request, DaemonEvents& events)
{
    const State before = std::exchange(m_state, State::Broken);
    if (before == State::Broken)
        return ended();
    PENSTOCK_TRY_VOID(m_transport->write(request.bytes()));
    PENSTOCK_TRY(const auto complaint, readMessages(m_reader, m_greeting.minor, events));
    if (complaint) {
        m_state = State::AfterError;
        return fail(ErrorCode::Invalid, complaint->text);
    }
    return {};
}

// After an error the daemon either goes on, or sends the error again and ends (nix-formats 5.6): a ping
// tells.
Result<void> DaemonConnection::recover()
{
    if (m_state != State::AfterError)
        return {};
    DaemonEvents events;
    const auto answered = exchange(beginRequest(Operation::SyncWithGc), events);
    const bool isAlive = answered.has_value() && m_reader.number().has_value();
    m_state = isAlive ? State::Ready : State::Broken;
    if (!isAlive)
        return fail(ErrorCode::Unavailable,
                    "the nix-daemon ended the connection after an error; open another");
    return {};
}

Result<void> DaemonConnection::begin()
{
    PENSTOCK_TRY_VOID(recover());
    if (std::exchange(m_state, State::Broken) == State::Broken)
        return ended();
    return {};
}

tl::unexpected<Error> DaemonConnection::abandon(Error error)
{
    m_state = State::Broken;
    m_transport->close();
    return fail(std::move(error));
}

void DaemonConnection::watch(const Interrupt& interrupt)
{
    if (m_socket != nullptr)
        m_socket->watch(interrupt);
}

bool DaemonConnection::isUsable() const
{
    return m_state != State::Broken && !m_reader.hasBuffered() &&
           (m_socket == nullptr || m_socket->isQuiet());
}

Result<void> DaemonConnection::callForOne(const WireWriter& request, DaemonEvents& events)
{
    PENSTOCK_TRY_VOID(call(request, events, [](WireReader& reader) { return reader.number(); }));
    return {};
}

Result<void> DaemonConnection::needMinor(unsigned minor, std::string_view operation) const
{
    if (m_greeting.minor < minor)
        return fail(ErrorCode::Invalid,
                    fmt::format("the nix-daemon speaks protocol 1.{}; {} needs 1.{}: use a newer Nix",
                                m_greeting.minor, operation, minor));
    return {};
}

Result<void> DaemonConnection::setOptions(const ConnectionSettings& settings)
{
    PENSTOCK_TRY(const WireWriter request, setOptionsRequest(settings));
    DaemonEvents events;
    return call(request, events, [](WireReader&) -> Result<void> { return {}; });
}

Result<void> DaemonConnection::ping()
{
    DaemonEvents events;
    return callForOne(beginRequest(Operation::SyncWithGc), events);
}

Result<Trust> DaemonConnection::findTrust()
{
    if (m_greeting.trust != Trust::Unknown)
        return m_greeting.trust;
    // An input-addressed output is what only trusted clients may ask for, and no machine has this platform.
    nix::BasicDerivation probe;
    PENSTOCK_TRY(const auto path, nix::computeTextPath(m_dir, "penstock-trust-probe", nix::hashOf(""), {}));
    PENSTOCK_TRY(const auto drvPath,
                 nix::computeTextPath(m_dir, "penstock-trust-probe.drv", nix::hashOf(""), {}));
    probe.outputs["out"].path = path;
    probe.environment["out"] = path.print(m_dir);
    probe.platform = "penstock-trust-probe";
    probe.builder = "/no-such-builder";
    DaemonEvents events;
    const auto result = buildDerivation(drvPath, probe, BuildMode::Normal, events);
    if (!result && result.error().code != ErrorCode::Invalid)
        return fail(result.error());
    m_greeting.trust = result ? Trust::Trusted : Trust::NotTrusted;
    return m_greeting.trust;
}

Result<std::vector<std::string>>
DaemonConnection::printDerivedPaths(const std::vector<DerivedPath>& paths) const
{
    std::vector<std::string> texts;
    for (const DerivedPath& path : paths) {
        PENSTOCK_TRY(std::string text, printDerivedPath(m_dir, m_greeting.minor, path));
        texts.push_back(std::move(text));
    }
    return texts;
}

Result<void> DaemonConnection::ensurePath(const nix::StorePath& path, DaemonEvents& events)
{
    WireWriter request = beginRequest(Operation::EnsurePath);
    request.path(m_dir, path);
    return callForOne(request, events);
}

Result<nix::StorePath> DaemonConnection::addTextToStore(std::string_view name, std::string_view content,
                                                        const nix::StorePathSet& references)
{
    PENSTOCK_TRY(const WireWriter request,
                 addTextRequest(m_dir, m_greeting.minor, {name, content, references}));
    DaemonEvents events;
    return call(request, events, [this](WireReader& reader) -> Result<nix::StorePath> {
        PENSTOCK_TRY(nix::StorePath path, reader.path(m_dir));
        if (m_greeting.minor >= kAddReturnsInfo)
            PENSTOCK_TRY_VOID(readPathInfo(reader, m_dir));
        return path;
    });
}

Result<BuildResult> DaemonConnection::buildDerivation(const nix::StorePath& drvPath,
                                                      const nix::BasicDerivation& drv, BuildMode mode,
                                                      DaemonEvents& events)
{
    PENSTOCK_TRY(const WireWriter request, buildDerivationRequest(m_dir, drvPath, drv, mode));
    return call(request, events,
                [this](WireReader& reader) { return readBuildResult(reader, m_greeting.minor); });
}

Result<std::map<std::string, BuildResult>>
DaemonConnection::buildPathsWithResults(const std::vector<DerivedPath>& paths, BuildMode mode,
                                        DaemonEvents& events)
{
    using Results = std::map<std::string, BuildResult>;
    PENSTOCK_TRY_VOID(needMinor(kBuildPathsResults, "building from .drv files"));
    PENSTOCK_TRY(const auto texts, printDerivedPaths(paths));
    WireWriter request = beginRequest(Operation::BuildPathsWithResults);
    request.strings(texts);
    request.number(static_cast<std::uint64_t>(mode));
    return call(request, events, [this](WireReader& reader) -> Result<Results> {
        Results results;
        PENSTOCK_TRY(std::uint64_t left, reader.count());
        for (; left > 0; --left) {
            PENSTOCK_TRY(std::string path, reader.string());
            PENSTOCK_TRY(BuildResult result, readBuildResult(reader, m_greeting.minor));
            results.insert_or_assign(std::move(path), std::move(result));
        }
        return results;
    });
}

} // namespace penstock::nixdaemon
