// SPDX-License-Identifier: GPL-3.0-or-later
// The stored words of a machine's health. Pure.
#pragma once

#include "server/work/changes.h"

#include <array>
#include <optional>
#include <string_view>

namespace penstock::store::postgres {

inline constexpr std::array<std::string_view, 4> kHealthWords{"healthy", "quarantined", "probing", "parole"};

[[nodiscard]] inline std::string_view healthWord(work::HealthState state)
{
    return kHealthWords.at(static_cast<std::size_t>(state));
}

[[nodiscard]] inline std::optional<work::HealthState> parseHealthWord(std::string_view word)
{
    for (std::size_t value = 0; value < kHealthWords.size(); ++value)
        if (kHealthWords.at(value) == word)
            return static_cast<work::HealthState>(value);
    return std::nullopt;
}

} // namespace penstock::store::postgres
