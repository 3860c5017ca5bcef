// SPDX-License-Identifier: GPL-3.0-or-later
// Processes that a job left behind: they became children of the builder (a "child subreaper", prctl(2)) when their
// parent ended. Which attempt they belong to is read from PENSTOCK_ATTEMPT in their environment, else from a working
// directory below the attempts folder. Reads /proc; blocking for microseconds; used by one thread.
#pragma once

#include "shared/base/ids.h"

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace penstock::exec {

class Descendants {
public:
    // attemptsFolder: "<work-dir>/attempts"; an attempt's directory is a number below it.
    explicit Descendants(std::string attemptsFolder);

    struct Orphan {
        int pid;
        std::optional<AttemptId> attempt; // nothing: cannot be told
        bool ended;                       // waits to be reaped
    };
    // Children of this process that are not in known.
    [[nodiscard]] std::vector<Orphan> orphans(const std::set<int>& known) const;

    // Ends the orphans of this attempt with everything below them. True while some may be left: call again soon.
    [[nodiscard]] bool endAll(AttemptId attempt, const std::set<int>& known);
    // Takes in the exit of orphans that have ended. Those nobody can be asked about are left for one more call, as
    // they may belong to another part of the program that is about to wait for them.
    void reap(const std::set<int>& known);

private:
    [[nodiscard]] std::optional<AttemptId> attemptOf(int pid) const;

    std::string m_attemptsFolder;
    std::set<int> m_seen;  // orphans known to be of some attempt
    std::set<int> m_aged;  // unknown ended ones of the last call
};

} // namespace penstock::exec
