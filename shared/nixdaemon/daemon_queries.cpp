// SPDX-License-Identifier: GPL-3.0-or-later
// What DaemonConnection asks about paths, and temporary roots.
#include "shared/nixdaemon/daemon_connection.h"

#include "shared/base/text.h"
#include "shared/nixdaemon/daemon_messages.h"
#include "shared/nixdaemon/store_codec.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace penstock::nixdaemon {
namespace {

// First protocol minors.
constexpr unsigned kValidPathsFlag = 27;
constexpr unsigned kOutputMap = 22;
constexpr unsigned kSubstitutableMap = 22;
constexpr unsigned kRealisations = 27;
constexpr unsigned kRealisationsAsJson = 31;

constexpr std::size_t kRequestsUnderWay = 512;

// From this Nix on realisations are spoken of only with a protocol feature that is not announced here.
constexpr std::uint64_t kRealisationFeatureMajor = 2;
constexpr std::uint64_t kRealisationFeatureMinor = 35;

bool needsRealisationFeature(std::string_view nixVersion)
{
    const auto parts = split(nixVersion, '.');
    if (parts.size() < 2)
        return false;
    const auto digits =
        std::find_if(parts[1].begin(), parts[1].end(), [](char c) { return c < '0' || c > '9'; });
    const auto major = parseUnsigned(parts[0]);
    const auto minor = parseUnsigned(parts[1].substr(0, static_cast<std::size_t>(digits - parts[1].begin())));
    if (!major || !minor)
        return true; // an unknown scheme: then it is new
    return std::pair(*major, *minor) >= std::pair(kRealisationFeatureMajor, kRealisationFeatureMinor);
}

} // namespace

Result<bool> DaemonConnection::isValidPath(const nix::StorePath& path)
{
    WireWriter request = beginRequest(Operation::IsValidPath);
    request.path(m_dir, path);
    DaemonEvents events;
    return call(request, events, [](WireReader& reader) { return reader.boolean(); });
}

Result<nix::StorePathSet> DaemonConnection::queryValidPaths(const nix::StorePathSet& paths, bool substitute)
{
    WireWriter request = beginRequest(Operation::QueryValidPaths);
    request.paths(m_dir, paths);
    if (m_greeting.minor >= kValidPathsFlag)
        request.boolean(substitute);
    DaemonEvents events;
    return call(request, events, [this](WireReader& reader) { return reader.paths(m_dir); });
}

Result<std::optional<PathInfo>> DaemonConnection::queryPathInfo(const nix::StorePath& path)
{
    WireWriter request = beginRequest(Operation::QueryPathInfo);
    request.path(m_dir, path);
    DaemonEvents events;
    return call(request, events, [this](WireReader& reader) -> Result<std::optional<PathInfo>> {
        PENSTOCK_TRY(const bool isValid, reader.boolean());
        if (!isValid)
            return std::nullopt;
        PENSTOCK_TRY(PathInfo info, readPathInfo(reader, m_dir));
        return info;
    });
}

Result<MissingPaths> DaemonConnection::queryMissing(const std::vector<DerivedPath>& paths)
{
    PENSTOCK_TRY(const auto texts, printDerivedPaths(paths));
    WireWriter request = beginRequest(Operation::QueryMissing);
    request.strings(texts);
    DaemonEvents events;
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
    DaemonEvents events;
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
    DaemonEvents events;
    return callForOne(request, events);
}

Result<void> DaemonConnection::askForMany(const nix::StorePathSet& paths, const Ask& ask,
                                          const ReadAnswer& readAnswer)
{
    for (auto path = paths.begin(); path != paths.end();) {
        PENSTOCK_TRY_VOID(begin());
        std::string requests;
        const auto first = path;
        for (std::size_t count = 0; path != paths.end() && count < kRequestsUnderWay; ++path, ++count)
            requests += ask(*path).bytes();
        PENSTOCK_TRY_VOID(m_transport->write(requests));
        // All answers are read, so that the connection stays in step; the first complaint is the error.
        DaemonEvents events;
        std::optional<Complaint> complaint;
        for (auto asked = first; asked != path; ++asked) {
            PENSTOCK_TRY(auto said, readMessages(m_reader, m_greeting.minor, events));
            if (!said)
                PENSTOCK_TRY_VOID(readAnswer(*asked));
            else if (!complaint)
                complaint = std::move(said);
        }
        ready(complaint.has_value());
        if (complaint)
            return fail(ErrorCode::Invalid, complaint->text);
    }
    return {};
}

Result<void> DaemonConnection::addTempRoots(const nix::StorePathSet& paths)
{
    const auto ask = [this](const nix::StorePath& path) {
        WireWriter request = beginRequest(Operation::AddTempRoot);
        request.path(m_dir, path);
        return request;
    };
    return askForMany(paths, ask, [this](const nix::StorePath&) -> Result<void> {
        PENSTOCK_TRY_VOID(m_reader.number());
        return {};
    });
}

Result<std::map<nix::StorePath, PathInfo>> DaemonConnection::queryPathInfos(const nix::StorePathSet& paths)
{
    std::map<nix::StorePath, PathInfo> infos;
    const auto ask = [this](const nix::StorePath& path) {
        WireWriter request = beginRequest(Operation::QueryPathInfo);
        request.path(m_dir, path);
        return request;
    };
    PENSTOCK_TRY_VOID(askForMany(paths, ask, [&](const nix::StorePath& path) -> Result<void> {
        PENSTOCK_TRY(const bool isValid, m_reader.boolean());
        if (isValid) {
            PENSTOCK_TRY(PathInfo info, readPathInfo(m_reader, m_dir));
            infos.emplace(path, std::move(info));
        }
        return {};
    }));
    return infos;
}

