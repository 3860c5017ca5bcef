// SPDX-License-Identifier: GPL-3.0-or-later
// Presence: leaves out of a build what need not be built because its outputs are where they must be. Pure, callable
// from any thread; linear in the steps and their edges.
#pragma once

#include "server/jobs/parsed_job.h"

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace penstock::jobs {

// Which outputs are worth asking about: from the roots down, and not below what is there. A question is as large as
// asked for where the graph allows it, so that a store that answers many at once is asked seldom: then also below
// steps of the same question.
class PresenceWalk {
public:
    explicit PresenceWalk(const ParsedJob& job); // which must outlive it
    // Paths that were not asked for yet, at least a step's and about `most`; empty: all is known that matters.
    [[nodiscard]] std::vector<std::string> next(std::size_t most);
    // What of the last question is there.
    void answer(const std::set<std::string>& present);
    [[nodiscard]] const std::set<std::string>& present() const { return m_present; }

private:
    void enqueue(std::uint32_t step);
    void descend(std::uint32_t step);

    const ParsedJob& m_job;
    std::vector<bool> m_seen;
    std::vector<std::uint32_t> m_queue; // from m_next on: to be asked about
    std::size_t m_next = 0;
    std::vector<std::uint32_t> m_asked; // by the last question; those that were looked below come first
    std::size_t m_descended = 0;
    std::set<std::string> m_present;
};

struct Pruned {
    std::size_t there = 0;    // steps all of whose outputs are there
    std::size_t unneeded = 0; // of the others: steps that only such steps needed
};
// A step that is there is left out, and edges to it with it; a root that is there stays as cached. What is then needed
// by no root is left out too. A step with an output whose path only its build can tell is never there. At least one
// step is left when there was a root.
Pruned leaveOutPresent(ParsedJob& job, const std::set<std::string>& present);

} // namespace penstock::jobs
