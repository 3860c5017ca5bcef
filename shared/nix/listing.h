// SPDX-License-Identifier: GPL-3.0-or-later
// ListingBuilder: the `.ls` file of a binary cache (nix-formats 4.6) from the events of a NAR. Pure; one
// thread. It never stops the parser: what makes a listing impossible is said by finish(), and the path is
// then kept without one, so that a reader falls back to the NAR. A listing that leaves entries out would say
// that they do not exist.
#pragma once

#include "shared/nix/nar.h"

#include <cstddef>
#include <optional>
#include <string>

namespace penstock::nix {

inline constexpr std::size_t kMaxListingBytes = 64U << 20U;

class ListingBuilder final : public NarVisitor {
public:
    explicit ListingBuilder(std::size_t maxBytes = kMaxListingBytes);

    // The JSON text, byte for byte as Nix 2.8 writes it. Exhausted above maxBytes; Invalid when a name or a
    // link target is not UTF-8, which JSON cannot say, or when the archive is not whole.
    [[nodiscard]] Result<std::string> finish() &&;

    Result<void> onDirectory(std::string_view path) override;
    Result<void> onDirectoryEnd(std::string_view path) override;
    Result<void> onSymlink(std::string_view path, std::string_view target) override;
    Result<void> onFile(std::string_view path, const NarFile& file) override;

private:
    bool beginNode(std::string_view path);
    void appendText(std::string_view text);
    void endNode();
    void giveUp(ErrorCode code, std::string message);

    std::size_t m_maxBytes;
    std::string m_text;
    unsigned m_depth = 0;
    std::optional<Error> m_failure;
};

} // namespace penstock::nix
