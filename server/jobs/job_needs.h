// SPDX-License-Identifier: GPL-3.0-or-later
// The members of a job that say what it takes and how far it may go: resources, limits, retries, concurrency. Parts
// of job_spec; pure, callable from any thread. Errors are Invalid and name the member's path, the limit and the value.
#pragma once

#include "server/jobs/object_reader.h"
#include "server/work/spec.h"
#include "shared/base/result.h"

namespace penstock::jobs {

// {"cpus": 2, "memory": "4GiB", "gpu": 1}: every other member is a named amount.
[[nodiscard]] Result<work::Resources> readResources(const ObjectReader& job);
// timeout, silent_timeout, max_log, max_output.
[[nodiscard]] Result<work::Limits> readLimits(const ObjectReader& job);
// retries, backoff.
[[nodiscard]] Result<work::RetryPolicy> readRetry(const ObjectReader& job);
// {"group": "deploy", "limit": 1}
[[nodiscard]] Result<void> readConcurrency(const ObjectReader& job, work::JobSpec& spec);

} // namespace penstock::jobs
