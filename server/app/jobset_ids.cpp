// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/jobset_ids.h"

#include <utility>

namespace penstock::app {
namespace {

constexpr Duration kPause = std::chrono::seconds(10);

} // namespace

bool JobsetIds::fill(std::vector<http::HydraJobset>& jobsets, Instant now)
{
    bool isComplete = true;
    for (http::HydraJobset& jobset : jobsets) {
        const auto found = m_ids.find(jobset.project + ":" + jobset.name);
        if (found != m_ids.end())
            jobset.id = found->second;
        else
            isComplete = false;
    }
    if (isComplete || m_isReading || (m_read && now - *m_read <= kPause))
        return false;
    m_isReading = true;
    return true;
}

void JobsetIds::came(Result<Map> ids, Instant now)
{
    m_isReading = false;
    m_read = now;
    if (ids)
        m_ids = *std::move(ids);
}

} // namespace penstock::app
