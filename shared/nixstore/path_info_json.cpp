// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/text.h"
#include "shared/nix/json.h"
#include "shared/nixstore/cli_store.h"

#include <utility>

#include <fmt/format.h>

namespace penstock::nixstore {
namespace {

using nix::JsonValue;

Result<nix::StorePath> pathOf(const nix::StoreDir& dir, const std::string& text)
{
    return text.starts_with('/') ? nix::StorePath::parse(dir, text) : nix::StorePath::fromBaseName(text);
}

const std::string* textOf(const JsonValue& entry, std::string_view name)
{
    const JsonValue* value = entry.member(name);
    return value != nullptr ? value->asString() : nullptr;
}

const JsonValue::Array& listOf(const JsonValue& entry, std::string_view name)
{
    static const JsonValue::Array kNone;
    const JsonValue* value = entry.member(name);
    const JsonValue::Array* items = value != nullptr ? value->asArray() : nullptr;
    return items != nullptr ? *items : kNone;
}

// A text, or in newer versions {"method": "nar"|"flat"|"text", "hash": SRI or {"algorithm", …}}.
Result<std::string> contentAddressOf(const JsonValue& entry)
{
    const JsonValue* value = entry.member("ca");
    if (value == nullptr || value->asObject() == nullptr) {
        const std::string* text = textOf(entry, "ca");
        return text != nullptr ? *text : std::string();
    }
    const std::string* method = textOf(*value, "method");
    const std::string* hashText = textOf(*value, "hash");
    if (method == nullptr || hashText == nullptr)
        return std::string(); // a form that is not known: the path then needs a signature
    PENSTOCK_TRY(const nix::Hash hash, nix::Hash::parse(*hashText));
    const std::string_view prefix = *method == "text" ? "text:" : *method == "nar" ? "fixed:r:" : "fixed:";
    return fmt::format("{}{}", prefix, hash.prefixedBase32());
}

Result<nix::NarInfo> infoOf(const nix::StoreDir& dir, nix::StorePath path, const JsonValue& entry)
{
    const std::string* hashText = textOf(entry, "narHash");
    const JsonValue* sizeValue = entry.member("narSize");
    const JsonValue::Number* sizeText = sizeValue != nullptr ? sizeValue->asNumber() : nullptr;
    if (hashText == nullptr || sizeText == nullptr)
        return fail(ErrorCode::Corrupt, fmt::format("{}: narHash or narSize is missing", path.baseName()));
    PENSTOCK_TRY(const nix::Hash narHash, nix::Hash::parse(*hashText));
    PENSTOCK_TRY(const std::uint64_t narSize, parseUnsigned(sizeText->text));
    nix::NarInfo info{std::move(path), {}, {}, std::nullopt, std::nullopt, narHash,
                      narSize,         {}, {}, {},           {},           {}};
    for (const JsonValue& reference : listOf(entry, "references")) {
        const std::string* text = reference.asString();
        PENSTOCK_TRY(nix::StorePath needed, pathOf(dir, text != nullptr ? *text : std::string()));
        info.references.insert(std::move(needed));
    }
    if (const std::string* deriver = textOf(entry, "deriver"); deriver != nullptr && !deriver->empty()) {
        PENSTOCK_TRY(info.deriver, pathOf(dir, *deriver));
    }
    for (const JsonValue& signature : listOf(entry, "signatures"))
        if (const std::string* text = signature.asString())
            info.signatures.push_back(*text);
    PENSTOCK_TRY(info.contentAddress, contentAddressOf(entry));
    return info;
}

Result<void> take(const nix::StoreDir& dir, const std::string& pathText, const JsonValue& entry,
                  std::vector<nix::NarInfo>& infos)
{
    const JsonValue* valid = entry.member("valid");
    const bool isInvalid = valid != nullptr && valid->asBool() != nullptr && !*valid->asBool();
    if (entry.asObject() == nullptr || isInvalid)
        return {}; // null in newer versions
    PENSTOCK_TRY(nix::StorePath path, pathOf(dir, pathText));
    PENSTOCK_TRY(nix::NarInfo info, infoOf(dir, std::move(path), entry));
    infos.push_back(std::move(info));
    return {};
}

Result<std::vector<nix::NarInfo>> parseAny(const nix::StoreDir& dir, std::string_view text)
{
    PENSTOCK_TRY(const JsonValue json, nix::parseJson(text));
    std::vector<nix::NarInfo> infos;
    if (const JsonValue::Array* list = json.asArray()) { // until 2.18
        for (const JsonValue& entry : *list) {
            const std::string* path = textOf(entry, "path");
            PENSTOCK_TRY_VOID(take(dir, path != nullptr ? *path : std::string(), entry, infos));
        }
        return infos;
    }
    const JsonValue* wrapped = json.member("info"); // with a format version, in the newest
    const JsonValue::Object* map = wrapped != nullptr ? wrapped->asObject() : json.asObject();
    if (map == nullptr)
        return fail(ErrorCode::Corrupt, "neither a list nor an object");
    for (const auto& [path, entry] : *map)
        PENSTOCK_TRY_VOID(take(dir, path, entry, infos));
    return infos;
}

} // namespace

Result<std::vector<nix::NarInfo>> parsePathInfos(const nix::StoreDir& dir, std::string_view json)
{
    auto infos = parseAny(dir, json);
    if (!infos)
        return fail(ErrorCode::Corrupt, "nix path-info --json: " + infos.error().message);
    return infos;
}

} // namespace penstock::nixstore
