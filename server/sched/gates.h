// SPDX-License-Identifier: GPL-3.0-or-later
// Gates: limits on how many steps of a concurrency group, or steps and cpus of a namespace, run at once. A gate is
// counted by its users and its running steps, and forgotten with the last. Integers. One thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace penstock::sched {

using GateIndex = std::uint32_t; // 0: none

struct GateLimits { // 0: none
    std::uint32_t steps = 0;
    std::uint32_t cpus = 0;
    friend bool operator==(const GateLimits&, const GateLimits&) = default;
};

enum class GateScope : std::uint8_t { Namespace, Concurrency };

struct GateKey {
    GateScope scope = GateScope::Namespace;
    std::string nameSpace;
    std::string group; // of concurrency gates
    friend auto operator<=>(const GateKey&, const GateKey&) = default;
};

// A step passes all of these; 0 entries do not count.
using GateSet = std::array<GateIndex, 2>;

class Gates {
public:
    struct Gate {
        const GateKey* key = nullptr; // null: free
        GateLimits limits;
        std::uint64_t users = 0; // whoever acquired it
        std::uint64_t steps = 0; // running
        std::uint64_t cpus = 0;
    };

    [[nodiscard]] GateIndex acquire(const GateKey& key);
    void release(GateIndex gate);
    // True when it may have opened for somebody.
    [[nodiscard]] bool setLimits(GateIndex gate, GateLimits limits);
    [[nodiscard]] GateIndex find(const GateKey& key) const; // 0: none

    // The first of them that has no room for one more step with so many cpus; 0: all have.
    [[nodiscard]] GateIndex closedFor(const GateSet& gates, std::uint32_t cpus) const;
    void enter(const GateSet& gates, std::uint32_t cpus);
    void leave(const GateSet& gates, std::uint32_t cpus);

    [[nodiscard]] const Gate& at(GateIndex gate) const { return m_gates[gate]; }

private:
    void dropUnused(GateIndex gate);
    std::map<GateKey, GateIndex> m_index;
    std::vector<Gate> m_gates{Gate{}}; // the first stands for none
    std::vector<GateIndex> m_free;
};

} // namespace penstock::sched
