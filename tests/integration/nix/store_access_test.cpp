// SPDX-License-Identifier: GPL-3.0-or-later
// What every StoreAccess does, against real private stores: through the daemon and through the command-line
// tools, with a store of its own directory and with one whose paths are those of /nix/store.
#include "shared/nixstore/cli_store.h"
#include "shared/nixstore/daemon_store.h"
#include "tests/support/nar_samples.h"
#include "tests/support/nix_fixture.h"

#include <cstdlib>
#include <filesystem>
#include <functional>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace penstock::nixstore {
namespace {

using test::addressedSample;
using test::NarSample;
using test::NixFixture;
using test::sampleOf;
using test::sinkInto;
using test::sourceOf;

nixdaemon::Interrupt makeInterrupt()
{
    return nixdaemon::Interrupt::create().value();
}

std::unique_ptr<StoreAccess> throughDaemon(const NixFixture& nix, const nixdaemon::Interrupt& interrupt)
{
    nixdaemon::PoolOptions options;
    options.daemon.storeDir = nix.storeDir();
    options.maxConnections = 2;
    options.settings.useSubstitutes = true;
    auto pool = nixdaemon::DaemonPool::create(nix.socketPath(), options).value();
    return std::make_unique<DaemonStore>(std::move(pool), interrupt);
}

// The tools inherit nothing of Nix from us but what the fixture says.
std::unique_ptr<StoreAccess> throughTools(const NixFixture& nix, const nixdaemon::Interrupt& interrupt)
{
    CliOptions options;
    options.storeDir = nix.storeDir();
    options.environment = nix.environment();
    options.environment["PATH"] = std::getenv("PATH");
    options.environment["NIX_CONFIG"] = "substituters =\nbuild-users-group =\n";
    options.temporaryDir = nix.root() + "/tmp";
    return std::make_unique<CliStore>(std::move(options), interrupt);
}

struct Way {
    std::string name;
    bool isChroot;
    std::unique_ptr<StoreAccess> (*open)(const NixFixture&, const nixdaemon::Interrupt&);
};

class StoreAccessContract : public ::testing::TestWithParam<Way> {
protected:
    void SetUp() override
    {
        test::NixFixtureOptions options;
        options.isChroot = GetParam().isChroot;
        auto started = NixFixture::start(options);
        ASSERT_TRUE(started) << started.error().message;
        m_nix = *std::move(started);
        m_store = GetParam().open(*m_nix, m_interrupt);
    }
    void add(const NarSample& sample)
    {
        const auto added = m_store->addNar(sample.info, sourceOf(sample.nar));
        ASSERT_TRUE(added) << added.error().message;
    }
    bool isValid(const nix::StorePath& path) { return !m_store->validPaths({path}, false).value().empty(); }

