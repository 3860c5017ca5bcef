// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/realisation.h"

#include "shared/nix/json.h"
#include "shared/nix/narinfo.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

constexpr std::string_view kFolder = "realisations/";
constexpr std::string_view kSuffix = ".doi";
constexpr std::size_t kMaxSignatureLength = 512;

tl::unexpected<Error> bad(std::string_view field, std::string_view why)
{
    return fail(ErrorCode::Invalid, fmt::format("realisation: {} {}", field, why));
}

Result<std::string> stringMember(const JsonValue& json, std::string_view field)
{
    const JsonValue* member = json.member(field);
    const std::string* text = member != nullptr ? member->asString() : nullptr;
    if (text == nullptr)
        return bad(field, "must be there and a string");
    return *text;
}

Result<void> readSignatures(const JsonValue& json, Realisation& made)
{
    constexpr std::string_view kField = "signatures";
    const JsonValue* member = json.member(kField);
    if (member == nullptr)
        return {};
    const JsonValue::Array* items = member->asArray();
    if (items == nullptr)
        return bad(kField, "must be an array");
    if (items->size() > kMaxSignatures)
        return fail(ErrorCode::Exhausted, fmt::format("realisation: has {} signatures; at most {} are read",
                                                      items->size(), kMaxSignatures));
    const auto isShown = [](char c) { return c > ' ' && c <= '~'; };
    for (const JsonValue& item : *items) {
        const std::string* text = item.asString();
        if (text == nullptr || text->empty() || text->size() > kMaxSignatureLength ||
            !std::all_of(text->begin(), text->end(), isShown))
            return bad(kField, "must have strings NAME:BASE64");
        made.signatures.insert(*text);
    }
    return {};
}

Result<void> readDependencies(const JsonValue& json, Realisation& made)
{
    constexpr std::string_view kField = "dependentRealisations";
    const JsonValue* member = json.member(kField);
    if (member == nullptr)
        return {};
    const JsonValue::Object* items = member->asObject();
    if (items == nullptr)
        return bad(kField, "must be an object");
    if (items->size() > kMaxDependentRealisations)
        return fail(ErrorCode::Exhausted,
                    fmt::format("realisation: depends on {} others; at most {} are read", items->size(),
                                kMaxDependentRealisations));
    for (const auto& [key, value] : *items) {
        PENSTOCK_TRY(RealisationId id, RealisationId::parse(key));
        const std::string* baseName = value.asString();
        if (baseName == nullptr)
            return bad(kField, "must have base names of store paths");
        PENSTOCK_TRY(StorePath path, StorePath::fromBaseName(*baseName));
        if (!made.dependencies.emplace(std::move(id), std::move(path)).second)
            return bad(kField, fmt::format("has {} twice", key));
    }
    return {};
}

// Everything printed here is visible ASCII without a backslash, except that a signature may hold what JSON
// escapes.
void appendString(std::string& out, std::string_view text)
{
    out.push_back('"');
    for (const char c : text) {
        if (c == '"' || c == '\\')
            out.push_back('\\');
        out.push_back(c);
    }
    out.push_back('"');
}

std::string print(const Realisation& realisation, bool isSigned)
{
    std::string out = R"({"dependentRealisations":{)";
    bool first = true;
    for (const auto& [id, path] : realisation.dependencies) {
        if (!std::exchange(first, false))
            out.push_back(',');
        appendString(out, id.print());
        out.push_back(':');
        appendString(out, path.baseName());
    }
    out.append(R"(},"id":)");
    appendString(out, realisation.id.print());
    out.append(R"(,"outPath":)");
    appendString(out, realisation.path.baseName());
    if (isSigned) {
        out.append(R"(,"signatures":[)");
        first = true;
        for (const std::string& signature : realisation.signatures) {
            if (!std::exchange(first, false))
                out.push_back(',');
            appendString(out, signature);
        }
        out.push_back(']');
    }
    out.push_back('}');
    return out;
}

} // namespace

Result<RealisationId> RealisationId::parse(std::string_view text)
{
    constexpr std::string_view kWhat = "id";
    const std::size_t mark = text.find('!');
    constexpr std::string_view kPrefix = "sha256:";
    if (mark == std::string_view::npos || !text.starts_with(kPrefix))
        return bad(kWhat, "must be sha256:HASH!OUTPUT");
    const std::string_view digits = text.substr(kPrefix.size(), mark - kPrefix.size());
    if (digits.size() != 2 * digestSize(HashAlgorithm::Sha256))
        return bad(kWhat, "must have a hash of 64 base 16 digits");
    auto modulo = Hash::parse(digits, HashAlgorithm::Sha256);
    if (!modulo)
        return bad(kWhat, modulo.error().message);
    // One spelling only, since ids are names of files.
    if (modulo->base16() != digits)
        return bad(kWhat, "must be written in lower case");
    const std::string_view output = text.substr(mark + 1);
    if (auto good = checkStoreName(output); !good)
        return bad(kWhat, good.error().message);
    return RealisationId{*modulo, std::string(output)};
}

std::string RealisationId::print() const
{
    return fmt::format("{}!{}", modulo.prefixedBase16(), output);
}

Result<Realisation> parseRealisation(std::string_view json)
{
    if (json.size() > kMaxRealisationBytes)
        return fail(ErrorCode::Exhausted, fmt::format("realisation: has {} bytes; at most {} are read",
                                                      json.size(), kMaxRealisationBytes));
    PENSTOCK_TRY(const JsonValue value, parseJson(json));
    PENSTOCK_TRY(const std::string idText, stringMember(value, "id"));
    PENSTOCK_TRY(RealisationId id, RealisationId::parse(idText));
    PENSTOCK_TRY(const std::string baseName, stringMember(value, "outPath"));
    auto path = StorePath::fromBaseName(baseName);
    if (!path)
        return bad("outPath", path.error().message);
    Realisation made{std::move(id), *std::move(path), {}, {}};
    PENSTOCK_TRY_VOID(readSignatures(value, made));
    PENSTOCK_TRY_VOID(readDependencies(value, made));
    return made;
}

std::string printRealisation(const Realisation& realisation)
{
    return print(realisation, true);
}

std::string fingerprint(const Realisation& realisation)
{
    return print(realisation, false);
}

void sign(Realisation& realisation, const SecretKey& key)
{
    realisation.signatures.insert(key.sign(fingerprint(realisation)));
}

bool isSignedBy(const std::vector<PublicKey>& keys, const Realisation& realisation)
{
    return isSignedBy(keys, {realisation.signatures.begin(), realisation.signatures.end()},
                      fingerprint(realisation));
}

std::string realisationKey(const RealisationId& id)
{
    return fmt::format("{}{}{}", kFolder, id.print(), kSuffix);
}

Result<RealisationId> parseRealisationKey(std::string_view key)
{
    if (!key.starts_with(kFolder) || !key.ends_with(kSuffix) || key.size() < kFolder.size() + kSuffix.size())
        return bad("key", "must be realisations/ID.doi");
    key.remove_prefix(kFolder.size());
    key.remove_suffix(kSuffix.size());
    return RealisationId::parse(key);
}

} // namespace penstock::nix
