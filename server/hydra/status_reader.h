// SPDX-License-Identifier: GPL-3.0-or-later
// StatusReader: what people and scripts ask of Hydra's queue: lists in pages, and whether one build is finished. One
// thread with one connection, opened at the first question; it writes nothing. ask from any thread, answered on its
// own. Unavailable: the database is away. Exhausted: too many questions wait.
#pragma once

#include "server/store/postgres/reader_pool.h"
#include "shared/base/ids.h"
#include "shared/base/result.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace penstock::hydra {

struct ShownBuild {
    std::int64_t id = 0;
    std::string drvPath;
    std::int64_t jobset = 0;
    std::string job;
    std::int64_t timestamp = 0;
    std::optional<std::int64_t> maxSilent;
    std::optional<std::int64_t> timeout;
    std::int64_t priority = 0;
    std::int64_t globalPriority = 0;
};
struct ShownBuilds {
    std::vector<ShownBuild> builds; // by id
    std::uint64_t total = 0;         // unfinished ones, all together
};

struct StepOwner { // of the builds whose own derivation a step is
    std::int64_t lowestBuild = 0;
    std::int64_t globalPriority = 0; // the highest
};

class StatusReader {
public:
    explicit StatusReader(std::string databaseUrl);

    // Unfinished ones after that id.
    void builds(std::int64_t after, std::uint32_t limit, store::Answer<ShownBuilds> answer);
    void isUnfinished(std::int64_t build, store::Answer<bool> answer);
    void owners(const std::vector<StepId>& steps, store::Answer<std::map<StepId, StepOwner>> answer);
    // Ids by "project:jobset".
    void jobsets(store::Answer<std::map<std::string, std::int64_t>> answer);

private:
    store::postgres::ReaderPool m_pool;
};

} // namespace penstock::hydra