Result<nix::StorePathSet> DaemonConnection::callForPaths(const WireWriter& request)
{
    DaemonEvents events;
    return call(request, events, [this](WireReader& reader) { return reader.paths(m_dir); });
}

Result<nix::StorePathSet> DaemonConnection::queryAllValidPaths()
{
    return callForPaths(beginRequest(Operation::QueryAllValidPaths));
}

Result<nix::StorePathSet> DaemonConnection::queryReferrers(const nix::StorePath& path)
{
    WireWriter request = beginRequest(Operation::QueryReferrers);
    request.path(m_dir, path);
    return callForPaths(request);
}

Result<nix::StorePathSet> DaemonConnection::queryValidDerivers(const nix::StorePath& path)
{
    WireWriter request = beginRequest(Operation::QueryValidDerivers);
    request.path(m_dir, path);
    return callForPaths(request);
}

Result<std::optional<nix::StorePath>> DaemonConnection::queryPathFromHashPart(std::string_view digest)
{
    PENSTOCK_TRY(const auto probe, nix::StorePath::fromBaseName(fmt::format("{}-x", digest)));
    if (probe.digest() != digest)
        return fail(ErrorCode::Invalid,
                    fmt::format("\"{}\" is no digest of {} characters", digest, nix::kStoreDigestLength));
    WireWriter request = beginRequest(Operation::QueryPathFromHashPart);
    request.string(digest);
    DaemonEvents events;
    return call(request, events, [this](WireReader& reader) { return reader.optionalPath(m_dir); });
}

Result<std::map<nix::StorePath, SubstitutableInfo>>
DaemonConnection::querySubstitutablePathInfos(const nix::StorePathSet& paths)
{
    using Infos = std::map<nix::StorePath, SubstitutableInfo>;
    WireWriter request = beginRequest(Operation::QuerySubstitutablePathInfos);
    if (m_greeting.minor >= kSubstitutableMap) {
        request.number(paths.size());
        for (const nix::StorePath& path : paths) {
            request.path(m_dir, path);
            request.string(""); // no content address
        }
    } else {
        request.paths(m_dir, paths);
    }
    DaemonEvents events;
    return call(request, events, [this](WireReader& reader) -> Result<Infos> {
        Infos infos;
        PENSTOCK_TRY(std::uint64_t left, reader.count());
        for (; left > 0; --left) {
            PENSTOCK_TRY(nix::StorePath path, reader.path(m_dir));
            SubstitutableInfo info{};
            PENSTOCK_TRY(info.deriver, reader.optionalPath(m_dir));
            PENSTOCK_TRY(info.references, reader.paths(m_dir));
            PENSTOCK_TRY(info.downloadSize, reader.number());
            PENSTOCK_TRY(info.narSize, reader.number());
            infos.insert_or_assign(std::move(path), std::move(info));
        }
        return infos;
    });
}

Result<void> DaemonConnection::needRealisations() const
{
    PENSTOCK_TRY_VOID(needMinor(kRealisations, "speaking of realisations"));
    if (!m_hasCaDerivations)
        return fail(ErrorCode::Invalid,
                    "the nix-daemon is not known to have ca-derivations, and dies of a question "
                    "for a realisation without; enable it in its nix.conf");
    if (needsRealisationFeature(m_greeting.nixVersion))
        return fail(
            ErrorCode::Invalid,
            fmt::format("Nix {} takes realisations only with a protocol feature that is not spoken here; use "
                        "Nix before {}.{}",
                        m_greeting.nixVersion, kRealisationFeatureMajor, kRealisationFeatureMinor));
    return {};
}

Result<std::optional<Realisation>> DaemonConnection::queryRealisation(std::string_view id)
{
    using Found = std::optional<Realisation>;
    PENSTOCK_TRY_VOID(needRealisations());
    PENSTOCK_TRY_VOID(checkRealisationId(id));
    WireWriter request = beginRequest(Operation::QueryRealisation);
    request.string(id);
    DaemonEvents events;
    if (m_greeting.minor < kRealisationsAsJson)
        return call(request, events, [&](WireReader& reader) -> Result<Found> {
            PENSTOCK_TRY(const auto paths, reader.paths(m_dir));
            if (paths.empty())
                return std::nullopt;
            return Realisation{std::string(id), *paths.begin(), {}, {}};
        });
    return call(request, events, [](WireReader& reader) -> Result<Found> {
        PENSTOCK_TRY(const auto texts, reader.strings());
        if (texts.empty())
            return std::nullopt;
        auto parsed = parseRealisation(texts.front());
        if (!parsed)
            return fail(ErrorCode::Corrupt, "the nix-daemon sent a realisation: " + parsed.error().message);
        return *std::move(parsed);
    });
}

Result<void> DaemonConnection::registerRealisation(const Realisation& realisation)
{
    PENSTOCK_TRY_VOID(needRealisations());
    PENSTOCK_TRY(const std::string json, printRealisation(realisation));
    WireWriter request = beginRequest(Operation::RegisterDrvOutput);
    if (m_greeting.minor < kRealisationsAsJson) {
        request.string(realisation.id);
        request.string(realisation.outPath.baseName());
    } else {
        request.string(json);
    }
    DaemonEvents events;
    return call(request, events, [](WireReader&) -> Result<void> { return {}; });
}

} // namespace penstock::nixdaemon
