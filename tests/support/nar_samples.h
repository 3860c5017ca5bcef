// SPDX-License-Identifier: GPL-3.0-or-later
// Store paths with archives for tests, made without Nix: small ones in memory, big ones that are generated
// while they stream. Pure.
#pragma once

#include "shared/base/stream.h"
#include "shared/nix/narinfo.h"
#include "shared/nix/store_path.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::test {

struct NarSample {
    nix::NarInfo info;
    std::string nar;
};

// The archive of one file.
[[nodiscard]] std::string narOfFile(std::string_view content);
// Input-addressed in form: a path with a made-up digest, which only a trusting store takes.
[[nodiscard]] NarSample sampleOf(std::string_view name, std::string_view content,
                                 nix::StorePathSet references = {});
// Content-addressed: the path is computed.
[[nodiscard]] NarSample addressedSample(const nix::StoreDir& dir, std::string_view name,
                                        std::string_view content, const nix::StorePathSet& references = {});

[[nodiscard]] ByteSource sourceOf(std::string bytes);
[[nodiscard]] ByteSink sinkInto(std::string& bytes);

// The archive of one file of so many bytes that do not compress to nothing, a new stream at each call.
[[nodiscard]] ByteSource bigNar(std::uint64_t contentSize);
[[nodiscard]] nix::NarInfo bigInfo(std::string_view name, std::uint64_t contentSize);

} // namespace penstock::test