    nixdaemon::Interrupt m_interrupt = makeInterrupt();
    std::unique_ptr<NixFixture> m_nix;
    std::unique_ptr<StoreAccess> m_store;
};

TEST_P(StoreAccessContract, GivesBackWhatWasAdded)
{
    NarSample dep = addressedSample(m_nix->storeDir(), "dep", "a dependency");
    NarSample main = sampleOf("main", "needs " + dep.info.path.print(m_nix->storeDir()), {dep.info.path});
    main.info.references.insert(main.info.path);
    main.info.deriver = nix::StorePath::fromBaseName("00000000000000000000000000000000-main.drv").value();
    main.info.signatures = {"test-key-1:" + std::string(86, 'A') + "=="};
    add(dep);
    add(main);
    const auto none = sampleOf("none", "").info.path;
    EXPECT_EQ(m_store->validPaths({dep.info.path, main.info.path, none}, false),
              (nix::StorePathSet{dep.info.path, main.info.path}));
    for (const NarSample& sample : {dep, main}) {
        const auto info = m_store->info(sample.info.path);
        ASSERT_TRUE(info) << info.error().message;
        ASSERT_TRUE(info->has_value());
        EXPECT_EQ(**info, sample.info) << printNarInfo(m_nix->storeDir(), **info);
        std::string nar;
        const auto read = m_store->readNar(**info, sinkInto(nar));
        ASSERT_TRUE(read) << read.error().message;
        EXPECT_EQ(nar, sample.nar);
    }
    EXPECT_FALSE(m_store->info(none).value().has_value());
    EXPECT_EQ(m_store->infos({dep.info.path, none, main.info.path}).value().size(), 2U);
    EXPECT_EQ(m_store->validPaths({}, true), nix::StorePathSet{});
    EXPECT_TRUE(m_store->infos({}).value().empty());
    const auto verified = m_nix->run({"nix-store", "--verify", "--check-contents"});
    EXPECT_TRUE(verified) << verified.error().message;
}

TEST_P(StoreAccessContract, TakesAPathThatIsThereAlready)
{
    const NarSample sample = sampleOf("twice", std::string(300'000, 'x'));
    add(sample);
    add(sample);
    EXPECT_TRUE(isValid(sample.info.path));
}

TEST_P(StoreAccessContract, KeepsDerivationFilesAsTheyAre)
{
    const test::TestDerivation drv = test::makeDerivation(m_nix->storeDir(), {"kept", "echo > $out"});
    const std::string nar = test::narOfFile(drv.text(m_nix->storeDir()));
    NarSample sample = sampleOf("x", "");
    sample.nar = nar;
    sample.info.path = drv.path;
    sample.info.narHash = nix::hashOf(nar);
    sample.info.narSize = nar.size();
    sample.info.contentAddress = "text:" + nix::hashOf(drv.text(m_nix->storeDir())).prefixedBase32();
    add(sample);
    EXPECT_EQ(m_store->info(drv.path).value(), sample.info);
    std::string read;
    EXPECT_TRUE(m_store->readNar(sample.info, sinkInto(read)));
    EXPECT_EQ(read, nar);
    EXPECT_FALSE(isValid(drv.output())) << "nothing is built on the way";
}

TEST_P(StoreAccessContract, RefusesWhatIsNotTheAnnouncedArchive)
{
    const NarSample good = sampleOf("damaged", std::string(200'000, 'y'));
    std::string flipped = good.nar;
    flipped[flipped.size() / 2] = 'z';
    const std::map<std::string, std::string> bad{{"a changed byte", flipped},
                                                 {"a missing end", good.nar.substr(0, good.nar.size() - 16)},
                                                 {"half of it", good.nar.substr(0, good.nar.size() / 2)},
                                                 {"nothing", ""},
                                                 {"bytes behind it", good.nar + std::string(8, '\0')},
                                                 {"no archive", std::string(good.nar.size(), 'q')}};
    for (const auto& [what, bytes] : bad) {
        const auto added = m_store->addNar(good.info, sourceOf(bytes));
        ASSERT_FALSE(added) << what;
        EXPECT_EQ(added.error().code, ErrorCode::Corrupt) << what << ": " << added.error().message;
        EXPECT_FALSE(isValid(good.info.path)) << what;
    }
    nix::NarInfo wrongSize = good.info;
    wrongSize.narSize += 8;
    EXPECT_EQ(m_store->addNar(wrongSize, sourceOf(good.nar)).error().code, ErrorCode::Corrupt);
    add(good);
}

TEST_P(StoreAccessContract, RefusesAPathWhoseReferencesAreMissing)
{
    const auto missing = sampleOf("missing", "").info.path;
    const NarSample sample = sampleOf("dangling", "x", {missing});
    const auto added = m_store->addNar(sample.info, sourceOf(sample.nar));
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code, ErrorCode::Invalid) << added.error().message;
    EXPECT_NE(added.error().message.find("missing"), std::string::npos) << added.error().message;
    EXPECT_FALSE(isValid(sample.info.path));
}

TEST_P(StoreAccessContract, PassesOnTheErrorsOfSourcesAndSinks)
{
    const NarSample sample = sampleOf("own-error", std::string(500'000, 'e'));
    const ByteSource whole = sourceOf(sample.nar);
    std::size_t pieces = 0;
    const auto added = m_store->addNar(sample.info, [&](std::span<char> into) -> Result<std::size_t> {
        if (++pieces > 2)
            return fail(ErrorCode::Conflict, "the source stops here");
        return whole(into);
    });
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code, ErrorCode::Conflict);
    EXPECT_FALSE(isValid(sample.info.path));
    add(sample);
    const auto read = m_store->readNar(sample.info, [](std::string_view) -> Result<void> {
        return fail(ErrorCode::Exhausted, "the sink is full");
    });
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::Exhausted);
    EXPECT_TRUE(isValid(sample.info.path)) << "the store goes on";
}

TEST_P(StoreAccessContract, SaysThatAPathIsNotThere)
{
    const NarSample sample = sampleOf("not-there", "x");
    std::string nar;
    const auto read = m_store->readNar(sample.info, sinkInto(nar));
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::NotFound) << read.error().message;
    EXPECT_EQ(m_store->addRoot(sample.info.path, m_nix->root() + "/root").error().code, ErrorCode::NotFound);
}

TEST_P(StoreAccessContract, NoticesAPathThatWasChangedOnDisk)
{
    const NarSample sample = sampleOf("changed", "before");
    add(sample);
    const std::string file = m_nix->realPath(sample.info.path);
    std::filesystem::permissions(file, std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
    std::filesystem::resize_file(file, 3);
    std::string nar;
    const auto read = m_store->readNar(sample.info, sinkInto(nar));
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::Corrupt) << read.error().message;
}

TEST_P(StoreAccessContract, GivesClosuresReferencesFirst)
{
    const NarSample leaf = sampleOf("leaf", "1");
    const NarSample left = sampleOf("left", "2", {leaf.info.path});
    const NarSample right = sampleOf("right", "3", {leaf.info.path});
    NarSample top = sampleOf("top", "4", {left.info.path, right.info.path});
    top.info.references.insert(top.info.path);
    for (const NarSample& sample : {leaf, left, right, top})
        add(sample);
    const auto closure = closureOf(*m_store, {top.info.path}, 4);
    ASSERT_TRUE(closure) << closure.error().message;
    ASSERT_EQ(closure->size(), 4U);
    EXPECT_EQ(closure->front(), leaf.info);
    EXPECT_EQ(closure->back(), top.info);
    EXPECT_EQ(closureOf(*m_store, {top.info.path}, 3).error().code, ErrorCode::Exhausted);
    const auto missing = closureOf(*m_store, {top.info.path, sampleOf("gone", "").info.path}, 100);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::NotFound);
    EXPECT_NE(missing.error().message.find("gone"), std::string::npos);
}

TEST_P(StoreAccessContract, HoldsARootAgainstTheCollector)
{
    const NarSample held = sampleOf("held", "x");
    const NarSample other = sampleOf("other", "y");
    add(held);
    add(other);
    const std::string link = m_nix->root() + "/root";
    for (int i = 0; i < 2; ++i) { // it may be set again
        const auto rooted = m_store->addRoot(held.info.path, link);
        ASSERT_TRUE(rooted) << rooted.error().message;
    }
    EXPECT_EQ(std::filesystem::read_symlink(link), held.info.path.print(m_nix->storeDir()));
    m_store.reset(); // and its connections' temporary roots
    const auto collected = m_nix->run({"nix-store", "--gc"});
    ASSERT_TRUE(collected) << collected.error().message;
    m_store = GetParam().open(*m_nix, m_interrupt);
    EXPECT_TRUE(isValid(held.info.path));
    EXPECT_FALSE(isValid(other.info.path));
    EXPECT_FALSE(m_store->addRoot(held.info.path, "relative"));
    EXPECT_FALSE(m_store->addRoot(held.info.path, m_nix->storeDir().text() + "/inside"));
}

TEST_P(StoreAccessContract, StopsWhenItIsInterrupted)
{
    const NarSample sample = sampleOf("interrupted", std::string(1'000'000, 'i'));
    const ByteSource whole = sourceOf(sample.nar);
    const auto added = m_store->addNar(sample.info, [&](std::span<char> into) {
        m_interrupt.raise();
        return whole(into);
    });
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code, ErrorCode::Cancelled);
    EXPECT_EQ(m_store->validPaths({sample.info.path}, false).error().code, ErrorCode::Cancelled);
    m_store = GetParam().open(*m_nix, makeInterrupt());
    EXPECT_FALSE(isValid(sample.info.path));
}

TEST_P(StoreAccessContract, IsUnavailableWhenItsDaemonIsGoneAndComesBackWithIt)
{
    const NarSample sample = sampleOf("orphan", std::string(1'000'000, 'o'));
    const ByteSource whole = sourceOf(sample.nar);
    std::size_t pieces = 0;
    const auto added = m_store->addNar(sample.info, [&](std::span<char> into) {
        if (++pieces == 2)
            m_nix->kill();
        return whole(into);
    });
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code, ErrorCode::Unavailable) << added.error().message;
    const auto asked = m_store->validPaths({sample.info.path}, false);
    ASSERT_FALSE(asked);
    EXPECT_EQ(asked.error().code, ErrorCode::Unavailable) << asked.error().message;
    ASSERT_TRUE(m_nix->restart());
    EXPECT_FALSE(isValid(sample.info.path));
    add(sample);
    EXPECT_TRUE(isValid(sample.info.path));
}

INSTANTIATE_TEST_SUITE_P(Ways, StoreAccessContract,
                         ::testing::Values(Way{"Daemon", false, throughDaemon},
                                           Way{"DaemonChroot", true, throughDaemon},
                                           Way{"Tools", false, throughTools}),
                         [](const auto& instance) { return instance.param.name; });

} // namespace
} // namespace penstock::nixstore
