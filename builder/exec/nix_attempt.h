// SPDX-License-Identifier: GPL-3.0-or-later
// One attempt of a derivation through the machine's nix-daemon, from connecting to the verdict. Blocking:
// runs on a thread of NixExecutor. Closing the daemon's connection ends the build, so an interrupt needs
// nothing else. Never fails: whatever goes wrong is in the exit.
#pragma once

#include "builder/exec/credits.h"
#include "builder/exec/executor.h"
#include "builder/exec/nix_transfer.h"
#include "shared/base/clock.h"
#include "shared/nix/store_path.h"
#include "shared/nixdaemon/daemon_types.h"
#include "shared/nixdaemon/unix_socket.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

namespace penstock::builder {

struct NixMachine {
    std::string socketPath;
    nix::StoreDir storeDir = nix::StoreDir::standard();
    nixdaemon::Trust trust = nixdaemon::Trust::Unknown; // as the probe found it
    bool useSubstitutes = false;
    bool hasCaDerivations = false;
    std::shared_ptr<const NixRoads> roads = nullptr; // null: inputs and outputs cannot travel
};

struct NixOutputNews {
    std::string data; // whole lines where possible, at most 64 KiB
};
struct NixPhaseNews {
    std::string phase;
};
struct NixClockNews {
    bool isRunning; // whether the limits of time count: not while paths travel or wait
};
using NixNews = std::variant<NixOutputNews, NixPhaseNews, NixClockNews>;
using TellNews = std::function<void(NixNews)>; // called with a credit taken, on the attempt's thread

struct NixAttemptLinks {
    nixdaemon::Interrupt interrupt;
    Credits credits;
    TellNews tell;
    std::optional<Credits> buildSlots; // one is held while it builds; none: it need not wait for one
};

// The assignment must be NixWork.
[[nodiscard]] AttemptExit runNixAttempt(const NixMachine& machine, const protocol::Assignment& assignment,
                                        const NixAttemptLinks& links, const Clock& clock);

} // namespace penstock::builder
