// SPDX-License-Identifier: GPL-3.0-or-later
// DebugInfoVisitor: the build ids of the separate debug files in a NAR, for the `debuginfo/` index of a
// binary cache (nix-formats 4.1): regular files lib/debug/.build-id/xx/yyyy….debug in lower-case hexadecimal.
// Pure; one thread; it never stops the parser.
#pragma once

#include "shared/nix/nar.h"

#include <cstddef>
#include <string>
#include <vector>

namespace penstock::nix {

inline constexpr std::size_t kMinBuildId = 3; // bytes
inline constexpr std::size_t kMaxBuildId = 64;
inline constexpr std::size_t kMaxDebugFiles = 100'000; // of one NAR

struct DebugFile {
    std::string buildId; // "abcdef…"
    std::string member;  // "lib/debug/.build-id/ab/cdef….debug"
    friend bool operator==(const DebugFile&, const DebugFile&) = default;
};

class DebugInfoVisitor final : public NarVisitor {
public:
    [[nodiscard]] const std::vector<DebugFile>& files() const { return m_files; } // by member
    // True when there were more than kMaxDebugFiles; only the first of them are kept.
    [[nodiscard]] bool isCut() const { return m_isCut; }

    Result<void> onFile(std::string_view path, const NarFile& file) override;

private:
    std::vector<DebugFile> m_files;
    bool m_isCut = false;
};

} // namespace penstock::nix
