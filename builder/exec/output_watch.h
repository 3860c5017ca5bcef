// SPDX-License-Identifier: GPL-3.0-or-later
// OutputWatch: what a command has put into its folder, measured every few seconds while it runs and once at its end, so
// that its limit holds. Walks happen on the cleaner's thread and are bounded; all else is on the exec loop, where it is
// built, called and destroyed. Nothing is called after its destruction.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/loop.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace penstock::builder {

inline constexpr std::size_t kMaxMeasuredEntries = 500'000; // of one walk; what lies beyond is not counted
inline constexpr std::chrono::seconds kMeasureEvery{2};     // or ten times as long as the last walk took

// The lengths of all files below the folder, holes and every hard link counted, as an archive of them would. Links are
// not followed; what cannot be read or vanishes meanwhile counts nothing. Blocks.
[[nodiscard]] std::uint64_t measureFolder(const std::string& folder, std::size_t maxEntries = kMaxMeasuredEntries);

class OutputWatch {
public:
    using Found = std::function<void(std::uint64_t bytes)>;

    // found: after every walk. cleaner: a loop that may block. Both loops outlive whatever was posted.
    OutputWatch(Loop& loop, Loop& cleaner, std::string folder, Found found);
    OutputWatch(const OutputWatch&) = delete;
    OutputWatch& operator=(const OutputWatch&) = delete;
    ~OutputWatch();

    // One walk that begins now, then none; its bytes go to last instead.
    void finish(Found last);

private:
    void measureAt(Instant at);
    void measure();
    void arrived(std::uint64_t walk, std::uint64_t bytes);

    Loop& m_loop;
    Loop& m_cleaner;
    std::string m_folder;
    Found m_found;
    bool m_finishing = false;
    std::uint64_t m_walk = 0; // number of the newest one; older ones' results are not wanted
    Instant m_walkBegan;
    std::optional<Loop::TimerId> m_timer;
    std::shared_ptr<const bool> m_alive = std::make_shared<const bool>(true); // for posted tasks
};

} // namespace penstock::builder
