// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/replica/reason_words.h"

#include <algorithm>
#include <array>

namespace penstock::gui {

namespace {

using namespace std::string_view_literals;

struct Entry {
    std::string_view code;
    ReasonKind kind;
    std::string_view words;
};

constexpr std::array kReasons = {
    Entry{"inputs-not-built"sv, ReasonKind::Inputs, "waits for other steps"sv},
    Entry{"failed-input"sv, ReasonKind::Inputs, "an input has failed"sv},
    Entry{"unsupported-system"sv, ReasonKind::Machines, "system not supported"sv},
    Entry{"missing-feature"sv, ReasonKind::Machines, "features missing"sv},
    Entry{"mandatory-feature-mismatch"sv, ReasonKind::Machines, "machines kept for other work"sv},
    Entry{"missing-executor"sv, ReasonKind::Machines, "executor missing"sv},
    Entry{"missing-tag"sv, ReasonKind::Machines, "tags missing"sv},
    Entry{"wrong-os"sv, ReasonKind::Machines, "wrong operating system"sv},
    Entry{"user-not-allowed"sv, ReasonKind::Machines, "user not allowed"sv},
    Entry{"machine-not-named"sv, ReasonKind::Machines, "machine not named"sv},
    Entry{"missing-resources"sv, ReasonKind::Machines, "machines too small"sv},
    Entry{"all-draining"sv, ReasonKind::Machines, "machines drain"sv},
    Entry{"all-quarantined"sv, ReasonKind::Machines, "machines quarantined"sv},
    Entry{"all-lost"sv, ReasonKind::Machines, "machines away"sv},
    Entry{"gated-cpu"sv, ReasonKind::Pressure, "CPU pressure too high"sv},
    Entry{"gated-mem"sv, ReasonKind::Pressure, "memory pressure too high"sv},
    Entry{"gated-io"sv, ReasonKind::Pressure, "disk pressure too high"sv},
    Entry{"gated-load"sv, ReasonKind::Pressure, "load too high"sv},
    Entry{"disk-low"sv, ReasonKind::Pressure, "too little free disk"sv},
    Entry{"memory-low"sv, ReasonKind::Pressure, "too little free memory"sv},
    Entry{"slots-full"sv, ReasonKind::Busy, "no free slot"sv},
    Entry{"resources-full"sv, ReasonKind::Busy, "CPUs or memory taken"sv},
    Entry{"machine-reserved"sv, ReasonKind::Busy, "machine kept for a bigger step"sv},
    Entry{"machine-avoided"sv, ReasonKind::Busy, "avoids a machine that failed it"sv},
    Entry{"behind-higher-priority"sv, ReasonKind::Order, "behind higher priority"sv},
    Entry{"jobset-share"sv, ReasonKind::Order, "its group has had its share"sv},
    Entry{"behind-in-queue"sv, ReasonKind::Order, "behind others in the queue"sv},
    Entry{"retry-backoff"sv, ReasonKind::Order, "waits for its retry time"sv},
    Entry{"held"sv, ReasonKind::Operator, "held by a person"sv},
    Entry{"dispatch-paused"sv, ReasonKind::Operator, "dispatch is paused"sv},
    Entry{"concurrency-limit"sv, ReasonKind::Order, "limit of its concurrency group"sv},
    Entry{"namespace-limit"sv, ReasonKind::Order, "limit of its namespace"sv},
    Entry{"server-busy"sv, ReasonKind::Farm, "the server is behind"sv},
    Entry{"database-away"sv, ReasonKind::Farm, "the database is away"sv},
    Entry{"cancelled-pending"sv, ReasonKind::Operator, "being cancelled"sv},
    Entry{"starting"sv, ReasonKind::Farm, "about to start"sv},
    Entry{"running"sv, ReasonKind::Farm, "runs"sv},
    Entry{"connecting"sv, ReasonKind::Farm, "connecting to its machine"sv},
    Entry{"sending-inputs"sv, ReasonKind::Farm, "inputs are being sent"sv},
    Entry{"finished"sv, ReasonKind::Farm, "finished"sv},
};

struct Stage {
    std::string_view stage;
    std::string_view words;
};

constexpr std::array kStages = {
    Stage{"known"sv, "are known"sv},
    Stage{"named"sv, "may run it by name"sv},
    Stage{"executor"sv, "can execute it"sv},
    Stage{"system"sv, "have its system"sv},
    Stage{"features"sv, "have its features"sv},
    Stage{"other"sv, "fit its tags, user and size"sv},
    Stage{"enabled"sv, "take work"sv},
    Stage{"connected"sv, "are connected"sv},
    Stage{"not_gated"sv, "are below their gates"sv},
    Stage{"room"sv, "have room"sv},
    Stage{"allowed"sv, "are free for it"sv},
};

} // namespace

std::string spaced(std::string_view name)
{
    std::string words(name);
    std::replace_if(words.begin(), words.end(), [](char letter) { return letter == '-' || letter == '_'; }, ' ');
    return words;
}

ReasonWords wordsOfReason(std::string_view code)
{
    const auto* found =
        std::find_if(kReasons.begin(), kReasons.end(), [&](const Entry& entry) { return entry.code == code; });
    if (found == kReasons.end())
        return {ReasonKind::Unknown, code.empty() ? "no reason told" : spaced(code)};
    return {found->kind, std::string(found->words)};
}

std::string wordsOfStage(std::string_view stage)
{
    const auto* found =
        std::find_if(kStages.begin(), kStages.end(), [&](const Stage& entry) { return entry.stage == stage; });
    return found == kStages.end() ? spaced(stage) : std::string(found->words);
}

} // namespace penstock::gui
