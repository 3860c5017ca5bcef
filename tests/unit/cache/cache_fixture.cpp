// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/cache/cache_fixture.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::cache {
namespace {

ByteSink appendTo(std::string& text)
{
    return [&text](std::string_view bytes) -> Result<void> {
        text.append(bytes);
        return {};
    };
}

} // namespace

TestPath makePath(const std::string& name, const nix::test::Tree& tree, nix::StorePathSet references)
{
    const std::string digest = nix::hashOf(name).base32().substr(20, nix::kStoreDigestLength);
    const auto path = nix::StorePath::fromBaseName(digest + "-" + name).value();
    std::string nar = nix::test::narOf(tree).value();
    nix::NarInfo info{path, {}, {}, {}, {}, nix::hashOf(nar), nar.size(), std::move(references),
                      {},   {}, {}, {}};
    return {std::move(info), std::move(nar)};
}

TestPath makePath(const std::string& name, const std::vector<TestPath>& references)
{
    nix::StorePathSet paths;
    std::string content = "the content of " + name + "\n";
    for (const TestPath& reference : references) {
        paths.insert(reference.info.path);
        content += reference.info.path.print(nix::StoreDir::standard()) + "/bin\n";
    }
    return makePath(name, nix::test::folder({{"file", nix::test::file(content)}}), paths);
}

std::string compressed(std::string_view bytes, compress::Method method, std::optional<int> level)
{
    const auto encoder = compress::makeEncoder({method, level}).value();
    std::string out;
    EXPECT_TRUE(encoder->push(bytes, appendTo(out)));
    EXPECT_TRUE(encoder->finish(appendTo(out)));
    return out;
}

std::string readAll(OutputStore& store, const nix::NarInfo& info)
{
    std::string nar;
    const auto done = store.readNar(info, appendTo(nar));
    EXPECT_TRUE(done) << done.error().message;
    return nar;
}

nix::SecretKey testKey(const std::string& name)
{
    return nix::SecretKey::fromSeed(name, bytesOf(std::string(32, 'k'))).value();
}

Result<nix::NarInfo> send(OutputStore& store, const TestPath& path, compress::Method body)
{
    PENSTOCK_TRY(const auto intake, store.receive(path.info, body));
    const std::string bytes = compressed(path.nar, body);
    constexpr std::size_t kPiece = 1000;
    for (std::size_t at = 0; at < bytes.size(); at += kPiece)
        PENSTOCK_TRY_VOID(intake->push(std::string_view(bytes).substr(at, kPiece)));
    return intake->finish();
}

Result<void> sendAndPublish(OutputStore& store, const std::vector<TestPath>& paths)
{
    std::vector<nix::NarInfo> staged;
    for (const TestPath& path : paths) {
        PENSTOCK_TRY(auto info, send(store, path));
        staged.push_back(std::move(info));
    }
    return store.publish(std::move(staged));
}

Result<std::unique_ptr<BinaryCache>> CacheTest::tryOpen()
{
    return BinaryCache::open(std::make_unique<test::MemoryObjectStore>(objects), options, clock, logger);
}

std::unique_ptr<BinaryCache> CacheTest::open()
{
    auto cache = tryOpen();
    EXPECT_TRUE(cache) << cache.error().message;
    return *std::move(cache);
}

std::vector<std::string> CacheTest::faults()
{
    test::MemoryObjectStore store(objects);
    CacheCheckOptions check;
    check.readsNars = true;
    for (const nix::SecretKey& key : options.keys)
        check.trusted.push_back(key.publicKey());
    std::vector<std::string> found;
    const auto done = checkCache(store, check, [&found](const CacheFinding& finding) {
        if (!isHarmless(finding.fault))
            found.push_back(fmt::format("{}: {}: {}", toString(finding.fault), finding.key, finding.message));
    });
    EXPECT_TRUE(done) << done.error().message;
    return found;
}

std::string CacheTest::text(const std::string& key)
{
    test::MemoryObjectStore store(objects);
    return store.getText(key, 64U << 20U).value_or("(not there)");
}

std::vector<std::string> CacheTest::keys(std::string_view prefix)
{
    test::MemoryObjectStore store(objects);
    std::vector<std::string> found;
    EXPECT_TRUE(store.list(prefix, [&found](std::string_view key) {
        found.emplace_back(key);
        return true;
    }));
    return found;
}

} // namespace penstock::cache
