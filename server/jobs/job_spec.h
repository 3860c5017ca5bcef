// SPDX-License-Identifier: GPL-3.0-or-later
// What a submitted job may say (interface.md section 4): JSON in, a checked ParsedJob out. Pure, callable from any
// thread. Errors are Invalid and name the key's path, the limit and the value. Keys of features that this version
// does not have are accepted at their default and refused otherwise, so that nothing asked for is silently left out.
#pragma once

#include "server/jobs/parsed_job.h"
#include "shared/base/result.h"
#include "shared/nix/json.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::jobs {

inline constexpr std::size_t kMaxJobsAtOnce = 10'000;
inline constexpr std::size_t kMaxNameBytes = 200;
inline constexpr std::size_t kMaxKeyBytes = 200;
inline constexpr std::size_t kMaxWordBytes = 100; // user, namespace, tag, feature, …
inline constexpr std::size_t kMaxAffinityEntries = 100;
inline constexpr std::size_t kMaxCommandBytes = 131'071; // what Linux takes as one argument, without its NUL
inline constexpr std::size_t kMaxArguments = 10'000;
inline constexpr std::size_t kMaxEnvEntries = 1'000;
inline constexpr std::size_t kMaxEnvBytes = 128U << 10U; // names and values together
inline constexpr std::size_t kMaxDefinitionBytes = 64U << 10U;
inline constexpr std::int64_t kMaxPriority = 1'000'000;
inline constexpr std::int64_t kMaxRetries = 1'000;
inline constexpr Duration kMaxTimeout = std::chrono::hours(24 * 366);
inline constexpr Duration kMaxBackoff = std::chrono::hours(24 * 31);
inline constexpr std::uint64_t kDefaultLogBytes = 64ULL << 20U;
inline constexpr std::uint64_t kMaxLogBytes = 64ULL << 30U;
inline constexpr std::uint64_t kMaxOutputBytes = 1ULL << 50U;
inline constexpr std::int64_t kMaxCpus = 4'096;
inline constexpr std::uint64_t kMaxMemoryBytes = 1ULL << 50U;
inline constexpr std::size_t kMaxNamedResources = 16;
inline constexpr std::int64_t kMaxNamedAmount = 1LL << 40;
inline constexpr std::int64_t kMaxConcurrency = 1'000'000;

struct Submitter {
    std::string user;           // of jobs that name none
    std::string idempotencyKey; // of a single job that names none
};

struct Submission {
    std::vector<ParsedJob> jobs;
    bool isList = false; // answered by a list of ids too
};

// One job object, a list of them, or {"jobs": […]}.
[[nodiscard]] Result<Submission> parseSubmission(std::string_view json, const Submitter& submitter);
// path: in front of the keys in errors, e.g. "jobs[0]"; may be empty.
[[nodiscard]] Result<ParsedJob> parseJob(const nix::JsonValue& value, std::string path, const Submitter& submitter);

// The part of a job that is not about the command: for builds, whose steps come from derivations.
struct JobFrame {
    work::JobSpec spec;
    work::Placement placement; // what the affinity asks of every step
    work::RetryPolicy retry;
    work::Resources resources;
};
// Refuses command, shell and env. An empty text is a job with nothing said.
[[nodiscard]] Result<JobFrame> parseJobFrame(std::string_view json, const Submitter& submitter);

} // namespace penstock::jobs
