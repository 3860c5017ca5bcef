// SPDX-License-Identifier: GPL-3.0-or-later
// BuildAssembler: takes a derivation closure piece by piece, checks each text against its path and its output paths
// against the text, and makes the job of it: one step per derivation that a root needs. Cheapest in time and memory
// when inputs come before what needs them, but any order is right. Pure; belongs to one upload. Errors are Invalid,
// Exhausted above a limit, Corrupt when a text is not that of its path; each names the derivation.
#pragma once

#include "server/jobs/job_spec.h"
#include "server/jobs/parsed_job.h"
#include "shared/base/result.h"
#include "shared/nix/drv.h"
#include "shared/nix/modulo.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace penstock::jobs {

inline constexpr std::size_t kMaxDerivations = 200'000;
inline constexpr std::size_t kMaxRoots = 10'000;

class BuildAssembler {
public:
    BuildAssembler(nix::StoreDir dir, std::size_t maxBytes) : m_dir(std::move(dir)), m_maxBytes(maxBytes) {}

    [[nodiscard]] Result<void> add(std::string_view path, std::string_view text);
    // roots: derivation paths, all of them added; jobJson: see parseJobFrame. The assembler is then of no more use.
    [[nodiscard]] Result<ParsedJob> finish(std::span<const std::string> roots, std::string_view jobJson,
                                           const Submitter& submitter) &&;

    [[nodiscard]] std::size_t bytes() const { return m_bytes; }
    [[nodiscard]] std::size_t count() const { return m_nodes.size() + m_waiting.size(); }

private:
    // A derivation whose inputs were all there: checked, and reduced to what a step of it needs.
    struct Node {
        std::string name;
        std::string system;
        std::vector<std::string> features;
        std::vector<std::uint32_t> inputs; // nodes, all smaller
        std::shared_ptr<const work::Work> work;
    };
    struct Entry {
        nix::Derivation drv;
        std::string text;
    };

    [[nodiscard]] bool isKnown(const nix::StorePath& path) const { return m_indices.contains(path); }
    [[nodiscard]] Result<void> settle(const nix::StorePath& path, Entry entry);
    [[nodiscard]] Result<void> settleWaiting(const nix::StorePath& root);
    [[nodiscard]] Result<work::NixWork> workOf(const nix::StorePath& path, Entry& entry) const;
    [[nodiscard]] ParsedStep stepOf(Node& node, const JobFrame& frame) const;
    [[nodiscard]] std::vector<bool> neededBy(std::span<const nix::StorePath> roots) const;

    nix::StoreDir m_dir;
    std::size_t m_maxBytes;
    std::size_t m_bytes = 0;
    nix::ModuloHashes m_hashes{m_dir};
    std::vector<Node> m_nodes; // inputs before what needs them
    std::unordered_map<nix::StorePath, std::uint32_t> m_indices;
    std::map<nix::StorePath, Entry> m_waiting; // came before some of their inputs: none when sent in order
};

} // namespace penstock::jobs
