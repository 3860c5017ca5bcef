// SPDX-License-Identifier: GPL-3.0-or-later
// InfoMemo: what the store was found to have, so that closures that share most of their paths are not walked from the
// ground each time. Only what was there is kept: nothing is remembered as missing. Bounded (emptied when full) and
// short-lived, as somebody may clean the store behind us. Callable from any thread.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/mutex.h"
#include "shared/nix/narinfo.h"

#include <cstddef>
#include <memory>
#include <unordered_map>

namespace penstock::transfer {

class InfoMemo {
public:
    InfoMemo(const Clock& clock, std::size_t maxInfos, Duration age) : m_clock(clock), m_max(maxInfos), m_age(age) {}

    // Null when not known.
    [[nodiscard]] std::shared_ptr<const nix::NarInfo> find(const nix::StorePath& path);
    void keep(std::shared_ptr<const nix::NarInfo> info);
    void forget(const nix::StorePath& path);

private:
    struct Kept {
        std::shared_ptr<const nix::NarInfo> info;
        Instant until;
    };
    const Clock& m_clock;
    const std::size_t m_max;
    const Duration m_age;
    Mutex m_mutex;
    std::unordered_map<nix::StorePath, Kept> m_infos PENSTOCK_GUARDED_BY(m_mutex);
};

} // namespace penstock::transfer
