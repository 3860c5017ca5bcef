// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixstore/store_access.h"
#include "tests/support/nar_samples.h"

#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace penstock::nixstore {
namespace {

// A store that knows paths and holds no bytes.
class KnownPaths final : public StoreAccess {
public:
    void add(const std::string& name, const std::vector<std::string>& references)
    {
        nix::NarInfo info = test::sampleOf(name, "").info;
        for (const std::string& reference : references)
            info.references.insert(pathOf(reference));
        m_infos.insert_or_assign(info.path, info);
    }
    static nix::StorePath pathOf(const std::string& name) { return test::sampleOf(name, "").info.path; }

    const nix::StoreDir& storeDir() const override { return m_dir; }
    Result<nix::StorePathSet> validPaths(const nix::StorePathSet& paths, bool) override { return paths; }
    Result<std::optional<nix::NarInfo>> info(const nix::StorePath& path) override
    {
        const auto found = m_infos.find(path);
        return found == m_infos.end() ? std::nullopt : std::optional(found->second);
    }
    Result<void> readNar(const nix::NarInfo&, const ByteSink&) override { return {}; }
    Result<void> addNar(const nix::NarInfo&, const ByteSource&) override { return {}; }
    Result<void> addRoot(const nix::StorePath&, const std::string&) override { return {}; }

private:
    nix::StoreDir m_dir = nix::StoreDir::standard();
    std::map<nix::StorePath, nix::NarInfo> m_infos;
};

TEST(Closure, PutsReferencesFirstAlsoInALongChain)
{
    KnownPaths store;
    constexpr int kLength = 3000;
    for (int i = 0; i < kLength; ++i)
        store.add(fmt::format("link-{}", i),
                  i == 0 ? std::vector<std::string>{}
                         : std::vector{fmt::format("link-{}", i - 1), std::string("link-0")});
    const auto closure = closureOf(store, {KnownPaths::pathOf(fmt::format("link-{}", kLength - 1))}, kLength);
    ASSERT_TRUE(closure) << closure.error().message;
    ASSERT_EQ(closure->size(), std::size_t{kLength});
    nix::StorePathSet before;
    for (const nix::NarInfo& info : *closure) {
        for (const nix::StorePath& reference : info.references)
            EXPECT_TRUE(before.contains(reference));
        before.insert(info.path);
    }
}

TEST(Closure, IsEmptyForNothing)
{
    KnownPaths store;
    EXPECT_TRUE(closureOf(store, {}, 0).value().empty());
}

TEST(Closure, RefusesPathsThatReferToEachOther)
{
    KnownPaths store;
    store.add("a", {"b"});
    store.add("b", {"a", "b"});
    const auto closure = closureOf(store, {KnownPaths::pathOf("a")}, 10);
    ASSERT_FALSE(closure);
    EXPECT_EQ(closure.error().code, ErrorCode::Corrupt);
}

TEST(Closure, NamesWhatIsMissing)
{
    KnownPaths store;
    store.add("a", {"b"});
    const auto closure = closureOf(store, {KnownPaths::pathOf("a")}, 10);
    ASSERT_FALSE(closure);
    EXPECT_EQ(closure.error().code, ErrorCode::NotFound);
    EXPECT_NE(closure.error().message.find(KnownPaths::pathOf("b").baseName()), std::string::npos);
}

} // namespace
} // namespace penstock::nixstore
