// SPDX-License-Identifier: GPL-3.0-or-later
// ObjectStoreWorld: one kind of ObjectStore under the contract suite
// (tests/contract/object_store_contract_test.cpp). Each test gets a new world with no objects in it; open()
// is one more program on the same objects.
#pragma once

#include "server/cache/object_store.h"

#include <gtest/gtest.h>
#include <memory>
#include <string>

namespace penstock::cache {

struct ObjectStoreWorld {
    virtual ~ObjectStoreWorld() = default;
    [[nodiscard]] virtual std::unique_ptr<ObjectStore> open() = 0;
};

struct ObjectStoreKind {
    std::string name;
    bool keepsTypes; // content types and encodings come back from head()
    std::unique_ptr<ObjectStoreWorld> (*make)();
};
inline void PrintTo(const ObjectStoreKind& kind, std::ostream* out)
{
    *out << kind.name;
}

class ObjectStoreContract : public ::testing::TestWithParam<ObjectStoreKind> {
protected:
    std::unique_ptr<ObjectStoreWorld> world = GetParam().make();
    std::unique_ptr<ObjectStore> store = world->open();
};

} // namespace penstock::cache
