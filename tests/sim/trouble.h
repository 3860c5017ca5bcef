// SPDX-License-Identifier: GPL-3.0-or-later
// Trouble: everything that goes wrong in a run, and its end. One thread.
#pragma once

#include "tests/sim/site.h"

namespace penstock::sim {

class Trouble {
public:
    explicit Trouble(Site& site) : m_site(site), m_faults(site.plan.faults) {}

    void disturb(); // about once a second
    void heal();    // from now on nothing breaks any more

private:
    void disturbLinks(SimBuilder& builder);
    void disturbBuilder(SimBuilder& builder);
    void disturbServer();
    void people();
    void removeGone(const std::string& name);
    [[nodiscard]] protocol::LoadSample othersLoad();

    Site& m_site;
    const Faults m_faults;
};

} // namespace penstock::sim
