// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/id_map.h"

#include "shared/base/ids.h"

#include <gtest/gtest.h>
#include <map>
#include <vector>

namespace penstock::work {
namespace {

TEST(IdMap, AgreesWithAnOrderedMap)
{
    IdMap<StepId, int> map;
    std::map<std::uint64_t, int> model;
    std::uint64_t random = 1;
    for (int i = 0; i < 5'000; ++i) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        const std::uint64_t id = 1 + (random >> 33U) % 400;
        if ((random & 1U) != 0 && !model.contains(id)) {
            map.insert(StepId(id), i);
            model.emplace(id, i);
        } else {
            EXPECT_EQ(map.erase(StepId(id)), model.erase(id) == 1);
        }
        ASSERT_EQ(map.size(), model.size());
        ASSERT_EQ(map.find(StepId(id)) != nullptr, model.contains(id));
    }
    std::vector<std::pair<std::uint64_t, int>> seen;
    map.forEach([&](StepId id, int value) { seen.emplace_back(id.value(), value); });
    EXPECT_EQ(seen, (std::vector<std::pair<std::uint64_t, int>>(model.begin(), model.end())));
    std::vector<std::uint64_t> backwards;
    map.forEachBackwards([&](StepId id, int) {
        backwards.push_back(id.value());
        return backwards.size() < 3;
    });
    ASSERT_EQ(backwards.size(), 3U);
    EXPECT_EQ(backwards.front(), model.rbegin()->first);
}

TEST(IdMap, KnowsNothingOfIdsThatWereNeverThere)
{
    IdMap<StepId, int> map;
    EXPECT_EQ(map.find(StepId(0)), nullptr);
    EXPECT_EQ(map.find(StepId(UINT64_MAX)), nullptr);
    EXPECT_FALSE(map.erase(StepId(1)));
    EXPECT_TRUE(map.isEmpty());
}

} // namespace
} // namespace penstock::work
