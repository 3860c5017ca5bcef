// SPDX-License-Identifier: GPL-3.0-or-later
// HydraSteps: what goes on beside Hydra's rows while steps run: their log files, the phase that is shown, links that
// keep their outputs. Made before the log store, whose tap it is, and outlives it. Only wires; see each part for its
// thread.
#pragma once

#include "server/app/bridges.h"
#include "server/hydra/build_logs.h"
#include "server/hydra/gc_roots.h"
#include "server/hydra/options.h"
#include "server/hydra/phases.h"
#include "server/logs/log_store.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mutex.h"
#include "shared/nix/store_path.h"
#include "shared/nixstore/store_access.h"

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace penstock::app {

class HydraSteps {
public:
    // clock and logger outlive it.
    HydraSteps(const hydra::Options& options, const nix::StoreDir& store, const Clock& clock, Logger& logger);

    [[nodiscard]] logs::LogTap& tap() { return m_logs; }
    // The store that feeds the tap, before anything but builtAs() is told, and until it ends.
    void useLogs(logs::LogStore& logs);
    // The attempt's log is that of this derivation, and not of the one that its step names. Any thread, also beside
    // useLogs().
    void builtAs(AttemptId attempt, const std::string& drvPath);
    // Of the one that its step names, or of what builtAs() said, which is forgotten then. Any thread.
    [[nodiscard]] std::string takeSubject(AttemptId attempt, const std::string& drvPath);
    // Both outlive the bridge that gets it.
    [[nodiscard]] LinkBeside beside(logs::LogStore& logs, LogGate& gate);
    // Outputs that are about to count; null: no links are wanted. Blocks; any thread. holder: the store is told of each
    // link, as it does not look where they are; outlives what is given. Null: it does.
    [[nodiscard]] std::function<void(const nix::StorePathSet&)> keepRoots(nixstore::StoreAccess* holder);
    [[nodiscard]] bool keepsRoots() const { return m_roots.has_value(); }

private:
    hydra::BuildLogs m_logs;
    Mutex m_mutex;
    logs::LogStore* m_store PENSTOCK_GUARDED_BY(m_mutex) = nullptr;
    std::map<AttemptId, std::string> m_builtAs PENSTOCK_GUARDED_BY(m_mutex); // attempts that are not over
    hydra::Phases m_phases;
    const std::string m_rootsDir;
    Logger& m_logger;
    std::optional<hydra::GcRoots> m_roots;
};

} // namespace penstock::app
