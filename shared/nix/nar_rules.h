// SPDX-License-Identifier: GPL-3.0-or-later
// What the reader and the writer of NARs share: padding and the rules for names and link targets. Pure.
// Errors are sentences, for the caller to put a code and a place on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::nix {

inline constexpr std::string_view kNarMagic = "nix-archive-1";
inline constexpr std::size_t kNarWord = 8; // bytes of an integer, and what everything is padded to

// Words that always come together, as they lie in an archive. Taken at once where they lie in one piece, they
// make archives of small files twice as fast to read; the way word by word decides all else.
inline constexpr std::string_view kNarClosing("\1\0\0\0\0\0\0\0)\0\0\0\0\0\0\0"
                                              "\1\0\0\0\0\0\0\0)\0\0\0\0\0\0\0",
                                              32);
inline constexpr std::string_view kNarEntry("\5\0\0\0\0\0\0\0entry\0\0\0"
                                            "\1\0\0\0\0\0\0\0(\0\0\0\0\0\0\0"
                                            "\4\0\0\0\0\0\0\0name\0\0\0\0",
                                            48);
inline constexpr std::string_view kNarNode("\4\0\0\0\0\0\0\0node\0\0\0\0"
                                           "\1\0\0\0\0\0\0\0(\0\0\0\0\0\0\0"
                                           "\4\0\0\0\0\0\0\0type\0\0\0\0",
                                           48);
inline constexpr std::string_view kNarContents("\10\0\0\0\0\0\0\0contents", 16);

// Zero bytes that follow so many bytes.
[[nodiscard]] constexpr std::size_t narPadding(std::uint64_t length)
{
    return (kNarWord - length % kNarWord) % kNarWord;
}

[[nodiscard]] std::uint64_t readNarNumber(const char* bytes);
void appendNarNumber(std::string& out, std::uint64_t value);
void appendNarString(std::string& out, std::string_view text);

// Items of known length out of a stream that comes in pieces, without copying those that lie in one piece.
class NarItems {
public:
    // The next count bytes, taken off the front of bytes, or null when they are not all there yet: then all
    // of bytes is kept, and the next call must ask for the same count. Valid until the next call.
    [[nodiscard]] const char* take(std::string_view& bytes, std::size_t count);
    [[nodiscard]] std::size_t keptBytes() const { return m_isWhole ? 0 : m_kept.size(); }

private:
    std::string m_kept;
    bool m_isWhole = false; // m_kept was handed out
};

// Empty when the rule is kept, else what is wrong. Lengths above the limits are not looked at.
[[nodiscard]] std::string narNameFault(std::string_view name);
[[nodiscard]] std::string narTargetFault(std::string_view target);
// Empty when name may follow previous (empty: there is none) in a directory.
[[nodiscard]] std::string narOrderFault(std::string_view previous, std::string_view name);

} // namespace penstock::nix
