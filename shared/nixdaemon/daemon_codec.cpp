// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixdaemon/daemon_codec.h"

#include "shared/base/text.h"
#include "shared/nix/json.h"
#include "shared/nixdaemon/daemon_messages.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace penstock::nixdaemon {
namespace {

// First protocol minors of layouts.
constexpr unsigned kFramedAddToStore = 25;
constexpr unsigned kBuiltOutputs = 28;
constexpr unsigned kBuildTimes = 29;
constexpr unsigned kDerivedPaths = 30;
constexpr unsigned kCpuTimes = 37;

constexpr std::size_t kMaxSetting = 64U << 10U;
constexpr std::uint64_t kMaxBuiltOutputs = 100'000;

tl::unexpected<Error> corrupt(std::string_view what)
{
    return fail(ErrorCode::Corrupt, fmt::format("the nix-daemon sent {}", what));
}

Result<std::optional<std::uint64_t>> readOptionalNumber(WireReader& reader)
{
    PENSTOCK_TRY(const std::uint64_t tag, reader.number());
    if (tag == 0)
        return std::nullopt;
    if (tag != 1)
        return corrupt(fmt::format("the tag {} where 0 or 1 is due", tag));
    PENSTOCK_TRY(const std::uint64_t value, reader.number());
    return value;
}

// key "sha256:HASH!OUTPUT", value JSON; only the output's name and outPath (a base name) are of use.
Result<std::pair<std::string, nix::StorePath>> readBuiltOutput(WireReader& reader)
{
    PENSTOCK_TRY(const std::string key, reader.string());
    PENSTOCK_TRY(const std::string value, reader.string());
    const std::size_t mark = key.rfind('!');
    if (mark == std::string::npos)
        return corrupt("the id of a realisation without an output name");
    const auto json = nix::parseJson(value);
    const nix::JsonValue* out = json ? json->member("outPath") : nullptr;
    const std::string* baseName = out != nullptr ? out->asString() : nullptr;
    if (baseName == nullptr)
        return corrupt("a realisation without an output path");
    auto path = nix::StorePath::fromBaseName(*baseName);
    if (!path)
        return corrupt("a realisation with " + path.error().message);
    return std::pair(key.substr(mark + 1), *std::move(path));
}

BuildStatus statusOf(std::uint64_t number)
{
    return number <= static_cast<std::uint64_t>(BuildStatus::HashMismatch)
               ? static_cast<BuildStatus>(number)
               : BuildStatus::Unknown;
}

} // namespace

bool isGood(BuildStatus status)
{
    return status == BuildStatus::Built || status == BuildStatus::Substituted ||
           status == BuildStatus::AlreadyValid || status == BuildStatus::ResolvesToAlreadyValid;
}

std::string_view toString(BuildStatus status)
{
    switch (status) {
    case BuildStatus::Built: return "built";
    case BuildStatus::Substituted: return "substituted";
    case BuildStatus::AlreadyValid: return "already valid";
    case BuildStatus::PermanentFailure: return "permanent failure";
    case BuildStatus::InputRejected: return "input rejected";
    case BuildStatus::OutputRejected: return "output rejected";
    case BuildStatus::TransientFailure: return "transient failure";
    case BuildStatus::CachedFailure: return "cached failure";
    case BuildStatus::TimedOut: return "timed out";
    case BuildStatus::MiscFailure: return "miscellaneous failure";
    case BuildStatus::DependencyFailed: return "dependency failed";
    case BuildStatus::LogLimitExceeded: return "log limit exceeded";
    case BuildStatus::NotDeterministic: return "not deterministic";
    case BuildStatus::ResolvesToAlreadyValid: return "resolves to something already valid";
    case BuildStatus::NoSubstituters: return "no substituters";
    case BuildStatus::HashMismatch: return "hash mismatch";
    case BuildStatus::Unknown: break;
    }
    return "unknown status";
}

WireWriter beginRequest(Operation operation)
{
    WireWriter request;
    request.number(static_cast<std::uint64_t>(operation));
    return request;
}

Result<WireWriter> setOptionsRequest(const ConnectionSettings& settings)
{
    WireWriter request = beginRequest(Operation::SetOptions);
    request.boolean(settings.keepFailed);
    request.boolean(settings.keepGoing);
    request.boolean(settings.fallback);
    request.number(settings.verbosity);
    request.number(settings.maxJobs);
    request.number(settings.maxSilentSeconds);
    request.number(1); // use build hook: obsolete
    request.number(7); // verbose build: no; log lines come anyway
    request.number(0); // log type: obsolete
    request.number(0); // print build trace: obsolete
    request.number(settings.cores);
    request.boolean(settings.useSubstitutes);
    request.number(settings.overrides.size());
    for (const auto& [name, value] : settings.overrides) {
        if (name.empty() || name.size() + value.size() > kMaxSetting || value.find('\0') != std::string::npos)
            return fail(ErrorCode::Invalid,
                        fmt::format("nix setting \"{}\" is empty, has a NUL or is longer than {} bytes",
                                    name.substr(0, 100), kMaxSetting));
        request.string(name);
        request.string(value);
    }
    return request;
}

