// SPDX-License-Identifier: GPL-3.0-or-later
// Laws: a job that is accepted is within every limit, and its definition is accepted again with the same outcome.
#include "tests/fuzz/fuzz_target.h"

#include "server/jobs/job_spec.h"
#include "shared/base/bytes.h"
#include "shared/base/check.h"
#include "shared/base/text.h"

#include <string_view>

using namespace penstock;
using namespace penstock::jobs;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const std::string_view text = textOf(std::as_bytes(std::span(bytes, size)));
    const auto submission = parseSubmission(text, {"user", {}});
    if (!submission) {
        PENSTOCK_CHECK(!submission.error().message.empty());
        return 0;
    }
    PENSTOCK_CHECK(!submission->jobs.empty() && submission->jobs.size() <= kMaxJobsAtOnce);
    for (const auto& job : submission->jobs) {
        PENSTOCK_CHECK(!job.spec.name.empty() && job.spec.name.size() <= kMaxNameBytes && isUtf8(job.spec.name));
        PENSTOCK_CHECK(job.spec.definition.size() <= kMaxDefinitionBytes);
        PENSTOCK_CHECK(job.steps.size() == 1 && job.steps[0].spec.work != nullptr);
        if (job.spec.definition.starts_with("{\"too_large_to_keep\""))
            continue;
        const auto again = parseSubmission(job.spec.definition, {"user", {}});
        PENSTOCK_CHECK(again && again->jobs.size() == 1);
        PENSTOCK_CHECK(again->jobs[0].spec.definition == job.spec.definition);
        PENSTOCK_CHECK(*again->jobs[0].steps[0].spec.work == *job.steps[0].spec.work);
    }
    return 0;
}
