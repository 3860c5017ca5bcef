// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/packed_path.h"

#include <cstddef>

namespace penstock::work {
namespace {

constexpr std::string_view kLetters = "0123456789abcdfghijklmnpqrsvwxyz";
constexpr std::uint8_t kNoLetter = 0xff;

constexpr std::array<std::uint8_t, 256> valuesOfLetters()
{
    std::array<std::uint8_t, 256> values{};
    values.fill(kNoLetter);
    for (std::size_t i = 0; i < kLetters.size(); ++i)
        values[static_cast<unsigned char>(kLetters[i])] = static_cast<std::uint8_t>(i);
    return values;
}
constexpr std::array<std::uint8_t, 256> kValues = valuesOfLetters();

} // namespace

// Five bits a letter, one after the other: eight letters are five bytes. Not the order of Nix's own form, and not meant
// to be.
std::optional<PathHash> packHash(std::string_view letters)
{
    if (letters.size() != kHashLetters)
        return std::nullopt;
    PathHash hash{};
    std::uint32_t bits = 0;
    unsigned count = 0;
    std::size_t at = 0;
    for (const char letter : letters) {
        const std::uint8_t value = kValues[static_cast<unsigned char>(letter)];
        if (value == kNoLetter)
            return std::nullopt;
        bits = (bits << 5U) | value;
        count += 5;
        if (count >= 8) {
            count -= 8;
            hash[at++] = static_cast<std::uint8_t>((bits >> count) & 0xffU);
        }
    }
    return hash;
}

std::string unpackHash(const PathHash& hash)
{
    std::string letters;
    letters.reserve(kHashLetters);
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const std::uint8_t byte : hash) {
        bits = (bits << 8U) | byte;
        for (count += 8; count >= 5;) {
            count -= 5;
            letters.push_back(kLetters[(bits >> count) & 31U]);
        }
    }
    return letters;
}

std::optional<SplitPath> splitPath(std::string_view path)
{
    const std::size_t slash = path.rfind('/');
    if (slash == std::string_view::npos || path.size() < slash + 1 + kHashLetters + 1 ||
        path[slash + 1 + kHashLetters] != '-')
        return std::nullopt;
    const std::optional<PathHash> hash = packHash(path.substr(slash + 1, kHashLetters));
    if (!hash)
        return std::nullopt;
    return SplitPath{path.substr(0, slash), *hash, path.substr(slash + 1 + kHashLetters + 1)};
}

} // namespace penstock::work
