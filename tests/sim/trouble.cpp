// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/trouble.h"

#include <algorithm>

namespace penstock::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

void Trouble::disturbLinks(SimBuilder& builder)
{
    Random& random = m_site.world.random;
    if (random.chance(30))
        builder.cutLink(random.chance(40));
    if (random.chance(10)) {
        builder.setNetwork(false);
        builder.cutLink(true);
        m_site.world.after(random.duration(seconds(1), seconds(40)),
                           [&builder] { builder.setNetwork(true); });
    }
}

protocol::LoadSample Trouble::othersLoad()
{
    Random& random = m_site.world.random;
    protocol::LoadSample load;
    load.load1 = static_cast<double>(random.between(0, 12));
    if (random.chance(50)) {
        load.pressure.emplace();
        load.pressure->cpu.someAvg10 = static_cast<double>(random.between(0, 100));
        load.pressure->memory.fullAvg10 = static_cast<double>(random.between(0, 20));
        load.pressure->io.fullAvg10 = static_cast<double>(random.between(0, 40));
    }
    load.cpuBusyPercent = static_cast<double>(random.between(0, 60));
    load.diskFreeBytes = random.between(1, 50) << 30U;
    load.diskTotalInodes = 1'000'000;
    load.diskFreeInodes = random.between(1, 1'000'000);
    m_site.world.reach("pressure");
    return load;
}

void Trouble::disturbBuilder(SimBuilder& builder)
{
    Random& random = m_site.world.random;
    if (m_faults.builders && random.chance(15)) {
        builder.crash();
        m_site.world.after(random.duration(milliseconds(100), seconds(40)), [&builder] { builder.start(); });
    }
    if (m_faults.builders)
        builder.lie();
    if (m_faults.pressure && random.chance(20))
        builder.setLoad(random.chance(40) ? protocol::LoadSample{} : othersLoad());
    if (m_faults.people && random.chance(3)) {
        builder.drain(true);
        m_site.world.after(random.duration(seconds(1), seconds(20)), [&builder] { builder.drain(false); });
    }
}

void Trouble::disturbServer()
{
    Random& random = m_site.world.random;
    SimServer& server = m_site.server;
    if (m_faults.server && server.isUp() && random.chance(8)) {
        server.crash(random.between(0, server.inFlight()));
        m_site.world.after(random.duration(milliseconds(50), seconds(12)), [&server] { server.start(); });
    }
    if (m_faults.disk && random.chance(10)) {
        const Duration latency = random.duration(milliseconds(1), milliseconds(400));
        server.setDisk(latency, false);
        m_site.world.after(random.duration(milliseconds(10), seconds(15)),
                           [&server, latency] { server.setDisk(latency, true); });
    }
}

void Trouble::people()
{
    Random& random = m_site.world.random;
    if (!m_site.known.empty() && random.chance(12)) {
        const JobId job = m_site.known.at(random.between(0, m_site.known.size() - 1));
        m_site.ledger.cancelAsked(job);
        m_site.order("cancel", core::CancelJob{RequestId(0), job, "sim"});
    }
    if (random.chance(8)) {
        const std::vector<JobId> bad = m_site.ledger.finishedBadly();
        if (!bad.empty()) {
            const JobId job = bad.at(random.between(0, bad.size() - 1));
            m_site.ledger.reopenAsked(job);
            m_site.server.reopenJob(job, [this](const auto& answer) {
                m_site.world.reach(answer ? "reopen.done"
                                          : fmt::format("reopen.{}", toString(answer.error().code)));
            });
        }
    }
    if (random.chance(3)) {
        const std::string name = fmt::format("m{}", random.between(0, 5));
        m_site.order("drain", core::DrainMachine{RequestId(0), name, true, "sim"});
        m_site.world.after(random.duration(seconds(1), seconds(10)), [this, name] {
            m_site.order("drain", core::DrainMachine{RequestId(0), name, false, ""});
        });
    }
}

void Trouble::disturb()
{
    if (m_site.plan.isCalm)
        return;
    SimBuilder& builder = m_site.anyBuilder();
    if (m_faults.people)
        people();
    if (m_faults.links)
        disturbLinks(builder);
    disturbBuilder(builder);
    disturbServer();
}

// An operator takes it off the list, as soon as its attempts are given up.
void Trouble::removeGone(const std::string& name)
{
    m_site.server.order(core::RemoveMachine{RequestId(0), name}, [this](const auto& answer) {
        m_site.world.reach(answer ? "remove.done" : fmt::format("remove.{}", toString(answer.error().code)));
    });
    m_site.world.after(seconds(60), [this, name] {
        if (m_site.ledger.unfinished() > 0)
            removeGone(name);
    });
}

void Trouble::heal()
{
    Random& random = m_site.world.random;
    std::size_t goneForEver = 0;
    if (m_faults.builders && random.chance(50))
        goneForEver = random.between(2, 5);
    if (m_faults.server && random.chance(50))
        m_site.server.crash(m_site.server.inFlight());
    if (m_faults.duplicate)
        m_site.builders.back()->retire();
    m_site.server.setDisk(milliseconds(2), true);
    m_site.server.start();
    for (std::size_t i = 0; i < m_site.builders.size() - (m_faults.duplicate ? 1 : 0); ++i) {
        SimBuilder& builder = *m_site.builders[i];
        if (i >= 2 && i == goneForEver) { // its work must not wait for it
            builder.retire();
            m_site.world.reach("machine.gone_for_ever");
            removeGone(builder.facts().name);
            continue;
        }
        builder.setNetwork(true);
        builder.setLoad({});
        builder.drain(false);
        builder.quirks.lies = false;
        builder.quirks.isBlackHole = false;
        builder.quirks.rejectPercent = 0;
        builder.quirks.infrastructurePercent = 0;
        builder.start();
        m_site.order("drain", core::DrainMachine{RequestId(0), builder.facts().name, false, ""});
    }
}

} // namespace penstock::sim
