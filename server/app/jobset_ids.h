// SPDX-License-Identifier: GPL-3.0-or-later
// JobsetIds: the ids of Hydra's jobsets, as they were read last. Nobody waits for them, as what shows them must answer
// while the database is away: what is not known is read behind and shown the next time. One thread.
#pragma once

#include "server/http/hydra_gateway.h"
#include "shared/base/clock.h"
#include "shared/base/result.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace penstock::app {

class JobsetIds {
public:
    using Map = std::map<std::string, std::int64_t>; // by "project:jobset"

    // Fills in those that are known. True: one is not; read them, and tell what came. One reading at a time, and the
    // next no sooner than a while after it.
    [[nodiscard]] bool fill(std::vector<http::HydraJobset>& jobsets, Instant now);
    void came(Result<Map> ids, Instant now);

private:
    Map m_ids;
    bool m_isReading = false;
    std::optional<Instant> m_read; // when it ended, well or not
};

} // namespace penstock::app
