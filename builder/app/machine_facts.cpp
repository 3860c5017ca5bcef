// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/app/machine_facts.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::builder {
namespace {

bool isAsked(const BuilderOptions& options, std::string_view executor)
{
    return !options.executors || std::ranges::find(*options.executors, executor) != options.executors->end();
}

void addNix(GatheredFacts& to, nixdaemon::NixFacts nix)
{
    protocol::MachineFacts& facts = to.facts;
    facts.executors.emplace_back("nix");
    facts.systems = nix.config.systems;
    facts.features.assign(nix.config.features.begin(), nix.config.features.end());
    facts.storeDir = nix.storeDir.text();
    facts.nixVersion = nix.nixVersion;
    facts.nixTrusted = nix.trust == nixdaemon::Trust::Trusted;
    to.nix = std::move(nix);
}

} // namespace

GatheredFacts composeFacts(const BuilderOptions& options, const Hardware& hardware, Result<nixdaemon::NixFacts> nix,
                           const std::string& nativeSystem)
{
    GatheredFacts gathered;
    protocol::MachineFacts& facts = gathered.facts;
    facts.name = options.name;
    facts.systems = {nativeSystem};
    if (isAsked(options, "command"))
        facts.executors.emplace_back("command");
    if (isAsked(options, "nix")) {
        if (nix)
            addNix(gathered, *std::move(nix));
        else if (options.executors)
            gathered.notes.push_back(fmt::format("the executor nix was asked for: {}", nix.error().message));
    }
    if (options.executors && isAsked(options, "container"))
        gathered.notes.emplace_back("the executor container was asked for; this version does not have it");
    facts.systems = options.systems.value_or(facts.systems);
    facts.features = options.features.value_or(facts.features);
    facts.mandatoryFeatures = options.mandatoryFeatures;
    for (const std::string& feature : options.mandatoryFeatures) { // what is asked for must be there too
        if (std::ranges::find(facts.features, feature) == facts.features.end())
            facts.features.push_back(feature);
    }
    facts.tags = options.tags;
    facts.users = options.users;
    facts.cores = hardware.cores;
    facts.maxJobs = options.maxJobs > 0 ? options.maxJobs : std::min(hardware.cores, protocol::kMaxSlots);
    facts.memoryBytes = hardware.memoryBytes;
    facts.speedFactor = options.speedFactor;
    facts.os = nativeSystem.substr(nativeSystem.find('-') + 1);
    facts.thresholds = options.thresholds;
    facts.resources = options.resources;
    facts.bogomips = hardware.bogomips;
    return gathered;
}

GatheredFacts gatherFacts(const BuilderOptions& options)
{
    auto nix = isAsked(options, "nix") ? probeNix(options.nix)
                                       : Result<nixdaemon::NixFacts>(fail(ErrorCode::NotFound, "not asked for"));
    return composeFacts(options, readHardware(), std::move(nix), nativeSystem());
}

} // namespace penstock::builder
