// SPDX-License-Identifier: GPL-3.0-or-later
// NarListing: the `.ls` of a NAR (nix-formats 4.6) and its debug links, while the archive streams by. One thread.
// Errors are those of the sink.
#pragma once

#include "shared/base/result.h"
#include "shared/base/stream.h"
#include "shared/nix/nar.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::cache::detail {

inline constexpr std::size_t kMaxDebugLinks = 100'000;

struct DebugLink {
    std::string buildId; // lower-case hex, 3 to 64 bytes
    std::string member;  // lib/debug/.build-id/ab/cdef….debug
};

class NarListing final : public nix::NarVisitor {
public:
    // text: takes the JSON in pieces; null when no listing is wanted.
    explicit NarListing(ByteSink text) : m_text(std::move(text)) {}

    Result<void> onDirectory(std::string_view path) override;
    Result<void> onDirectoryEnd(std::string_view path) override;
    Result<void> onSymlink(std::string_view path, std::string_view target) override;
    Result<void> onFile(std::string_view path, const nix::NarFile& file) override;

    // After the archive's end.
    [[nodiscard]] Result<void> finish();
    // False when a name or target is no UTF-8: JSON cannot say it, so there is no true listing.
    [[nodiscard]] bool isTrue() const { return m_isTrue; }
    [[nodiscard]] const std::vector<DebugLink>& debugLinks() const { return m_debugLinks; }

private:
    [[nodiscard]] Result<void> node(std::string_view path, std::string_view members);
    [[nodiscard]] std::string quoted(std::string_view text);

    const ByteSink m_text;
    std::string m_piece;
    std::vector<DebugLink> m_debugLinks;
    bool m_isTrue = true;
    bool m_isFirst = true; // nothing before the next entry in its directory
    bool m_hasRoot = false;
};

} // namespace penstock::cache::detail
