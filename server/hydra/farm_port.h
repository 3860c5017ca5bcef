// SPDX-License-Identifier: GPL-3.0-or-later
// FarmPort: what intake asks of the farm. Callable from any thread; each answer comes exactly once, on any thread, and
// the receiver posts it to its own. Answers mean that it is durable.
#pragma once

#include "server/jobs/parsed_job.h"
#include "shared/base/clock.h"
#include "shared/base/ids.h"
#include "shared/base/result.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace penstock::hydra {

template <class T> using Answer = std::function<void(Result<T>)>;

struct JobBump {
    JobId job;
    std::optional<WallTime> at; // nothing: back to its place
};

struct FarmPort {
    virtual ~FarmPort() = default;
    // All or none. Conflict: a reference stands for no live step (core::StepRequest::isReference).
    virtual void submit(std::vector<jobs::ParsedJob> jobs, Answer<std::vector<JobId>> answer) = 0;
    virtual void cancel(JobId job, std::string why, Answer<void> answer) = 0; // NotFound: not open any more
    // Those that are not open any more are passed over.
    virtual void bump(std::vector<JobBump> bumps, Answer<void> answer) = 0;
    virtual void setShares(std::string group, std::uint32_t shares, Answer<void> answer) = 0;
};

} // namespace penstock::hydra
