// SPDX-License-Identifier: GPL-3.0-or-later
// Paths with content, a clock and a logger for tests of caches; and a cache over objects in memory.
#pragma once

#include "server/cache/binary_cache.h"
#include "server/cache/cache_check.h"
#include "tests/support/memory_object_store.h"
#include "tests/support/nar_tree.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace penstock::cache {

struct ManualClock final : Clock {
    Instant at{std::chrono::hours(1)};
    [[nodiscard]] Now now() const override { return {at, {}}; }
};

struct RecordingLogger final : Logger {
    Mutex mutex;
    std::vector<std::string> events;
    void log(LogLevel, std::string_view event, std::initializer_list<LogField>) override
    {
        const MutexLock lock(mutex);
        events.emplace_back(event);
    }
};

// A path as a builder announces it, with its NAR.
struct TestPath {
    nix::NarInfo info;
    std::string nar;
};
[[nodiscard]] TestPath makePath(const std::string& name, const nix::test::Tree& tree,
                                nix::StorePathSet references = {});
[[nodiscard]] TestPath makePath(const std::string& name, const std::vector<TestPath>& references = {});
[[nodiscard]] std::string compressed(std::string_view bytes, compress::Method method,
                                     std::optional<int> level = {});
[[nodiscard]] std::string readAll(OutputStore& store, const nix::NarInfo& info); // the NAR
[[nodiscard]] nix::SecretKey testKey(const std::string& name = "cache.test-1");

// Compresses, sends in pieces, finishes.
[[nodiscard]] Result<nix::NarInfo> send(OutputStore& store, const TestPath& path,
                                        compress::Method body = compress::Method::Zstd);
[[nodiscard]] Result<void> sendAndPublish(OutputStore& store, const std::vector<TestPath>& paths);

class CacheTest : public ::testing::Test {
protected:
    [[nodiscard]] Result<std::unique_ptr<BinaryCache>> tryOpen();
    [[nodiscard]] std::unique_ptr<BinaryCache> open();
    // What the checker says, reading every NAR; harmless findings left out.
    [[nodiscard]] std::vector<std::string> faults();
    [[nodiscard]] std::string text(const std::string& key);
    [[nodiscard]] std::vector<std::string> keys(std::string_view prefix = {});

    std::shared_ptr<test::MemoryObjects> objects = std::make_shared<test::MemoryObjects>();
    BinaryCacheOptions options;
    ManualClock clock;
    RecordingLogger logger;
};

} // namespace penstock::cache
