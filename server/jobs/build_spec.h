// SPDX-License-Identifier: GPL-3.0-or-later
// BuildAssembler: takes a derivation closure piece by piece, checks each text against its path, and makes the job of
// it: one step per derivation that a root needs. Pure; belongs to one upload. Errors are Invalid, Exhausted above a
// limit, Corrupt when a text is not that of its path; each names the derivation.
#pragma once

#include "server/jobs/job_spec.h"
#include "server/jobs/parsed_job.h"
#include "shared/base/result.h"
#include "shared/nix/drv.h"

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::jobs {

inline constexpr std::size_t kMaxDerivations = 200'000;
inline constexpr std::size_t kMaxRoots = 10'000;
inline constexpr std::size_t kMaxInputPaths = 100'000; // of one step

class BuildAssembler {
public:
    BuildAssembler(nix::StoreDir dir, std::size_t maxBytes) : m_dir(std::move(dir)), m_maxBytes(maxBytes) {}

    [[nodiscard]] Result<void> add(std::string_view path, std::string_view text);
    // roots: derivation paths, all of them added; jobJson: see parseJobFrame. The assembler is then of no more use.
    [[nodiscard]] Result<ParsedJob> finish(std::span<const std::string> roots, std::string_view jobJson,
                                           const Submitter& submitter) &&;

    [[nodiscard]] std::size_t bytes() const { return m_bytes; }
    [[nodiscard]] std::size_t count() const { return m_derivations.size(); }

private:
    struct Entry {
        nix::Derivation drv;
        std::string text;
    };
    using Entries = std::map<nix::StorePath, Entry>;

    [[nodiscard]] Result<std::vector<nix::StorePath>> order(std::span<const nix::StorePath> roots) const;
    [[nodiscard]] Result<void> verifyOutputs(std::span<const nix::StorePath> order) const;
    [[nodiscard]] Result<work::NixWork> workOf(const nix::StorePath& path, Entry& entry) const;
    [[nodiscard]] Result<ParsedStep> stepOf(const nix::StorePath& path, const JobFrame& frame,
                                            const std::map<nix::StorePath, std::uint32_t>& indices);

    nix::StoreDir m_dir;
    std::size_t m_maxBytes;
    std::size_t m_bytes = 0;
    Entries m_derivations;
};

} // namespace penstock::jobs
