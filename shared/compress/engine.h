// SPDX-License-Identifier: GPL-3.0-or-later
// Engine: one compression library in one direction, behind the smallest step that all of them share.
// codec.cpp makes encoders and decoders of it. An engine belongs to one stream and one thread. Errors:
// Corrupt for bad input, Exhausted when the stream needs more memory than we give, Invalid for a level,
// Internal for a library that fails.
#pragma once

#include "shared/base/result.h"
#include "shared/compress/codec.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace penstock::compress {

// What a decoder may take beside its output: windows and dictionaries. Above what any level of our encoders
// needs (zstd 22: 128 MiB, xz 9: 65 MiB), below what a stream may ask for (zstd 2 GiB, xz 4 GiB).
inline constexpr int kMaxWindowLog = 27;
inline constexpr std::uint64_t kMaxDecoderBytes = 192ULL << 20U;
// What an encoder may take; fewer threads are used above it.
inline constexpr std::uint64_t kMaxEncoderBytes = 1ULL << 30U;
inline constexpr unsigned kMaxThreads = 64;

struct Step {
    std::size_t consumed = 0;
    std::size_t produced = 0;
    bool isWhole = false; // everything so far makes a complete stream
};

struct Engine {
    virtual ~Engine() = default;
    // isLast: no input follows that of this call. A step without progress while it had input and room is a
    // defect.
    [[nodiscard]] virtual Result<Step> step(std::string_view in, std::span<char> out, bool isLast) = 0;
};

[[nodiscard]] Result<std::unique_ptr<Engine>> makeZstdEncoder(const EncoderOptions& options);
[[nodiscard]] Result<std::unique_ptr<Engine>> makeZstdDecoder();
[[nodiscard]] Result<std::unique_ptr<Engine>> makeXzEncoder(const EncoderOptions& options);
[[nodiscard]] Result<std::unique_ptr<Engine>> makeXzDecoder();
[[nodiscard]] Result<std::unique_ptr<Engine>> makeBzip2Encoder(const EncoderOptions& options);
[[nodiscard]] Result<std::unique_ptr<Engine>> makeBzip2Decoder();
[[nodiscard]] Result<std::unique_ptr<Engine>> makeBrotliEncoder(const EncoderOptions& options);
[[nodiscard]] Result<std::unique_ptr<Engine>> makeBrotliDecoder();
[[nodiscard]] Result<std::unique_ptr<Engine>> makeGzipDecoder();

struct LevelScale {
    int lowest, highest, usual;
};
[[nodiscard]] Result<int> levelOf(const EncoderOptions& options, LevelScale scale);

} // namespace penstock::compress
