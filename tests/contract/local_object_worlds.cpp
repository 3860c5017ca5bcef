// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/dir_store.h"
#include "tests/support/memory_object_store.h"
#include "tests/support/object_store_world.h"
#include "tests/support/temp_directory.h"

namespace penstock::cache {
namespace {

struct DirWorld final : ObjectStoreWorld {
    test::TempDirectory directory;

    std::unique_ptr<ObjectStore> open() override
    {
        auto store = DirStore::open(directory.path() + "/cache");
        EXPECT_TRUE(store) << store.error().message;
        return *std::move(store);
    }
};

struct MemoryWorld final : ObjectStoreWorld {
    std::shared_ptr<test::MemoryObjects> objects = std::make_shared<test::MemoryObjects>();

    std::unique_ptr<ObjectStore> open() override
    {
        return std::make_unique<test::MemoryObjectStore>(objects);
    }
};

template <class World> std::unique_ptr<ObjectStoreWorld> make()
{
    return std::make_unique<World>();
}

INSTANTIATE_TEST_SUITE_P(Local, ObjectStoreContract,
                         ::testing::Values(ObjectStoreKind{"Directory", false, make<DirWorld>},
                                           ObjectStoreKind{"Memory", true, make<MemoryWorld>}),
                         [](const auto& tested) { return tested.param.name; });

} // namespace
} // namespace penstock::cache
