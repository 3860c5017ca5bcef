// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/jobs/job_needs.h"

#include "server/jobs/job_spec.h"
#include "shared/base/text.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace penstock::jobs {
namespace {

constexpr std::array<std::string_view, 4> kBackoffKeys{"initial", "factor", "max", "jitter"};
constexpr std::array<std::string_view, 2> kConcurrencyKeys{"group", "limit"};

} // namespace

Result<work::Resources> readResources(const ObjectReader& job)
{
    work::Resources resources;
    const auto* value = job.find("resources");
    if (!value)
        return resources;
    PENSTOCK_TRY(const auto reader, ObjectReader::openAny(*value, job.pathOf("resources")));
    PENSTOCK_TRY(const auto cpus, reader.integer("cpus", 1, kMaxCpus));
    PENSTOCK_TRY(const auto memory, reader.bytes("memory", {0, kMaxMemoryBytes}));
    resources.cpus = static_cast<std::uint32_t>(cpus.value_or(0));
    resources.memoryBytes = memory.value_or(0);
    for (const std::string& name : reader.keys()) {
        if (name == "cpus" || name == "memory")
            continue;
        if (!isWord(name, kMaxWordBytes))
            return reader.refuse(toValidUtf8(name.substr(0, kMaxWordBytes)),
                                 fmt::format("a resource's name must have 1 to {} letters, digits and _ - . @ / +",
                                             kMaxWordBytes));
        PENSTOCK_TRY(const auto amount, reader.integer(name, 1, kMaxNamedAmount));
        if (amount)
            resources.named.emplace(name, static_cast<std::uint64_t>(*amount));
    }
    if (resources.named.size() > kMaxNamedResources)
        return job.refuse("resources", fmt::format("has {} named amounts beside cpus and memory, more than the limit "
                                                   "of {}", resources.named.size(), kMaxNamedResources));
    return resources;
}

Result<work::Limits> readLimits(const ObjectReader& job)
{
    PENSTOCK_TRY(const auto timeout, job.duration("timeout", Duration(0), kMaxTimeout));
    PENSTOCK_TRY(const auto silent, job.duration("silent_timeout", Duration(0), kMaxTimeout));
    PENSTOCK_TRY(const auto log, job.bytes("max_log", {1, kMaxLogBytes}));
    PENSTOCK_TRY(const auto output, job.bytes("max_output", {1, kMaxOutputBytes}));
    return work::Limits{timeout.value_or(Duration(0)), silent.value_or(Duration(0)), log.value_or(kDefaultLogBytes),
                        output.value_or(0)};
}

Result<work::RetryPolicy> readRetry(const ObjectReader& job)
{
    work::RetryPolicy retry;
    PENSTOCK_TRY(const auto retries, job.integer("retries", 0, kMaxRetries));
    retry.retries = static_cast<std::uint32_t>(retries.value_or(0));
    const auto* value = job.find("backoff");
    if (!value)
        return retry;
    PENSTOCK_TRY(const auto backoff, ObjectReader::open(*value, job.pathOf("backoff"), kBackoffKeys));
    PENSTOCK_TRY(const auto initial, backoff.duration("initial", Duration(0), kMaxBackoff));
    PENSTOCK_TRY(const auto factor, backoff.integer("factor", 1, 100));
    PENSTOCK_TRY(const auto most, backoff.duration("max", Duration(0), kMaxBackoff));
    PENSTOCK_TRY(const auto jitter, backoff.number("jitter", 0, 1));
    retry.initial = initial.value_or(retry.initial);
    retry.factor = static_cast<std::uint32_t>(factor.value_or(retry.factor));
    retry.max = most.value_or(retry.max);
    if (jitter)
        retry.jitterPercent = static_cast<std::uint32_t>(std::lround(*jitter * 100));
    return retry;
}

Result<void> readConcurrency(const ObjectReader& job, work::JobSpec& spec)
{
    const auto* value = job.find("concurrency");
    if (!value)
        return {};
    PENSTOCK_TRY(const auto concurrency, ObjectReader::open(*value, job.pathOf("concurrency"), kConcurrencyKeys));
    PENSTOCK_TRY(auto group, concurrency.word("group", kMaxWordBytes));
    if (!group)
        return concurrency.refuse("group", "is missing; it names what must not run more often than limit");
    PENSTOCK_TRY(const auto limit, concurrency.integer("limit", 1, kMaxConcurrency));
    spec.concurrencyGroup = *std::move(group);
    spec.concurrencyLimit = static_cast<std::uint32_t>(limit.value_or(1));
    return {};
}

} // namespace penstock::jobs
