// SPDX-License-Identifier: GPL-3.0-or-later
// The JSON of Hydra's queue runner: its keys, in its order. What a key meant there and means here where that differs is
// in docs/hydra.md. Pure.
#pragma once

#include "server/http/hydra_gateway.h"
#include "server/http/json_writer.h"

#include <cstdint>

namespace penstock::http {

void writeHydraMachine(JsonWriter& out, const HydraMachine& machine);
void writeHydraJobset(JsonWriter& out, const HydraJobset& jobset);
void writeHydraBuild(JsonWriter& out, const HydraBuild& build);
void writeHydraStep(JsonWriter& out, const HydraStep& step);     // of /status/steps
void writeHydraStepInfo(JsonWriter& out, const HydraStep& step); // of the queues

struct ProcessUse { // of this process, from /proc/self/statm
    std::int64_t pid = 0;
    std::uint64_t virtualBytes = 0;
    std::uint64_t residentBytes = 0;
    std::uint64_t sharedBytes = 0;
};
[[nodiscard]] ProcessUse processUse(); // reads it
void writeHydraFarm(JsonWriter& out, const HydraFarm& farm, const ProcessUse& use);

} // namespace penstock::http
