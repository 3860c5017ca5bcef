// SPDX-License-Identifier: GPL-3.0-or-later
// resolveDerivation and realisations against a real Nix with content-addressed derivations: what we make of
// derivations builds in a real daemon, and lands where Nix's own resolution puts it.
#include "shared/base/text.h"
#include "shared/nix/realisation.h"
#include "shared/nix/resolution.h"
#include "shared/nixdaemon/daemon_connection.h"
#include "tests/support/golden.h"
#include "tests/support/nix_fixture.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

namespace fs = std::filesystem;
using test::NixFixture;

constexpr std::string_view kExpressions = R"(
let
  sh = name: script: more: derivation ({
    inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" script ];
  } // more);
  floating = { __contentAddressed = true; outputHashAlgo = "sha256"; outputHashMode = "recursive"; };
in rec {
  first = sh "first" "echo first > $out; echo lib > $lib" (floating // { outputs = [ "out" "lib" ]; });
  plain = sh "plain" "echo plain > $out" { };
  second = sh "second" "echo ${first.lib} ${plain} > $out" floating;
  deferred = sh "deferred" "echo $input $out > $out; echo ${first} $dev > $dev" {
    outputs = [ "out" "dev" ]; input = "${second}/x ${plain}"; };
  onDeferred = sh "on-deferred" "echo ${deferred.dev} > $out" { };
  fixed = sh "fixed" "echo ${second} > /dev/null; echo hello > $out" {
    outputHashAlgo = "sha256"; outputHashMode = "flat";
    outputHash = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"; };
}
)";

class NixResolution : public ::testing::Test {
protected:
    void SetUp() override
    {
        std::string folder = ::testing::TempDir() + "/penstock-resolution-XXXXXX";
        ASSERT_NE(::mkdtemp(folder.data()), nullptr);
        m_folder = folder;
        const std::string key = folder + "/key";
        std::ofstream(key) << penstock::test::readGolden("nix/keys/test-key.sec");
        auto started = NixFixture::start(
            {true, "extra-experimental-features = ca-derivations\nsecret-key-files = " + key});
        ASSERT_TRUE(started) << started.error().message;
        m_nix = *std::move(started);
        std::ofstream(m_nix->root() + "/t.nix") << kExpressions;
        nixdaemon::DaemonOptions options;
        options.storeDir = dir();
        auto connection = nixdaemon::DaemonConnection::open(m_nix->socketPath(), options);
        ASSERT_TRUE(connection) << connection.error().message;
        m_daemon = *std::move(connection);
        ASSERT_TRUE(m_daemon->setOptions({}));
    }

    void TearDown() override { fs::remove_all(m_folder); }

    [[nodiscard]] const StoreDir& dir() const { return m_nix->storeDir(); }
    std::string run(std::vector<std::string> argv) const
    {
        for (const char* word : {"--option", "experimental-features", "nix-command ca-derivations"})
            argv.emplace_back(word);
        const auto out = m_nix->run(argv);
        EXPECT_TRUE(out) << out.error().message;
        return std::string(trim(out.value_or("")));
    }
    [[nodiscard]] StorePath instantiate(const std::string& attribute) const
    {
        return StorePath::parse(dir(), run({"nix-instantiate", m_nix->root() + "/t.nix", "-A", attribute}))
            .value();
    }
    [[nodiscard]] Derivation read(const StorePath& path) const
    {
        std::ifstream in(path.print(dir()), std::ios::binary);
        std::ostringstream text;
        text << in.rdbuf();
        const auto drv = parseDerivationAt(dir(), path, text.str());
        EXPECT_TRUE(drv) << drv.error().message;
        return drv.value();
    }

    // Resolves and builds, inputs first, as a scheduler would: no .drv is ever given to the daemon.
    void build(const StorePath& path)
    {
        if (m_resolved.contains(path))
            return;
        const Derivation drv = read(path);
        for (const auto& [input, node] : drv.inputDerivations)
            build(input);
        const auto resolved = resolveDerivation(dir(), path, drv, m_known);
        ASSERT_TRUE(resolved) << resolved.error().message;
        nixdaemon::DaemonEvents events;
        const auto built =
            m_daemon->buildDerivation(resolved->path, resolved->basic, nixdaemon::BuildMode::Normal, events);
        ASSERT_TRUE(built) << built.error().message;
        EXPECT_EQ(built->status, nixdaemon::BuildStatus::Built) << path.baseName() << ": " << built->error;
        EXPECT_EQ(built->outputs.size(), drv.outputs.size());
        for (const auto& [output, at] : built->outputs) {
            m_known.insert_or_assign({path, output}, at);
            const auto& expected = resolved->basic.outputs.at(output).path;
            EXPECT_TRUE(!expected || *expected == at) << "computed before the build";
        }
        m_resolved.emplace(path, *resolved);
    }

    fs::path m_folder; // the daemon's key, which must be there before it
    std::unique_ptr<NixFixture> m_nix;
    std::unique_ptr<nixdaemon::DaemonConnection> m_daemon;
    KnownOutputs m_known;
    std::map<StorePath, ResolvedDerivation> m_resolved;
};

TEST_F(NixResolution, BuildsWhatNixBuildsAndWhere)
{
    for (const std::string attribute : {"onDeferred", "fixed"}) {
        const StorePath path = instantiate(attribute);
        build(path);
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_EQ(m_resolved.size(), 6U);
    // Now Nix itself, from the original derivations.
    for (const auto& [path, resolved] : m_resolved) {
        std::set<std::string> ours;
        for (const auto& [output, value] : resolved.basic.outputs)
            ours.insert(m_known.at({path, output}).print(dir()));
        std::set<std::string> nix;
        const std::string printed = run({"nix-store", "-r", path.print(dir())});
        for (const std::string_view line : split(printed, '\n'))
            nix.insert(std::string(line));
        EXPECT_EQ(ours, nix) << path.baseName();
        // Nix writes the resolved derivation to its store.
        const Derivation drv = read(path);
        if (needsResolution(drv) && drv.outputKind() != OutputKind::Fixed) {
            EXPECT_NE(resolved.path, path) << path.baseName();
            EXPECT_TRUE(m_daemon->isValidPath(resolved.path).value()) << resolved.path.baseName();
            EXPECT_TRUE(read(resolved.path).inputDerivations.empty());
        }
    }
}

TEST_F(NixResolution, VerifiesTheRealisationsThatNixSigned)
{
    const StorePath path = instantiate("onDeferred");
    run({"nix-store", "-r", path.print(dir())});
    const std::string cache = m_nix->root() + "/out-cache";
    run({"nix", "copy", "--to", "file://" + cache, path.print(dir())});
    const SecretKey key = SecretKey::parse(penstock::test::readGolden("nix/keys/test-key.sec")).value();
    std::size_t signedCount = 0;
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(cache + "/realisations")) {
        std::ifstream in(entry.path(), std::ios::binary);
        std::ostringstream text;
        text << in.rdbuf();
        const auto realisation = parseRealisation(text.str());
        ASSERT_TRUE(realisation) << realisation.error().message << text.str();
        EXPECT_EQ(printRealisation(*realisation), text.str());
        EXPECT_EQ(realisationKey(realisation->id), "realisations/" + entry.path().filename().string());
        ++count;
        signedCount += isSignedBy({key.publicKey()}, *realisation) ? 1U : 0U;
        Realisation again = *realisation;
        again.signatures.clear();
        sign(again, key);
        if (!realisation->signatures.empty()) {
            EXPECT_EQ(again, *realisation) << "the same signature as Nix's";
        }
    }
    EXPECT_GE(count, 1U);
    EXPECT_GE(signedCount, 1U);
}

} // namespace
} // namespace penstock::nix
