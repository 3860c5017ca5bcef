// SPDX-License-Identifier: GPL-3.0-or-later
// The compact binary form of what no query looks into: a step's spec, the machines it avoids, an attempt's outputs
// and results, and what of a job's spec has no column.
// A version byte, then variable-length integers (7 bits a byte, low first) and strings with their length in front. New
// fields are appended under a new version; old versions stay readable. Decoding checks every length against what is
// there and fails with Corrupt; it never reads past the end. Pure.
#pragma once

#include "server/work/changes.h"
#include "shared/base/result.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::store::postgres {

struct StoredSpec {
    work::StepSpec spec;
    // Of version 1, in which limits were the step's; they count for jobs that have none of their own stored.
    std::optional<work::Limits> formerLimits;
};

// Whether the input paths of a derivation, which may be many, are read or passed over.
enum class Inputs : std::uint8_t { Read, Skipped };

// Without name, which is a column of its own, and without the derivation's text (NixWork::drv).
[[nodiscard]] std::string encodeSpec(const work::StepSpec& spec);
[[nodiscard]] Result<StoredSpec> decodeSpec(std::string_view bytes, std::string_view drv,
                                            Inputs inputs = Inputs::Read);

// Limits and concurrency group; nothing at all for a job that states none. decode sets them in `spec`.
[[nodiscard]] std::string encodeJobSpec(const work::JobSpec& spec);
[[nodiscard]] Result<void> decodeJobSpec(std::string_view bytes, work::JobSpec& spec);

[[nodiscard]] std::string encodeAvoid(const std::vector<MachineId>& machines);
[[nodiscard]] Result<std::vector<MachineId>> decodeAvoid(std::string_view bytes);

[[nodiscard]] std::string encodeOutputs(const std::vector<work::OutputFact>& outputs);
[[nodiscard]] Result<std::vector<work::OutputFact>> decodeOutputs(std::string_view bytes);

// Nothing at all for an attempt that has none.
[[nodiscard]] std::string encodeResults(const work::SharedResults& results);
[[nodiscard]] Result<work::SharedResults> decodeResults(std::string_view bytes);

} // namespace penstock::store::postgres
