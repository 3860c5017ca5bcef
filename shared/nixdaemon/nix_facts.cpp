// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixdaemon/nix_facts.h"

#include "shared/base/text.h"
#include "shared/nix/json.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace penstock::nixdaemon {
namespace {

constexpr std::size_t kMaxWords = 1000;
constexpr std::size_t kMaxWordLength = 256;
constexpr std::string_view kCaDerivations = "ca-derivations";

// A setting's value as words: newer Nix gives lists, older text.
Result<std::vector<std::string>> words(const nix::JsonValue& config, std::string_view setting)
{
    std::vector<std::string> found;
    const nix::JsonValue* entry = config.member(setting);
    const nix::JsonValue* value = entry != nullptr ? entry->member("value") : nullptr;
    if (value == nullptr)
        return found;
    if (const std::string* text = value->asString()) {
        for (const std::string_view word : split(*text, ' '))
            if (!trim(word).empty())
                found.emplace_back(trim(word));
    } else if (const nix::JsonValue::Array* items = value->asArray()) {
        for (const nix::JsonValue& item : *items)
            if (const std::string* word = item.asString())
                found.push_back(*word);
    }
    for (const std::string& word : found)
        if (found.size() > kMaxWords || word.size() > kMaxWordLength)
            return fail(ErrorCode::Exhausted,
                        fmt::format("nix setting {} has more than {} words, or one longer than {}", setting,
                                    kMaxWords, kMaxWordLength));
    return found;
}

// Newer Nix names the experimental features that are on; 2.4 to 2.13 give their numbers, of which this one's is 0.
Result<bool> isCaDerivationsOn(const nix::JsonValue& config)
{
    PENSTOCK_TRY(const auto names, words(config, "experimental-features"));
    if (std::find(names.begin(), names.end(), kCaDerivations) != names.end())
        return true;
    const nix::JsonValue* entry = config.member("experimental-features");
    const nix::JsonValue* value = entry != nullptr ? entry->member("value") : nullptr;
    const nix::JsonValue::Array* items = value != nullptr ? value->asArray() : nullptr;
    return items != nullptr && std::any_of(items->begin(), items->end(), [](const nix::JsonValue& item) {
               return item.asNumber() != nullptr && item.asNumber()->text == "0";
           });
}

} // namespace

Result<ShowConfig> parseShowConfig(std::string_view json)
{
    auto config = nix::parseJson(json);
    if (!config)
        return fail(std::move(config.error()).in("nix show-config"));
    ShowConfig result;
    PENSTOCK_TRY(result.systems, words(*config, "system"));
    if (result.systems.size() != 1)
        return fail(ErrorCode::Invalid, "nix show-config: names no system; is this its output with --json?");
    PENSTOCK_TRY(const auto extra, words(*config, "extra-platforms"));
    for (const std::string& platform : extra)
        if (std::find(result.systems.begin(), result.systems.end(), platform) == result.systems.end())
            result.systems.push_back(platform);
    PENSTOCK_TRY(const auto features, words(*config, "system-features"));
    result.features.insert(features.begin(), features.end());
    PENSTOCK_TRY(const bool hasCaDerivations, isCaDerivationsOn(*config));
    if (hasCaDerivations)
        result.features.emplace(kCaDerivations);
    return result;
}

Result<NixFacts> queryFacts(const std::string& socketPath, const DaemonOptions& options,
                            std::string_view showConfigJson)
{
    PENSTOCK_TRY(ShowConfig config, parseShowConfig(showConfigJson));
    PENSTOCK_TRY(const auto connection, DaemonConnection::open(socketPath, options));
    PENSTOCK_TRY(const Trust trust, connection->findTrust());
    const Greeting& greeting = connection->greeting();
    return NixFacts{greeting.nixVersion, greeting.minor, trust, options.storeDir, std::move(config)};
}

} // namespace penstock::nixdaemon
