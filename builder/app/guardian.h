// SPDX-License-Identifier: GPL-3.0-or-later
// Guardian: a tiny process beside the builder that outlives it. When the builder dies without a word (kill -9), the
// kernel kills the jobs' main processes, and the guardian kills what those had started. It costs one fork per start
// of the builder and nothing per job. While it works it holds a lock, for which the next builder waits, so that
// it cannot take the next one's jobs for leftovers.
// Start it while the program has one thread only. Failure to start is no reason to stop: the next start cleans up too.
#pragma once

#include "builder/spool/work_directory.h"
#include "shared/base/result.h"

namespace penstock::builder {

class Guardian {
public:
    // Waits, at most some seconds, for a former builder's guardian to finish. Blocks.
    static void awaitFormer(const WorkDirectory& directory);
    [[nodiscard]] static Result<Guardian> start(const WorkDirectory& directory);

    Guardian(Guardian&&) noexcept = default;
    Guardian& operator=(Guardian&&) = delete;
    // Orderly: it has nothing to do and ends.
    ~Guardian();

private:
    explicit Guardian(FileHandle pipe) : m_pipe(std::move(pipe)) {}
    FileHandle m_pipe;
};

} // namespace penstock::builder
