// SPDX-License-Identifier: GPL-3.0-or-later
// CliStore: StoreAccess through the nix command-line tools (2.8 and newer), for where no daemon's socket can
// be spoken to. A process for each question, so it is slow for many small ones; infos() and validPaths() ask
// in bulk. Blocking; callable from any thread, from several at once. What is added streams through a pipe
// into `nix copy`, from a binary cache of one path, so that signatures and content addresses are kept.
#pragma once

#include "shared/nixdaemon/unix_socket.h"
#include "shared/nixstore/store_access.h"
#include "shared/nixstore/tool_process.h"

#include <map>
#include <string>
#include <vector>

namespace penstock::nixstore {

struct CliOptions {
    nix::StoreDir storeDir = nix::StoreDir::standard();
    std::map<std::string, std::string> environment = {}; // complete, of the tools: PATH, HOME, NIX_REMOTE, …
    std::string store;                                   // --store; empty: as the environment says
    std::string temporaryDir = "/tmp";
};

class CliStore final : public StoreAccess {
public:
    // Raising the interrupt ends running tools and makes running and later calls fail with Cancelled.
    CliStore(CliOptions options, nixdaemon::Interrupt interrupt)
        : m_options(std::move(options)), m_interrupt(std::move(interrupt))
    {}

    [[nodiscard]] const nix::StoreDir& storeDir() const override { return m_options.storeDir; }
    [[nodiscard]] Result<nix::StorePathSet> validPaths(const nix::StorePathSet& paths,
                                                       bool substitute) override;
    [[nodiscard]] Result<std::optional<nix::NarInfo>> info(const nix::StorePath& path) override;
    [[nodiscard]] Result<std::vector<nix::NarInfo>> infos(const nix::StorePathSet& paths) override;
    [[nodiscard]] Result<void> readNar(const nix::NarInfo& info, const ByteSink& sink) override;
    [[nodiscard]] Result<void> addNar(const nix::NarInfo& info, const ByteSource& nar) override;
    // Invalid for a .drv: the tools would build it.
    [[nodiscard]] Result<void> addRoot(const nix::StorePath& path, const std::string& link) override;

private:
    [[nodiscard]] ToolCommand command(std::string_view tool, std::vector<std::string> arguments) const;
    [[nodiscard]] Result<std::string> run(const ToolCommand& command) const;
    // A refusal of a store that does not even answer is Unavailable.
    [[nodiscard]] Error classify(Error error) const;
    [[nodiscard]] Result<std::vector<nix::NarInfo>> infosOf(const std::vector<std::string>& paths,
                                                            bool areDerivations) const;
    [[nodiscard]] Result<void> copyFrom(const std::string& cache, const nix::NarInfo& info,
                                        const ByteSource& nar) const;

    CliOptions m_options;
    nixdaemon::Interrupt m_interrupt;
};

// The answer of `nix path-info --json`, in each of its forms since Nix 2.8. Corrupt when it is none.
[[nodiscard]] Result<std::vector<nix::NarInfo>> parsePathInfos(const nix::StoreDir& dir,
                                                               std::string_view json);

} // namespace penstock::nixstore
