// SPDX-License-Identifier: GPL-3.0-or-later
// Executor: how an attempt is run. start(), stop() and resume() are callable from any thread; the sink is called on a
// thread of the executor, in order for each attempt, and finished() is the last call for it. Every started attempt
// gets exactly one finished(), whatever happens. An executor holds nothing of an attempt after that.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/ids.h"
#include "shared/protocol/link_values.h"

#include <string>
#include <string_view>

namespace penstock::exec {

struct AttemptSpec {
    protocol::Assignment assignment;
    std::string machine; // name, for PENSTOCK_MACHINE
};

struct AttemptSink {
    virtual ~AttemptSink() = default;
    // data: any bytes, at most 64 KiB. False: hold the output back until resume(); the data given is taken all the same.
    [[nodiscard]] virtual bool output(AttemptId attempt, protocol::Stream stream, WallTime at, std::string data) = 0;
    virtual void phase(AttemptId attempt, std::string phase, WallTime at) = 0;
    // A process group was made for it: recorded so that a restarted builder can end what a killed one left.
    virtual void spawned(AttemptId attempt, int processGroup) = 0;
    virtual void finished(protocol::AttemptResult result) = 0;
};

struct Executor {
    virtual ~Executor() = default; // ends what still runs, without telling the sink
    [[nodiscard]] virtual std::string_view name() const = 0; // command, nix
    virtual void start(AttemptSpec spec) = 0;
    // Ends it as Cancelled (or how it ended by itself, when that came first). Unknown attempts are ignored.
    virtual void stop(AttemptId attempt, std::string reason) = 0;
    virtual void resume(AttemptId attempt) = 0;
};

} // namespace penstock::exec
