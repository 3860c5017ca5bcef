// SPDX-License-Identifier: GPL-3.0-or-later
// PassList: the builds that were new when a pass over the queue began, each given out once, in their order or by their
// derivation. About 40 bytes a build. Pure.
#pragma once

#include "server/hydra/queue_diff.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace penstock::hydra {

class PassList {
public:
    PassList() = default;
    explicit PassList(std::vector<NewBuild> builds) : m_builds(std::move(builds)), m_isTaken(m_builds.size(), false)
    {
        m_byDerivation.reserve(m_builds.size());
        for (std::uint32_t at = 0; at < m_builds.size(); ++at)
            m_byDerivation.push_back(at);
        std::ranges::sort(m_byDerivation, {}, [this](std::uint32_t at) { return m_builds[at].derivation; });
    }

    [[nodiscard]] std::size_t left() const { return m_builds.size() - m_takenCount; }

    [[nodiscard]] std::vector<BuildId> take(std::size_t most)
    {
        std::vector<BuildId> taken;
        for (; m_next < m_builds.size() && taken.size() < most; ++m_next)
            takeAt(m_next, taken);
        return taken;
    }

    [[nodiscard]] std::vector<BuildId> takeOf(std::span<const DrvKey> derivations, std::size_t most)
    {
        std::vector<BuildId> taken;
        const auto keyAt = [this](std::uint32_t at) { return m_builds[at].derivation; };
        for (const DrvKey& derivation : derivations) {
            auto found = std::ranges::lower_bound(m_byDerivation, derivation, {}, keyAt);
            for (; found != m_byDerivation.end() && keyAt(*found) == derivation && taken.size() < most; ++found)
                takeAt(*found, taken);
        }
        return taken;
    }

private:
    void takeAt(std::size_t at, std::vector<BuildId>& into)
    {
        if (m_isTaken[at])
            return;
        m_isTaken[at] = true;
        ++m_takenCount;
        into.push_back(m_builds[at].id);
    }

    std::vector<NewBuild> m_builds;
    std::vector<bool> m_isTaken;
    std::vector<std::uint32_t> m_byDerivation; // places, in the order of derivations
    std::size_t m_next = 0;
    std::size_t m_takenCount = 0;
};

} // namespace penstock::hydra
