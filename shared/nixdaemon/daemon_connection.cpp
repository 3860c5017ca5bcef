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
constexpr unsigned kValidPathsFlag = 27;
constexpr unsigned kOutputMap = 22;
constexpr unsigned kBuildPathsResults = 34;
constexpr unsigned kAddReturnsInfo = 25;

constexpr std::size_t kRequestsUnderWay = 512;

class NoEvents final : public DaemonEvents {};

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
    UnixSocket& opened = *socket;
    auto connection = over(std::move(socket), options);
    if (!connection)
        return fail(std::move(connection.error()).in(fmt::format("nix-daemon at {}", socketPath)));
    opened.setDeadline(std::nullopt);
    return connection;
}

Result<std::unique_ptr<DaemonConnection>> DaemonConnection::over(std::unique_ptr<Transport> transport,
                                                                 const DaemonOptions& options)
{
    std::unique_ptr<DaemonConnection> connection(
        new DaemonConnection(std::move(transport), options.storeDir));
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
    NoEvents events;
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
    NoEvents events;
    const auto answered = exchange(beginRequest(Operation::SyncWithGc), events);
    const bool isAlive = answered.has_value() && m_reader.number().has_value();
    m_state = isAlive ? State::Ready : State::Broken;
    if (!isAlive)
        return fail(ErrorCode::Unavailable,
                    "the nix-daemon ended the connection after an error; open another");
    return {};
}

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
    NoEvents events;
    return call(request, events, [](WireReader&) -> Result<void> { return {}; });
}

Result<void> DaemonConnection::ping()
{
    NoEvents events;
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
    NoEvents events;
    const auto result = buildDerivation(drvPath, probe, BuildMode::Normal, events);
    if (!result && result.error().code != ErrorCode::Invalid)
        return fail(result.error());
    m_greeting.trust = result ? Trust::Trusted : Trust::NotTrusted;
    return m_greeting.trust;
}

Result<bool> DaemonConnection::isValidPath(const nix::StorePath& path)
{
    WireWriter request = beginRequest(Operation::IsValidPath);
    request.path(m_dir, path);
    NoEvents events;
    return call(request, events, [](WireReader& reader) { return reader.boolean(); });
}

Result<nix::StorePathSet> DaemonConnection::queryValidPaths(const nix::StorePathSet& paths, bool substitute)
{
    WireWriter request = beginRequest(Operation::QueryValidPaths);
    request.paths(m_dir, paths);
    if (m_greeting.minor >= kValidPathsFlag)
        request.boolean(substitute);
    NoEvents events;
    return call(request, events, [this](WireReader& reader) { return reader.paths(m_dir); });
}

Result<std::optional<PathInfo>> DaemonConnection::queryPathInfo(const nix::StorePath& path)
{
    WireWriter request = beginRequest(Operation::QueryPathInfo);
    request.path(m_dir, path);
    NoEvents events;
    return call(request, events, [this](WireReader& reader) -> Result<std::optional<PathInfo>> {
        PENSTOCK_TRY(const bool isValid, reader.boolean());
        if (!isValid)
            return std::nullopt;
        PENSTOCK_TRY(PathInfo info, readPathInfo(reader, m_dir));
        return info;
    });
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

Result<MissingPaths> DaemonConnection::queryMissing(const std::vector<DerivedPath>& paths)
{
    PENSTOCK_TRY(const auto texts, printDerivedPaths(paths));
    WireWriter request = beginRequest(Operation::QueryMissing);
    request.strings(texts);
    NoEvents events;
    return call(request, events, [this](WireReader& reader) -> Result<MissingPaths> {
        MissingPaths missing;
        PENSTOCK_TRY(missing.willBuild, reader.paths(m_dir));
        PENSTOCK_TRY(missing.willSubstitute, reader.paths(m_dir));
        PENSTOCK_TRY(missing.unknown, reader.paths(m_dir));
        PENSTOCK_TRY(missing.downloadSize, reader.number());
        PENSTOCK_TRY(missing.narSize, reader.number());
        return missing;
    });
}

Result<std::map<std::string, std::optional<nix::StorePath>>>
DaemonConnection::queryDerivationOutputMap(const nix::StorePath& drvPath)
{
    using Outputs = std::map<std::string, std::optional<nix::StorePath>>;
    PENSTOCK_TRY_VOID(needMinor(kOutputMap, "asking for a derivation's outputs"));
    if (!drvPath.isDerivation())
        return fail(ErrorCode::Invalid,
                    fmt::format("{} does not end in .drv, so it has no outputs", drvPath.baseName()));
    WireWriter request = beginRequest(Operation::QueryDerivationOutputMap);
    request.path(m_dir, drvPath);
    NoEvents events;
    return call(request, events, [this](WireReader& reader) -> Result<Outputs> {
        Outputs outputs;
        PENSTOCK_TRY(std::uint64_t left, reader.count());
        for (; left > 0; --left) {
            PENSTOCK_TRY(std::string name, reader.string());
            PENSTOCK_TRY(outputs[std::move(name)], reader.optionalPath(m_dir));
        }
        return outputs;
    });
}

Result<void> DaemonConnection::addTempRoot(const nix::StorePath& path)
{
    WireWriter request = beginRequest(Operation::AddTempRoot);
    request.path(m_dir, path);
    NoEvents events;
    return callForOne(request, events);
}

Result<void> DaemonConnection::addTempRoots(const nix::StorePathSet& paths)
{
    for (auto path = paths.begin(); path != paths.end();) {
        PENSTOCK_TRY_VOID(recover());
        if (std::exchange(m_state, State::Broken) == State::Broken)
            return ended();
        std::string requests;
        std::size_t count = 0;
        for (; path != paths.end() && count < kRequestsUnderWay; ++path, ++count) {
            WireWriter request = beginRequest(Operation::AddTempRoot);
            request.path(m_dir, *path);
            requests += request.bytes();
        }
        PENSTOCK_TRY_VOID(m_transport->write(requests));
        PENSTOCK_TRY_VOID(readTempRootAnswers(count));
    }
    return {};
}

// Reads all of them, so that the connection stays in step; the first complaint is the error.
Result<void> DaemonConnection::readTempRootAnswers(std::size_t count)
{
    NoEvents events;
    std::optional<Complaint> first;
    for (; count > 0; --count) {
        PENSTOCK_TRY(auto complaint, readMessages(m_reader, m_greeting.minor, events));
        if (!complaint)
            PENSTOCK_TRY_VOID(m_reader.number());
        else if (!first)
            first = std::move(complaint);
    }
    m_state = first ? State::AfterError : State::Ready;
    if (first)
        return fail(ErrorCode::Invalid, first->text);
    return {};
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
    NoEvents events;
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
