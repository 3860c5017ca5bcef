// SPDX-License-Identifier: GPL-3.0-or-later
// What the threads of the intake share: the counters, and which shares the farm was told of. Any thread.
#pragma once

#include "server/hydra/farm_port.h"
#include "server/hydra/intake.h"
#include "shared/base/log.h"
#include "shared/base/mutex.h"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace penstock::hydra {

class CounterBoard {
public:
    enum Part : std::size_t { Listener, Loader };

    template <class Change> void change(const Change& change)
    {
        const MutexLock lock(m_mutex);
        change(m_counters);
    }
    void connected(bool isNow)
    {
        change([isNow](IntakeCounters& counters) { counters.connections += isNow ? 1U : ~0U; });
    }
    void setError(Part part, std::string text) // empty: it is over
    {
        const MutexLock lock(m_mutex);
        m_errors[part] = std::move(text);
    }
    [[nodiscard]] IntakeCounters get() const
    {
        const MutexLock lock(m_mutex);
        IntakeCounters counters = m_counters;
        counters.lastError = m_errors[Listener].empty() ? m_errors[Loader] : m_errors[Listener];
        return counters;
    }

private:
    mutable Mutex m_mutex;
    IntakeCounters m_counters PENSTOCK_GUARDED_BY(m_mutex);
    std::array<std::string, 2> m_errors PENSTOCK_GUARDED_BY(m_mutex);
};

// Bounded by the jobsets there are.
class ShareBoard {
public:
    ShareBoard(FarmPort& farm, Logger& logger) : m_farm(farm), m_logger(logger), m_told(std::make_shared<Told>()) {}

    // Called when the shares are to be read again and set. Once, before the first of them; any thread calls it, also
    // after the board is gone.
    void whenInDoubt(std::function<void()> readAgain) { m_told->readAgain = std::move(readAgain); }

    // As they were read just now. Tells the farm when it does not know yet.
    void set(const std::string& group, std::uint32_t shares)
    {
        const MutexLock lock(m_order);
        if (m_told->known(group) != shares)
            tell(group, shares);
    }
    // As they were read a while ago: they may have been changed since.
    void suggest(const std::string& group, std::uint32_t shares)
    {
        const MutexLock lock(m_order);
        const auto known = m_told->known(group);
        if (!known)
            tell(group, shares);
        else if (*known != shares)
            m_told->readAgain();
    }

private:
    class Told {
    public:
        [[nodiscard]] std::optional<std::uint32_t> known(const std::string& group) const
        {
            const MutexLock lock(m_mutex);
            const auto found = m_shares.find(group);
            return found == m_shares.end() ? std::nullopt : std::optional(found->second);
        }
        void remember(const std::string& group, std::uint32_t shares)
        {
            const MutexLock lock(m_mutex);
            m_shares.insert_or_assign(group, shares);
        }
        void forget(const std::string& group)
        {
            const MutexLock lock(m_mutex);
            m_shares.erase(group);
        }
        std::function<void()> readAgain; // never changed while it may be called

    private:
        mutable Mutex m_mutex;
        std::map<std::string, std::uint32_t> m_shares PENSTOCK_GUARDED_BY(m_mutex);
    };

    void tell(const std::string& group, std::uint32_t shares) PENSTOCK_REQUIRES(m_order)
    {
        m_told->remember(group, shares);
        m_farm.setShares(group, shares, [told = m_told, group, &logger = m_logger](const Result<void>& done) {
            if (done)
                return;
            told->forget(group);
            logger.warning("hydra.shares_refused", {{"group", group}, {"error", done.error().message}});
            told->readAgain();
        });
    }

    FarmPort& m_farm;
    Logger& m_logger;
    Mutex m_order; // what is remembered last is what the farm is told last
    std::shared_ptr<Told> m_told;
};

} // namespace penstock::hydra
