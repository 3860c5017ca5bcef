// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/views.h"

namespace penstock::http {
namespace {

template <class T> void apply(const Override<T>& change, std::optional<T>& value)
{
    if (change)
        value = *change;
}

} // namespace

void ThresholdChange::applyTo(work::ThresholdOverrides& overrides) const
{
    apply(cpuPsi, overrides.cpuPsi);
    apply(memoryPsi, overrides.memoryPsi);
    apply(ioPsi, overrides.ioPsi);
    apply(load1, overrides.load1);
    apply(minFreeDiskBytes, overrides.minFreeDiskBytes);
    apply(minFreeMemoryBytes, overrides.minFreeMemoryBytes);
    apply(minFreeInodes, overrides.minFreeInodes);
}

void NamespaceChange::applyTo(work::NamespaceRow& row) const
{
    row.name = name;
    row.maxRunningSteps = maxRunningSteps.value_or(row.maxRunningSteps);
    row.maxQueuedJobs = maxQueuedJobs.value_or(row.maxQueuedJobs);
    row.maxCpus = maxCpus.value_or(row.maxCpus);
}

} // namespace penstock::http
