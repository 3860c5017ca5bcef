// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/build_needs.h"

#include "shared/nix/json.h"

#include <string_view>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

constexpr std::string_view kSpace = " \t\n\r";

void readWords(std::string_view text, std::set<std::string>& words)
{
    for (std::size_t at = text.find_first_not_of(kSpace); at != std::string_view::npos;) {
        const std::size_t stop = text.find_first_of(kSpace, at);
        words.emplace(text.substr(at, stop - at));
        at = stop == std::string_view::npos ? stop : text.find_first_not_of(kSpace, stop);
    }
}

void readPlain(const Derivation& drv, BuildNeeds& needs)
{
    const auto& variables = drv.environment;
    if (const auto it = variables.find("requiredSystemFeatures"); it != variables.end())
        readWords(it->second, needs.features);
    if (const auto it = variables.find("preferLocalBuild"); it != variables.end())
        needs.preferLocalBuild = it->second == "1";
    if (const auto it = variables.find("allowSubstitutes"); it != variables.end())
        needs.allowSubstitutes = it->second == "1";
}

Result<void> readFlag(const JsonValue& attributes, std::string_view name, bool& flag)
{
    const JsonValue* value = attributes.member(name);
    if (value == nullptr)
        return {};
    const bool* known = value->asBool();
    if (known == nullptr)
        return fail(ErrorCode::Invalid, fmt::format("structured attribute {} must be true or false", name));
    flag = *known;
    return {};
}

Result<void> readStructured(const std::string& json, BuildNeeds& needs)
{
    auto attributes = parseJson(json);
    if (!attributes)
        return fail(std::move(attributes.error()).in("structured attributes"));
    if (attributes->asObject() == nullptr)
        return fail(ErrorCode::Invalid, "structured attributes must be a JSON object");
    PENSTOCK_TRY_VOID(readFlag(*attributes, "preferLocalBuild", needs.preferLocalBuild));
    PENSTOCK_TRY_VOID(readFlag(*attributes, "allowSubstitutes", needs.allowSubstitutes));
    const JsonValue* features = attributes->member("requiredSystemFeatures");
    if (features == nullptr)
        return {};
    if (features->asArray() == nullptr)
        return fail(ErrorCode::Invalid,
                    "structured attribute requiredSystemFeatures must be a list of strings");
    for (const JsonValue& feature : *features->asArray()) {
        if (feature.asString() == nullptr)
            return fail(ErrorCode::Invalid,
                        "structured attribute requiredSystemFeatures must be a list of strings");
        needs.features.insert(*feature.asString());
    }
    return {};
}

} // namespace

Result<BuildNeeds> readBuildNeeds(const Derivation& drv)
{
    BuildNeeds needs;
    needs.system = drv.platform;
    needs.isBuiltin = drv.isBuiltin();
    if (const auto json = drv.environment.find("__json"); json != drv.environment.end()) {
        PENSTOCK_TRY_VOID(readStructured(json->second, needs));
    } else {
        readPlain(drv, needs);
    }
    const OutputKind kind = drv.outputKind();
    if (kind == OutputKind::Floating || kind == OutputKind::Deferred)
        needs.features.insert("ca-derivations");
    return needs;
}

} // namespace penstock::nix
