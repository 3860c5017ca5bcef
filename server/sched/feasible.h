// SPDX-License-Identifier: GPL-3.0-or-later
// Can a step run on a machine at all, whatever its load; and if not, why not. Pure, callable from any thread.
#pragma once

#include "server/work/spec.h"
#include "shared/protocol/link_values.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::sched {

// The part of a machine's facts that decides which work it can do. Machines with equal capability are planned as one
// group; the name is apart, because it would make every machine a group of its own.
struct Capability {
    std::vector<std::string> systems; // each list sorted, without repeats, tags and os in lower case
    std::vector<std::string> features;
    std::vector<std::string> mandatoryFeatures;
    std::vector<std::string> tags;
    std::vector<std::string> users;
    std::vector<std::string> executors;
    std::string os;
    friend auto operator<=>(const Capability&, const Capability&) = default;
};
[[nodiscard]] Capability capabilityOf(const protocol::MachineFacts& facts);

// Of derivations that say preferLocalBuild: no machine needs it, but one for which it is mandatory takes only those.
inline constexpr std::string_view kLocalFeature = "local";

enum class MismatchKind : std::uint8_t {
    Executor,
    System,
    Feature,
    MandatoryFeature,
    Tag,
    OperatingSystem,
    User,
};
struct Mismatch {
    MismatchKind kind;
    std::string what; // the word in question: the missing feature, the system asked for, …
    friend auto operator<=>(const Mismatch&, const Mismatch&) = default;
};

// The first reason why not, apart from the machine's name; nothing: it can.
[[nodiscard]] std::optional<Mismatch> mismatch(const work::Placement& placement, const Capability& machine);
[[nodiscard]] bool allowsName(const work::Placement& placement, std::string_view machine);

} // namespace penstock::sched
