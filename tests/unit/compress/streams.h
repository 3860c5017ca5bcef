// SPDX-License-Identifier: GPL-3.0-or-later
// Whole texts through the streaming codecs, in pieces of any size, for tests.
#pragma once

#include "shared/compress/codec.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::compress::test {

inline constexpr std::array<Method, 5> kWritten{Method::None, Method::Xz, Method::Bzip2, Method::Zstd,
                                                Method::Brotli};

// Works for encoders and decoders; piece: bytes a push.
template <class Codec>
[[nodiscard]] Result<std::string> through(Codec& codec, std::string_view text, std::size_t piece)
{
    std::string out;
    const ByteSink sink = [&out](std::string_view bytes) -> Result<void> {
        out.append(bytes);
        return {};
    };
    for (; !text.empty(); text.remove_prefix(std::min(piece, text.size())))
        PENSTOCK_TRY_VOID(codec.push(text.substr(0, piece), sink));
    PENSTOCK_TRY_VOID(codec.finish(sink));
    return out;
}

[[nodiscard]] inline Result<std::string> compressed(const EncoderOptions& options, std::string_view text,
                                                    std::size_t piece = 1U << 20U)
{
    PENSTOCK_TRY(const auto encoder, makeEncoder(options));
    return through(*encoder, text, piece);
}

[[nodiscard]] inline Result<std::string> decompressed(Method method, std::string_view text,
                                                      std::size_t piece = 1U << 20U,
                                                      std::uint64_t limit = 1ULL << 30U)
{
    PENSTOCK_TRY(const auto decoder, makeDecoder(method, limit));
    return through(*decoder, text, piece);
}

// Bytes that compress somewhat, the same for the same seed.
[[nodiscard]] inline std::string someText(std::size_t size, std::uint32_t seed = 1)
{
    std::string text;
    text.reserve(size);
    while (text.size() < size) {
        seed = seed * 1'664'525U + 1'013'904'223U;
        text.append(1 + (seed >> 28U), static_cast<char>(seed >> 20U));
    }
    text.resize(size);
    return text;
}

} // namespace penstock::compress::test
