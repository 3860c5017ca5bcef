// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/memory_store.h"
#include "shared/base/std_loop.h"
#include "tests/support/store_world.h"

namespace penstock::store {
namespace {

struct InlineWorld final : StoreWorld {
    std::shared_ptr<MemoryTables> tables = std::make_shared<MemoryTables>();

    std::unique_ptr<Store> open() override
    {
        return std::make_unique<MemoryStore>(MemoryStore::inlineDefer(), tables);
    }
};

// Answers come on another thread, as those of a database do.
struct LoopWorld final : StoreWorld {
    std::shared_ptr<MemoryTables> tables = std::make_shared<MemoryTables>();
    StdLoop loop{"store"};

    std::unique_ptr<Store> open() override
    {
        return std::make_unique<MemoryStore>([this](Task task) { loop.post(std::move(task)); }, tables);
    }
};

template <class World> std::unique_ptr<StoreWorld> make()
{
    return std::make_unique<World>();
}

INSTANTIATE_TEST_SUITE_P(Memory, StoreContract,
                         ::testing::Values(WorldKind{"Inline", make<InlineWorld>},
                                           WorldKind{"OnLoop", make<LoopWorld>}),
                         [](const auto& tested) { return tested.param.name; });

} // namespace
} // namespace penstock::store
