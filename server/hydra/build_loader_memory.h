// SPDX-License-Identifier: GPL-3.0-or-later
// What the loader remembers of derivations from one chunk of builds to the next of the same pass over the queue, so
// that what thousands of builds share is read and asked for once. Forgotten with the pass, as all of it changes.
// Bounded: what does not fit is found out anew. Values; one thread.
#pragma once

#include "server/work/spec.h"
#include "shared/nix/store_path.h"

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace penstock::hydra {

// Half of a store path's digest: 80 bits, in a quarter of a path's memory.
struct DrvKey {
    std::array<char, 16> digits{};

    explicit DrvKey(std::string_view digest)
    {
        std::memcpy(digits.data(), digest.data(), std::min(digits.size(), digest.size()));
    }
    explicit DrvKey(const nix::StorePath& path) : DrvKey(path.digest()) {}
    friend auto operator<=>(const DrvKey&, const DrvKey&) = default;
};

struct DrvKeyHash {
    std::size_t operator()(const DrvKey& key) const noexcept
    {
        return std::hash<std::string_view>{}({key.digits.data(), key.digits.size()});
    }
};

// A derivation that has failed before: what a build that needs it is failed with.
struct FailedDerivation {
    std::string drvPath;
    std::string system;
    std::vector<work::NixOutput> outputs;
};

class PassMemory {
public:
    static constexpr std::size_t kMaxEntries = 1'000'000; // of each kind

    [[nodiscard]] bool isLive(const DrvKey& key) const { return m_live.contains(key); }
    [[nodiscard]] bool isPresent(const DrvKey& key) const { return m_present.contains(key); }
    // What it needs that has failed before; null: nothing is known.
    [[nodiscard]] std::shared_ptr<const FailedDerivation> failed(const DrvKey& key) const
    {
        const auto found = m_failed.find(key);
        return found == m_failed.end() ? nullptr : found->second;
    }

    // The farm has a step of it that has not ended, as far as is known.
    void addLive(const DrvKey& key)
    {
        if (m_live.size() < kMaxEntries)
            m_live.insert(key);
    }
    void dropLive(const DrvKey& key) { m_live.erase(key); }
    void addPresent(const DrvKey& key)
    {
        if (m_present.size() < kMaxEntries)
            m_present.insert(key);
    }
    void addFailed(const DrvKey& key, std::shared_ptr<const FailedDerivation> cause)
    {
        if (m_failed.size() < kMaxEntries)
            m_failed.emplace(key, std::move(cause));
    }
    // People clear the list of failed paths and restart builds in one go.
    void forgetFailures() { m_failed.clear(); }
    void clear() { *this = PassMemory(); }

private:
    std::unordered_set<DrvKey, DrvKeyHash> m_live;
    std::unordered_set<DrvKey, DrvKeyHash> m_present;
    std::unordered_map<DrvKey, std::shared_ptr<const FailedDerivation>, DrvKeyHash> m_failed;
};

} // namespace penstock::hydra
