// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/sched/feasible.h"

#include "shared/base/text.h"

#include <algorithm>

namespace penstock::sched {
namespace {

bool has(const std::vector<std::string>& sorted, std::string_view word)
{
    return std::binary_search(sorted.begin(), sorted.end(), word, std::less<>{});
}

std::vector<std::string> sortedSet(std::vector<std::string> words, bool lower = false)
{
    if (lower)
        for (std::string& word : words)
            word = toLower(word);
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    return words;
}

// Nix: "builtin" derivations (builtin:fetchurl and the like) run wherever nix does.
bool runsSystem(const Capability& machine, const std::string& system)
{
    if (system.empty() || has(machine.systems, system))
        return true;
    return system == "builtin" && has(machine.executors, "nix");
}

} // namespace

Capability capabilityOf(const protocol::MachineFacts& facts)
{
    return {.systems = sortedSet(facts.systems),
            .features = sortedSet(facts.features),
            .mandatoryFeatures = sortedSet(facts.mandatoryFeatures),
            .tags = sortedSet(facts.tags, true),
            .users = sortedSet(facts.users),
            .executors = sortedSet(facts.executors),
            .os = toLower(facts.os)};
}

std::optional<Mismatch> mismatch(const work::Placement& placement, const Capability& machine)
{
    if (!placement.executor.empty() && !has(machine.executors, placement.executor))
        return Mismatch{MismatchKind::Executor, placement.executor};
    if (!runsSystem(machine, placement.system))
        return Mismatch{MismatchKind::System, placement.system};
    const bool isNix = placement.executor == "nix";
    for (const std::string& feature : placement.features)
        if (!(isNix && feature == kLocalFeature) && !has(machine.features, feature) &&
            !has(machine.mandatoryFeatures, feature))
            return Mismatch{MismatchKind::Feature, feature};
    for (const std::string& feature : machine.mandatoryFeatures)
        if (std::find(placement.features.begin(), placement.features.end(), feature) == placement.features.end())
            return Mismatch{MismatchKind::MandatoryFeature, feature};
    for (const std::string& tag : placement.tags)
        if (!has(machine.tags, tag))
            return Mismatch{MismatchKind::Tag, tag};
    if (!placement.os.empty() && std::find(placement.os.begin(), placement.os.end(), machine.os) == placement.os.end())
        return Mismatch{MismatchKind::OperatingSystem, machine.os};
    if (!machine.users.empty() && !has(machine.users, placement.user))
        return Mismatch{MismatchKind::User, placement.user};
    return std::nullopt;
}

bool allowsName(const work::Placement& placement, std::string_view machine)
{
    return placement.machines.empty() ||
           std::find(placement.machines.begin(), placement.machines.end(), machine) != placement.machines.end();
}

} // namespace penstock::sched
