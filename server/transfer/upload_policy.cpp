// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/transfer/upload_policy.h"

#include "shared/nix/resolution.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace penstock::transfer {
namespace {

using nix::OutputKind;

nix::AddressMethod methodOf(const nix::DerivationOutput& output)
{
    return output.method.starts_with("r:") ? nix::AddressMethod::Recursive : nix::AddressMethod::Flat;
}

Result<ExpectedOutput> expect(OutputKind kind, const nix::DerivationOutput& output)
{
    ExpectedOutput expected{kind, output.path, {}, {}, {}};
    if (kind == OutputKind::Fixed) {
        PENSTOCK_TRY(auto hash, nix::fixedHash(output));
        expected.fixed = nix::ContentAddress{methodOf(output), std::move(hash)};
    }
    if (kind == OutputKind::Floating) {
        expected.method = methodOf(output);
        const std::string_view method = output.method;
        PENSTOCK_TRY(expected.algorithm, nix::parseHashAlgorithm(method.starts_with("r:") ? method.substr(2) : method));
    }
    return expected;
}

// What is really built: computed here, not taken from the builder.
Result<nix::ResolvedDerivation> resolve(const nix::StoreDir& dir, const nix::StorePath& drvPath,
                                       const nix::Derivation& drv, const AttemptWork& work)
{
    nix::StorePathSet plain;
    for (const auto& text : work.inputPaths) {
        PENSTOCK_TRY(auto path, nix::StorePath::parse(dir, text));
        plain.insert(std::move(path));
    }
    nix::KnownOutputs revealed;
    for (const auto& each : work.revealed) {
        PENSTOCK_TRY(auto input, nix::StorePath::parse(dir, each.drvPath));
        PENSTOCK_TRY(auto path, nix::StorePath::parse(dir, each.path));
        revealed.insert_or_assign({std::move(input), each.output}, std::move(path));
    }
    return nix::resolveGiven(dir, drvPath, drv, {work.drv, plain, revealed});
}

// The address must make the path, whatever else makes it welcome: else the server would sign a lie.
Result<std::optional<nix::ContentAddress>> checkedAddress(const nix::StoreDir& dir, const nix::NarInfo& info)
{
    if (info.contentAddress.empty())
        return std::nullopt;
    PENSTOCK_TRY(const auto address, nix::ContentAddress::parse(info.contentAddress));
    nix::SourceReferences references;
    for (const auto& reference : info.references) {
        if (reference == info.path)
            references.self = true;
        else
            references.others.insert(reference);
    }
    PENSTOCK_TRY(const auto path, nix::computeContentPath(dir, info.path.name(), address, references));
    if (path != info.path)
        return fail(ErrorCode::Corrupt, fmt::format("content address {} makes {}, not {}", info.contentAddress,
                                                    path.print(dir), info.path.print(dir)));
    return address;
}

Verdict refuse(Refusal refusal, std::string reason)
{
    return {refusal, std::move(reason)};
}

// None when the path is not an output at all.
std::optional<Verdict> judgeKnown(const nix::StoreDir& dir, const AttemptFacts& attempt, const nix::NarInfo& info,
                                  const std::optional<nix::ContentAddress>& address)
{
    for (const auto& [name, output] : attempt.outputs) {
        if (output.path != info.path)
            continue;
        if (output.kind == OutputKind::Fixed && address != output.fixed)
            return refuse(Refusal::WrongFixedHash,
                          fmt::format("{} is output {} of {}, whose derivation wants content address {}; announced is "
                                      "\"{}\"",
                                      info.path.print(dir), name, attempt.drvName,
                                      output.fixed ? output.fixed->print() : "none", info.contentAddress));
        return Verdict{};
    }
    return std::nullopt;
}

// Outputs whose path only the build tells. Those of deferred derivations are not among them: their paths are computed.
std::optional<Verdict> judgeFloating(const nix::StoreDir& dir, const AttemptFacts& attempt, const nix::NarInfo& info,
                                     const std::optional<nix::ContentAddress>& address)
{
    for (const auto& [name, output] : attempt.outputs) {
        const bool floats = output.kind == OutputKind::Floating || output.kind == OutputKind::Impure;
        if (!floats || info.path.name() != nix::outputStoreName(attempt.drvName, name))
            continue;
        if (!address)
            return refuse(Refusal::NotContentAddressed,
                          fmt::format("{} has the name of output {} of {}, which is content-addressed, but no content "
                                      "address; announce CA",
                                      info.path.print(dir), name, attempt.drvName));
        const bool same = (!output.method || *output.method == address->method) &&
                          (!output.algorithm || *output.algorithm == address->hash.algorithm());
        if (!same)
            return refuse(Refusal::WrongFixedHash,
                          fmt::format("{} is announced with content address {}, another kind than output {} "
                                      "of {} is to have",
                                      info.path.print(dir), info.contentAddress, name, attempt.drvName));
        return Verdict{};
    }
    return std::nullopt;
}

std::string listOutputs(const nix::StoreDir& dir, const AttemptFacts& attempt)
{
    std::string list;
    for (const auto& [name, output] : attempt.outputs) {
        list += list.empty() ? "" : ", ";
        list += output.path ? output.path->print(dir) : fmt::format("{} (known after the build)", name);
        if (list.size() > 600)
            return list + ", …";
    }
    return list;
}

} // namespace

