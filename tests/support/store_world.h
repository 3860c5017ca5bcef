// SPDX-License-Identifier: GPL-3.0-or-later
// StoreWorld: one kind of Store under the contract suite. Each test gets a new world with no rows in it; open() is
// one more server on the same rows. Tests ask through ask(), which waits for the answer.
#pragma once

#include "server/store/store.h"

#include <chrono>
#include <future>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <utility>

namespace penstock::store {

struct StoreWorld {
    virtual ~StoreWorld() = default;
    [[nodiscard]] virtual std::unique_ptr<Store> open() = 0;
};

struct WorldKind {
    std::string name;
    std::unique_ptr<StoreWorld> (*make)();
};
inline void PrintTo(const WorldKind& kind, std::ostream* out)
{
    *out << kind.name;
}

// Calls a member of Store with an Answer as last argument and waits for it.
template <class T, class Member, class... Args> Result<T> ask(Store& store, Member member, Args&&... args)
{
    auto promise = std::make_shared<std::promise<Result<T>>>();
    auto future = promise->get_future();
    (store.*member)(std::forward<Args>(args)...,
                    [promise](Result<T> answer) { promise->set_value(std::move(answer)); });
    if (future.wait_for(std::chrono::seconds(60)) != std::future_status::ready)
        return fail(ErrorCode::Timeout, "the store did not answer within 60 s");
    return future.get();
}

class StoreContract : public ::testing::TestWithParam<WorldKind> {
protected:
    StoreContract() : world(GetParam().make()), store(world->open()) {}

    // Ends this server (in order) and starts another on the same rows.
    work::Recovery restart()
    {
        store.reset();
        store = world->open();
        auto recovery = store->loadOpen();
        if (!recovery) {
            ADD_FAILURE() << recovery.error().message;
            return {};
        }
        return *std::move(recovery);
    }
    Result<void> persist(work::Changes changes, work::IdMarks marks = {})
    {
        return ask<void>(*store, &Store::persist, std::move(changes), marks);
    }
    void lead() { ASSERT_TRUE(store->loadOpen().has_value()); }

    std::unique_ptr<StoreWorld> world;
    std::unique_ptr<Store> store;
};

} // namespace penstock::store
