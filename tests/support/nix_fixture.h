// SPDX-License-Identifier: GPL-3.0-or-later
// NixFixture: a nix-daemon of our own with a private store in a temporary directory, without sandbox and
// network; works as root and as an ordinary user. Stopped by its process id at the end. One thread; errors
// name the cause and the daemon's log. Several may run at once.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/drv.h"
#include "shared/nix/store_path.h"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::test {

struct NixFixtureOptions {
    bool isTrusted = true;   // does the daemon trust its clients?
    std::string extraConfig; // more lines for the daemon's NIX_CONFIG
    // The paths are those of /nix/store, kept below root(): several stores with the same paths that share
    // nothing.
    bool isChroot = false;
};

class NixFixture {
public:
    [[nodiscard]] static Result<std::unique_ptr<NixFixture>> start(NixFixtureOptions options = {});
    ~NixFixture();
    NixFixture(const NixFixture&) = delete;
    NixFixture& operator=(const NixFixture&) = delete;

    [[nodiscard]] const std::string& socketPath() const { return m_socketPath; }
    [[nodiscard]] const nix::StoreDir& storeDir() const { return m_storeDir; }
    [[nodiscard]] const std::string& root() const { return m_root; }
    // For programs that shall use this store (nix tools and ours). Put over the process's own environment.
    [[nodiscard]] const std::map<std::string, std::string>& environment() const { return m_environment; }
    // Where a path of the store really is.
    [[nodiscard]] std::string realPath(const nix::StorePath& path) const;
    // The store itself, past the daemon: "local" or its root (nix's --store).
    [[nodiscard]] std::string localStore() const;
    // Runs a program with that environment to its end; its standard output, or an error with its standard
    // error.
    [[nodiscard]] Result<std::string> run(const std::vector<std::string>& argv) const;

    // Kills the daemon and all processes it started, as a machine that fails would.
    void kill();
    // A daemon on the same store again.
    [[nodiscard]] Result<void> restart();

private:
    NixFixture(std::string root, nix::StoreDir storeDir, NixFixtureOptions options);
    [[nodiscard]] Result<void> startDaemon();

    std::string m_root;
    std::string m_socketPath;
    nix::StoreDir m_storeDir;
    NixFixtureOptions m_options;
    std::map<std::string, std::string> m_environment;
    int m_pid = -1;
};

// A derivation with right output paths, made without Nix.
struct TestDerivation {
    nix::StorePath path; // of the .drv
    nix::Derivation drv;
    [[nodiscard]] nix::StorePath output(const std::string& name = "out") const
    {
        return *drv.outputs.at(name).path;
    }
    [[nodiscard]] std::string text(const nix::StoreDir& dir) const { return nix::printDerivation(dir, drv); }
};
struct TestDerivationSpec {
    std::string name;
    std::string script; // for /bin/sh, with an empty PATH; must make $out
    std::vector<std::string> outputs = {"out"};
    std::vector<TestDerivation> inputs = {}; // all outputs of each; an input's own inputs before it
    std::map<std::string, std::string> environment = {};
    std::string platform = "x86_64-linux";
};
[[nodiscard]] TestDerivation makeDerivation(const nix::StoreDir& dir, const TestDerivationSpec& spec);

} // namespace penstock::test
