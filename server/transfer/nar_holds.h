// SPDX-License-Identifier: GPL-3.0-or-later
// NarHolds: whose NARs lie in the store without being shown yet. NARs are kept under their content's name, so that two
// paths may share one file: what nobody publishes may be removed only when nobody else holds it, it was not there
// before, and nothing that was published since needs it. Belongs to one loop.
#pragma once

#include "shared/nix/hash.h"

#include <map>
#include <set>

namespace penstock::transfer {

class NarHolds {
public:
    // False while the file is being removed: the sender tries again.
    [[nodiscard]] bool hold(const nix::Hash& nar)
    {
        if (m_removing.contains(nar))
            return false;
        ++m_holds[nar].count;
        return true;
    }
    // It was there before, or something shown needs it.
    void keep(const nix::Hash& nar)
    {
        if (const auto found = m_holds.find(nar); found != m_holds.end())
            found->second.kept = true;
    }
    // True: nobody needs it, and removed() is to be called when it is gone.
    [[nodiscard]] bool release(const nix::Hash& nar, bool isStored)
    {
        const auto found = m_holds.find(nar);
        if (found == m_holds.end())
            return false;
        found->second.stored = found->second.stored || isStored;
        if (--found->second.count > 0)
            return false;
        const bool remove = found->second.stored && !found->second.kept;
        m_holds.erase(found);
        if (remove)
            m_removing.insert(nar);
        return remove;
    }
    void removed(const nix::Hash& nar) { m_removing.erase(nar); }

private:
    struct Hold {
        unsigned count = 0;
        bool kept = false;
        bool stored = false;
    };
    std::map<nix::Hash, Hold> m_holds; // as many as items of sessions at most
    std::set<nix::Hash> m_removing;
};

} // namespace penstock::transfer
