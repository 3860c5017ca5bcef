// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixdaemon/store_codec.h"

#include "shared/nix/json.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace penstock::nixdaemon {
namespace {

constexpr std::size_t kMaxSignatureLength = 1024;

// nix-formats 1.6, what every Nix from 2.1 on reads.
Result<void> checkContentAddress(const nix::StorePath& path, std::string_view address)
{
    std::string_view hash = address;
    if (hash.empty())
        return {};
    if (hash.starts_with("text:sha256:"))
        hash.remove_prefix(5);
    else if (hash.starts_with("fixed:"))
        hash.remove_prefix(hash.starts_with("fixed:r:") ? 8 : 6);
    else
        return fail(ErrorCode::Invalid,
                    fmt::format("{}: the content address \"{}\" is neither text:sha256:… nor "
                                "fixed:…",
                                path.baseName(), address.substr(0, 200)));
    auto parsed = nix::Hash::parse(hash);
    if (!parsed)
        return fail(std::move(parsed.error()).in(fmt::format("{}: content address", path.baseName())));
    return {};
}

Result<void> checkSignatures(std::string_view what, const std::vector<std::string>& signatures)
{
    for (const std::string& signature : signatures)
        if (signature.size() > kMaxSignatureLength || signature.find(':') == std::string::npos)
            return fail(ErrorCode::Invalid,
                        fmt::format("{}: the signature \"{}\" is no NAME:BASE64 of at most {} "
                                    "bytes",
                                    what, signature.substr(0, 100), kMaxSignatureLength));
    return {};
}

Result<void> writePathInfo(WireWriter& out, const nix::StoreDir& dir, const NarToAdd& nar)
{
    PENSTOCK_TRY_VOID(checkContentAddress(nar.path, nar.info.contentAddress));
    PENSTOCK_TRY_VOID(checkSignatures(nar.path.baseName(), nar.info.signatures));
    if (nar.info.narHash.algorithm() != nix::HashAlgorithm::Sha256)
        return fail(ErrorCode::Invalid,
                    fmt::format("{}: the NAR hash is {}; a store takes sha256 only", nar.path.baseName(),
                                toString(nar.info.narHash.algorithm())));
    out.optionalPath(dir, nar.info.deriver);
    out.string(nar.info.narHash.base16());
    out.paths(dir, nar.info.references);
    out.number(nar.info.registrationTime);
    out.number(nar.info.narSize);
    out.boolean(nar.info.isUltimate);
    out.strings(nar.info.signatures);
    out.string(nar.info.contentAddress);
    return {};
}

std::string_view prefixOf(nix::AddressMethod method)
{
    switch (method) {
    case nix::AddressMethod::Text: return "text:";
    case nix::AddressMethod::Flat: return "fixed:";
    case nix::AddressMethod::Recursive: return "fixed:r:";
    }
    return {};
}

Result<void> checkContent(const ContentToAdd& content)
{
    PENSTOCK_TRY_VOID(nix::checkStoreName(content.name));
    const bool isSha256 = content.algorithm == nix::HashAlgorithm::Sha256;
    if (content.method == nix::AddressMethod::Text && !isSha256)
        return fail(ErrorCode::Invalid, fmt::format("{}: a text is added by its sha256 only, not by {}",
                                                    content.name, toString(content.algorithm)));
    // A daemon of Nix 2.8 dies of an assertion over others.
    const bool mayRefer = isSha256 && content.method != nix::AddressMethod::Flat;
    if (!mayRefer && !content.references.empty())
        return fail(ErrorCode::Invalid,
                    fmt::format("{}: what is added by {}{} cannot refer to other paths", content.name,
                                prefixOf(content.method), toString(content.algorithm)));
    return {};
}

std::string quoted(std::string_view text)
{
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\')
            out.push_back('\\');
        if (byte < 0x20)
            out += fmt::format("\\u{:04x}", byte);
        else
            out.push_back(c);
    }
    return out + '"';
}

Result<std::string> textMember(const nix::JsonValue& json, std::string_view name)
{
    const nix::JsonValue* value = json.member(name);
    const std::string* text = value != nullptr ? value->asString() : nullptr;
    if (text == nullptr)
        return fail(ErrorCode::Corrupt, fmt::format("a realisation without a text \"{}\"", name));
    return *text;
}

} // namespace

Result<WireWriter> addNarRequest(const nix::StoreDir& dir, const NarToAdd& nar, const AddOptions& options)
{
    WireWriter request = beginRequest(Operation::AddToStoreNar);
    request.path(dir, nar.path);
    PENSTOCK_TRY_VOID(writePathInfo(request, dir, nar));
    request.boolean(options.repair);
    request.boolean(options.dontCheckSignatures);
    return request;
}

