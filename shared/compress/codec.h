// SPDX-License-Identifier: GPL-3.0-or-later
// Streaming compression as binary caches use it (nix-formats 4.7): xz, bzip2, zstd, brotli, none; gzip for
// reading. Bounded memory; a decoder never gives more than its limit. An object belongs to one stream and one
// thread (zstd may use more inside). Errors: Corrupt for damaged or truncated input, Exhausted above the
// limit, Invalid for a level.
#pragma once

#include "shared/base/result.h"
#include "shared/base/stream.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace penstock::compress {

enum class Method : std::uint8_t { None, Xz, Bzip2, Zstd, Brotli, Gzip };

// The narinfo's word: none, xz, bzip2, zstd, br, gzip ("" is bzip2, as Nix reads it).
[[nodiscard]] Result<Method> parseMethod(std::string_view word);
[[nodiscard]] std::string_view toString(Method method);
// Of a file in nar/: ".xz", ".bz2", ".zst", ".br", "".
[[nodiscard]] std::string_view extension(Method method);

struct EncoderOptions {
    Method method = Method::Zstd;
    std::optional<int> level =
        std::nullopt;     // the method's own scale; none: its default. Invalid outside of the scale
    unsigned threads = 0; // besides the caller's; zstd and xz only
};

struct Encoder {
    virtual ~Encoder() = default;
    [[nodiscard]] virtual Result<void> push(std::string_view bytes, const ByteSink& sink) = 0;
    [[nodiscard]] virtual Result<void> finish(const ByteSink& sink) = 0;
};

struct Decoder {
    virtual ~Decoder() = default;
    [[nodiscard]] virtual Result<void> push(std::string_view bytes, const ByteSink& sink) = 0;
    // Corrupt when the stream is not whole, or something follows its end.
    [[nodiscard]] virtual Result<void> finish(const ByteSink& sink) = 0;
};

[[nodiscard]] Result<std::unique_ptr<Encoder>> makeEncoder(const EncoderOptions& options);
[[nodiscard]] Result<std::unique_ptr<Decoder>> makeDecoder(Method method, std::uint64_t maxOutputBytes);

} // namespace penstock::compress