Result<WireWriter> buildDerivationRequest(const nix::StoreDir& dir, const nix::StorePath& drvPath,
                                          const nix::BasicDerivation& drv, BuildMode mode)
{
    // A daemon of Nix 2.8 dies of an assertion over another suffix.
    if (!drvPath.isDerivation())
        return fail(ErrorCode::Invalid,
                    fmt::format("{} does not end in .drv, so it cannot be built", drvPath.baseName()));
    if (drv.outputs.empty())
        return fail(ErrorCode::Invalid, fmt::format("{} has no output", drvPath.baseName()));
    WireWriter request = beginRequest(Operation::BuildDerivation);
    request.path(dir, drvPath);
    request.number(drv.outputs.size());
    for (const auto& [name, output] : drv.outputs) {
        PENSTOCK_TRY_VOID(nix::checkOutput(name, output));
        if (!output.path && output.method.empty())
            return fail(ErrorCode::Invalid,
                        fmt::format("{}: the path of output {} depends on inputs that are not built "
                                    "yet; resolve it first",
                                    drvPath.baseName(), name));
        request.string(name);
        request.string(output.path ? output.path->print(dir) : "");
        request.string(output.method);
        request.string(output.hash);
    }
    request.paths(dir, drv.inputs);
    request.string(drv.platform);
    request.string(drv.builder);
    request.strings(drv.arguments);
    request.number(drv.environment.size());
    for (const auto& [key, value] : drv.environment) {
        request.string(key);
        request.string(value);
    }
    request.number(static_cast<std::uint64_t>(mode));
    return request;
}

Result<WireWriter> addTextRequest(const nix::StoreDir& dir, unsigned minor, const TextFile& file)
{
    PENSTOCK_TRY_VOID(nix::checkStoreName(file.name));
    if (file.content.size() > nix::kMaxDerivationBytes)
        return fail(ErrorCode::Exhausted,
                    fmt::format("text file {} has {} bytes; at most {} are added", file.name,
                                file.content.size(), nix::kMaxDerivationBytes));
    if (minor < kFramedAddToStore) {
        WireWriter request = beginRequest(Operation::AddTextToStore);
        request.string(file.name);
        request.string(file.content);
        request.paths(dir, file.references);
        return request;
    }
    WireWriter request = beginRequest(Operation::AddToStore);
    request.string(file.name);
    request.string("text:sha256");
    request.paths(dir, file.references);
    request.boolean(false); // repair
    request.framed(file.content);
    return request;
}

Result<std::string> printDerivedPath(const nix::StoreDir& dir, unsigned minor, const DerivedPath& path)
{
    std::string text = path.path.print(dir);
    if (!path.isBuild) {
        if (minor < kDerivedPaths && path.path.isDerivation())
            return fail(ErrorCode::Invalid,
                        fmt::format("a daemon of protocol 1.{} would build {} instead of fetching it", minor,
                                    path.path.baseName()));
        return text;
    }
    if (!path.path.isDerivation())
        return fail(ErrorCode::Invalid,
                    fmt::format("{} does not end in .drv, so it cannot be built", path.path.baseName()));
    if (path.outputs.empty())
        return minor < kDerivedPaths ? text : text + "!*";
    char before = '!';
    for (const std::string& output : path.outputs) {
        PENSTOCK_TRY_VOID(nix::checkStoreName(output));
        text.push_back(std::exchange(before, ','));
        text.append(output);
    }
    return text;
}

Result<PathInfo> readPathInfo(WireReader& reader, const nix::StoreDir& dir)
{
    PENSTOCK_TRY(auto deriver, reader.optionalPath(dir));
    PENSTOCK_TRY(const std::string hashText, reader.string());
    auto narHash = nix::Hash::parse(hashText, nix::HashAlgorithm::Sha256);
    if (!narHash)
        return corrupt("a bad NAR hash: " + narHash.error().message);
    PENSTOCK_TRY(auto references, reader.paths(dir));
    PENSTOCK_TRY(const std::uint64_t registrationTime, reader.number());
    PENSTOCK_TRY(const std::uint64_t narSize, reader.number());
    PENSTOCK_TRY(const bool isUltimate, reader.boolean());
    PENSTOCK_TRY(auto signatures, reader.strings());
    PENSTOCK_TRY(std::string contentAddress, reader.string());
    return PathInfo{std::move(deriver),
                    *narHash,
                    std::move(references),
                    registrationTime,
                    narSize,
                    isUltimate,
                    std::move(signatures),
                    std::move(contentAddress)};
}

Result<BuildResult> readBuildResult(WireReader& reader, unsigned minor)
{
    PENSTOCK_TRY(const std::uint64_t number, reader.number());
    PENSTOCK_TRY(const std::string error, reader.string());
    const std::string clean = stripAnsi(error);
    BuildResult result{statusOf(number), number, std::string(trim(clean)), 0, 0, {}, {}, {}};
    if (minor >= kBuildTimes) {
        PENSTOCK_TRY_VOID(reader.number());  // times built
        PENSTOCK_TRY_VOID(reader.boolean()); // is not deterministic: the status says so too
        PENSTOCK_TRY(result.startTime, reader.number());
        PENSTOCK_TRY(result.stopTime, reader.number());
    }
    if (minor >= kCpuTimes) {
        PENSTOCK_TRY(result.cpuUser, readOptionalNumber(reader));
        PENSTOCK_TRY(result.cpuSystem, readOptionalNumber(reader));
    }
    if (minor >= kBuiltOutputs) {
        PENSTOCK_TRY(std::uint64_t left, reader.count());
        if (left > kMaxBuiltOutputs)
            return corrupt(fmt::format("{} built outputs; at most {} are read", left, kMaxBuiltOutputs));
        for (; left > 0; --left) {
            PENSTOCK_TRY(auto output, readBuiltOutput(reader));
            result.outputs.insert(std::move(output));
        }
    }
    return result;
}

} // namespace penstock::nixdaemon
