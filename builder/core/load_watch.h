// SPDX-License-Identifier: GPL-3.0-or-later
// LoadWatch: when the load has changed so much that the server should hear of it before the next heartbeat, so that its
// gates close and open within about two seconds. Samples in, "report now" out. Pure; belongs to the main loop.
#pragma once

#include "shared/protocol/link_values.h"

#include <chrono>
#include <optional>
#include <string>

namespace penstock::builder {

// How often to look while something runs or is over its threshold, and the least time between two reports of ours.
inline constexpr std::chrono::seconds kLookEvery{1};
// The server may use other thresholds than ours, so a pressure that moved by so many points is told as well.
inline constexpr double kPressureStep = 10;

// What is beyond the machine's own thresholds: above for pressure and load, below for what must stay free.
struct LoadClass {
    bool cpuPressure = false;
    bool memoryPressure = false;
    bool ioPressure = false;
    bool load = false;
    bool disk = false;
    bool memory = false;
    bool inodes = false;
    friend bool operator==(const LoadClass&, const LoadClass&) = default;
    [[nodiscard]] bool isOver() const { return *this != LoadClass{}; }
};
[[nodiscard]] LoadClass classify(const protocol::LoadSample& load, const protocol::Thresholds& thresholds);

// Why nothing new can be taken: disk, memory or inodes below the threshold, with both numbers; empty: it can. Pressure
// and load only slow work down; whether that matters is for the server to judge.
[[nodiscard]] std::string shortageOf(const protocol::LoadSample& load, const protocol::Thresholds& thresholds);

class LoadWatch {
public:
    explicit LoadWatch(const protocol::Thresholds& thresholds) : m_thresholds(thresholds) {}

    // A report with this load has left, for whatever reason.
    void reported(const protocol::LoadSample& load, Instant now);
    void attemptEnded() { m_ended = true; }
    // The server should hear of this load now.
    [[nodiscard]] bool isDue(const protocol::LoadSample& load, Instant now) const;
    // Look again after kLookEvery, not only with the next heartbeat.
    [[nodiscard]] bool wantsLook(bool isRunning) const;

private:
    [[nodiscard]] bool isNews(const protocol::LoadSample& load) const;

    protocol::Thresholds m_thresholds;
    std::optional<protocol::LoadSample> m_told; // in the last report
    Instant m_toldAt;
    bool m_ended = false; // since then
};

} // namespace penstock::builder
