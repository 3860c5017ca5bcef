// SPDX-License-Identifier: GPL-3.0-or-later
// MemoryObjectStore: a whole ObjectStore in memory, with faults on request. Objects are shared by all stores
// on the same MemoryObjects, so a test can let one store die and open the next. Any thread.
#pragma once

#include "server/cache/object_store.h"
#include "shared/base/mutex.h"

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace penstock::test {

enum class Fault : std::uint8_t {
    Fails,     // this operation fails and has no effect; the next ones go well
    Dies,      // this one and all that follow fail and have no effect
    DiesAfter, // this one takes effect, but it and all that follow are told as failed
    PowerCut,  // as Dies, and what was committed with syncLater and not synced is empty afterwards
};

class MemoryObjects {
public:
    struct Object {
        std::string bytes;
        cache::PutOptions options;
        bool isDurable;
    };
    // The fault hits the operation with this number (from 1) among those that change something: commits,
    // puts, syncs and removals.
    void injectAt(std::uint64_t operation, Fault fault);
    void heal(); // no fault any more; operations count from 1 again
    [[nodiscard]] std::uint64_t operations() const;
    // Asked before every operation, reading ones included; an error is its result. Called without the lock.
    std::function<Result<void>(std::string_view operation, std::string_view key)> onOperation;

private:
    friend class MemoryObjectStore;
    // True: go on. False: take effect, then fail.
    [[nodiscard]] Result<bool> change() PENSTOCK_REQUIRES(m_mutex);

    mutable Mutex m_mutex;
    std::map<std::string, Object, std::less<>> m_objects PENSTOCK_GUARDED_BY(m_mutex);
    std::uint64_t m_operations PENSTOCK_GUARDED_BY(m_mutex) = 0;
    std::uint64_t m_faultAt PENSTOCK_GUARDED_BY(m_mutex) = 0;
    Fault m_fault PENSTOCK_GUARDED_BY(m_mutex) = Fault::Fails;
    bool m_isDead PENSTOCK_GUARDED_BY(m_mutex) = false;
};

class MemoryObjectStore final : public cache::ObjectStore {
public:
    explicit MemoryObjectStore(std::shared_ptr<MemoryObjects> objects = std::make_shared<MemoryObjects>())
        : m_objects(std::move(objects))
    {}
    [[nodiscard]] Result<std::optional<cache::ObjectInfo>> head(std::string_view key) override;
    [[nodiscard]] Result<void> get(std::string_view key, cache::ByteRange range,
                                   const ByteSink& sink) override;
    [[nodiscard]] Result<std::unique_ptr<cache::ObjectWriter>> create(std::string_view key,
                                                                      cache::PutOptions options) override;
    [[nodiscard]] Result<void>
    putMany(std::vector<cache::SmallObject> objects) override; // one after the other
    [[nodiscard]] Result<void> sync(const std::vector<std::string>& keys) override;
    [[nodiscard]] Result<void> remove(std::string_view key) override;
    [[nodiscard]] Result<void> list(std::string_view prefix,
                                    const std::function<bool(std::string_view)>& visit) override;
    [[nodiscard]] std::string describe() const override { return "memory"; }

    [[nodiscard]] Result<void> put(const std::string& key, std::string bytes,
                                   const cache::PutOptions& options);

private:
    [[nodiscard]] Result<void> ask(std::string_view operation, std::string_view key) const;

    const std::shared_ptr<MemoryObjects> m_objects;
};

} // namespace penstock::test