std::string_view toString(Refusal refusal)
{
    switch (refusal) {
    case Refusal::None: return "none";
    case Refusal::TooLarge: return "too_large";
    case Refusal::BadAddress: return "bad_address";
    case Refusal::NotAnOutput: return "not_an_output";
    case Refusal::WrongFixedHash: return "wrong_fixed_hash";
    case Refusal::NotContentAddressed: return "not_content_addressed";
    case Refusal::Untrusted: return "untrusted";
    }
    return "none";
}

Result<AttemptFacts> attemptFacts(AttemptId attempt, const nix::StoreDir& dir, const AttemptWork& work)
{
    PENSTOCK_TRY(auto drvPath, nix::StorePath::parse(dir, work.drvPath));
    PENSTOCK_TRY(const auto parsed, nix::parseDerivationAt(dir, drvPath, work.drv));
    AttemptFacts facts{attempt, parsed.name, std::move(drvPath), {}};
    const auto kind = parsed.outputKind();
    auto outputs = parsed.outputs;
    if (kind == OutputKind::Deferred || kind == OutputKind::Floating) {
        PENSTOCK_TRY(auto resolved, resolve(dir, facts.drvPath, parsed, work));
        outputs = std::move(resolved.basic.outputs); // those of a deferred one have paths now
        facts.modulo = std::move(resolved.modulo);
    }
    for (const auto& [name, output] : outputs) {
        PENSTOCK_TRY(auto expected, expect(kind, output));
        facts.outputs.emplace(name, std::move(expected));
    }
    return facts;
}

Verdict judgeOutput(const nix::StoreDir& dir, const AttemptFacts& attempt, const std::string& output,
                    const nix::NarInfo& shown)
{
    const auto expected = attempt.outputs.find(output);
    if (expected == attempt.outputs.end())
        return refuse(Refusal::NotAnOutput, fmt::format("{} has no output {}", attempt.drvName, output));
    if (expected->second.path) {
        if (*expected->second.path == shown.path)
            return {};
        return refuse(Refusal::NotAnOutput, fmt::format("output {} of {} is {}, not {}", output, attempt.drvName,
                                                        expected->second.path->print(dir), shown.path.print(dir)));
    }
    const auto address = checkedAddress(dir, shown);
    if (!address)
        return refuse(Refusal::BadAddress, address.error().message);
    AttemptFacts only = attempt;
    only.outputs = {*expected};
    if (auto verdict = judgeFloating(dir, only, shown, *address))
        return *std::move(verdict);
    return refuse(Refusal::NotAnOutput, fmt::format("{} cannot be output {} of {}", shown.path.print(dir), output,
                                                    attempt.drvName));
}

Verdict judgeUpload(const UploadRules& rules, const AttemptFacts* attempt, const nix::NarInfo& announced)
{
    const auto& dir = rules.dir;
    if (announced.narSize > rules.maxNarBytes)
        return refuse(Refusal::TooLarge, fmt::format("{} has NarSize {}, more than the limit of {} bytes",
                                                     announced.path.print(dir), announced.narSize, rules.maxNarBytes));
    const auto address = checkedAddress(dir, announced);
    if (!address)
        return refuse(Refusal::BadAddress, address.error().message);
    if (attempt != nullptr) {
        if (auto verdict = judgeKnown(dir, *attempt, announced, *address))
            return *std::move(verdict);
        if (auto verdict = judgeFloating(dir, *attempt, announced, *address))
            return *std::move(verdict);
    }
    // A content address that makes the path proves the content to everybody, once the NAR is checked against it.
    if (*address)
        return {};
    if (nix::isSignedBy(rules.trusted, announced.signatures, nix::fingerprint(dir, announced)))
        return {};
    const auto path = announced.path.print(dir);
    if (attempt != nullptr)
        return refuse(Refusal::NotAnOutput,
                      fmt::format("{} is not an output of attempt {} ({}), and has neither a content address nor the "
                                  "signature of a trusted key; its outputs are {}",
                                  path, attempt->attempt.value(), attempt->drvName, listOutputs(dir, *attempt)));
    return refuse(Refusal::Untrusted,
                  fmt::format("{} has neither a content address nor the signature of a key that this server trusts; "
                              "sign it (nix store sign) with one of --trusted-public-keys",
                              path));
}

} // namespace penstock::transfer
