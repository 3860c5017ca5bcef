// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/hydra_steps.h"

namespace penstock::app {
namespace {

constexpr std::size_t kMaxBuiltAs = 100'000; // beyond it the oldest is uploaded by the name that its step has

hydra::PhaseOptions phaseOptions(const hydra::Options& options)
{
    hydra::PhaseOptions phases;
    phases.connectionString = options.databaseUrl;
    return phases;
}

} // namespace

HydraSteps::HydraSteps(const hydra::Options& options, const nix::StoreDir& store, const Clock& clock, Logger& logger)
    : m_logs(options.dataDir, clock, logger), m_phases(phaseOptions(options), clock, logger),
      m_rootsDir(options.rootsDir), m_logger(logger)
{
    if (!options.rootsDir.empty())
        m_roots.emplace(options.rootsDir, store, logger);
}

void HydraSteps::useLogs(logs::LogStore& logs)
{
    const MutexLock lock(m_mutex);
    m_store = &logs;
    for (const auto& [attempt, drvPath] : m_builtAs) // told before there was a store
        logs.opened(attempt, drvPath);
}

void HydraSteps::builtAs(AttemptId attempt, const std::string& drvPath)
{
    const MutexLock lock(m_mutex);
    m_builtAs.insert_or_assign(attempt, drvPath);
    if (m_builtAs.size() > kMaxBuiltAs)
        m_builtAs.erase(m_builtAs.begin());
    if (m_store != nullptr)
        m_store->opened(attempt, drvPath);
}

std::string HydraSteps::takeSubject(AttemptId attempt, const std::string& drvPath)
{
    const MutexLock lock(m_mutex);
    const auto known = m_builtAs.extract(attempt);
    return known.empty() ? drvPath : known.mapped();
}

// A row says that it is being built only when there is a log to be looked at.
LinkBeside HydraSteps::beside(logs::LogStore& logs, LogGate& gate)
{
    LinkBeside beside{.gate = &gate};
    beside.progressed = [this, &logs](AttemptId attempt, const std::string& phase) {
        const int busy = hydra::busyOf(phase);
        if (busy < hydra::kBusyBuilding)
            return m_phases.tell(attempt, busy);
        logs.running(attempt, [this, attempt, busy] { m_phases.tell(attempt, busy); });
    };
    return beside;
}

std::function<void(const nix::StorePathSet&)> HydraSteps::keepRoots(nixstore::StoreAccess* holder)
{
    if (!m_roots)
        return {};
    return [this, holder](const nix::StorePathSet& paths) {
        m_roots->keep(paths);
        if (holder == nullptr)
            return;
        for (const nix::StorePath& path : paths)
            if (const auto held = holder->addRoot(path, m_rootsDir + "/" + path.baseName()); !held)
                m_logger.warning("hydra.roots_failed", {{"error", held.error().message}});
    };
}

} // namespace penstock::app