Result<WireWriter> multipleEntry(const nix::StoreDir& dir, const NarToAdd& nar)
{
    WireWriter entry;
    entry.path(dir, nar.path);
    PENSTOCK_TRY_VOID(writePathInfo(entry, dir, nar));
    return entry;
}

Result<WireWriter> addContentRequest(const nix::StoreDir& dir, const ContentToAdd& content)
{
    PENSTOCK_TRY_VOID(checkContent(content));
    WireWriter request = beginRequest(Operation::AddToStore);
    request.string(content.name);
    request.string(fmt::format("{}{}", prefixOf(content.method), toString(content.algorithm)));
    request.paths(dir, content.references);
    request.boolean(content.repair);
    return request;
}

Result<WireWriter> addContentRequestOld(const ContentToAdd& content)
{
    PENSTOCK_TRY_VOID(checkContent(content));
    if (content.method == nix::AddressMethod::Text) {
        WireWriter request = beginRequest(Operation::AddTextToStore);
        request.string(content.name);
        return request; // the content and the references follow
    }
    if (!content.references.empty())
        return fail(ErrorCode::Invalid,
                    fmt::format("{}: a nix-daemon below protocol 1.25 takes no references here; "
                                "add it by its path and NAR hash",
                                content.name));
    const bool isRecursive = content.method == nix::AddressMethod::Recursive;
    WireWriter request = beginRequest(Operation::AddToStore);
    request.string(content.name);
    request.boolean(!isRecursive || content.algorithm != nix::HashAlgorithm::Sha256);
    request.boolean(isRecursive);
    request.string(toString(content.algorithm));
    return request;
}

Result<void> checkRealisationId(std::string_view id)
{
    const std::size_t mark = id.find('!');
    const auto hash = nix::Hash::parse(id.substr(0, mark));
    if (mark == std::string_view::npos || !hash || hash->prefixedBase16() != id.substr(0, mark) ||
        !nix::checkStoreName(id.substr(mark + 1)))
        return fail(ErrorCode::Invalid,
                    fmt::format("\"{}\" is no id of a realisation; they look like sha256:HASH!OUTPUT",
                                id.substr(0, 200)));
    return {};
}

Result<std::string> printRealisation(const Realisation& realisation)
{
    PENSTOCK_TRY_VOID(checkRealisationId(realisation.id));
    PENSTOCK_TRY_VOID(checkSignatures(realisation.id, realisation.signatures));
    std::string dependent;
    for (const auto& [id, path] : realisation.dependentRealisations) {
        PENSTOCK_TRY_VOID(checkRealisationId(id));
        dependent +=
            fmt::format("{}{}:{}", dependent.empty() ? "" : ",", quoted(id), quoted(path.baseName()));
    }
    std::string signatures;
    for (const std::string& signature : realisation.signatures)
        signatures += fmt::format("{}{}", signatures.empty() ? "" : ",", quoted(signature));
    return fmt::format(R"({{"dependentRealisations":{{{}}},"id":{},"outPath":{},"signatures":[{}]}})",
                       dependent, quoted(realisation.id), quoted(realisation.outPath.baseName()), signatures);
}

Result<Realisation> parseRealisation(std::string_view text)
{
    PENSTOCK_TRY(const nix::JsonValue json, nix::parseJson(text));
    PENSTOCK_TRY(std::string id, textMember(json, "id"));
    PENSTOCK_TRY(const std::string outPath, textMember(json, "outPath"));
    PENSTOCK_TRY(nix::StorePath path, nix::StorePath::fromBaseName(outPath));
    PENSTOCK_TRY_VOID(checkRealisationId(id));
    Realisation result{std::move(id), std::move(path), {}, {}};
    const nix::JsonValue* signatures = json.member("signatures");
    if (signatures != nullptr && signatures->asArray() != nullptr)
        for (const nix::JsonValue& signature : *signatures->asArray())
            if (const std::string* known = signature.asString())
                result.signatures.push_back(*known);
    const nix::JsonValue* dependent = json.member("dependentRealisations");
    if (dependent != nullptr && dependent->asObject() != nullptr)
        for (const auto& [key, value] : *dependent->asObject()) {
            const std::string* baseName = value.asString();
            PENSTOCK_TRY_VOID(checkRealisationId(key));
            PENSTOCK_TRY(nix::StorePath needed, nix::StorePath::fromBaseName(baseName ? *baseName : ""));
            result.dependentRealisations.emplace(key, std::move(needed));
        }
    return result;
}

} // namespace penstock::nixdaemon
