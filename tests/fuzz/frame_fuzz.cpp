// SPDX-License-Identifier: GPL-3.0-or-later
// Frames: the same frames come out for every chunking; what came out and is put in again comes out again.
#include "shared/protocol/frame.h"
#include "tests/fuzz/fuzz_target.h"

#include <cstdlib>
#include <vector>

namespace {

using namespace penstock;

struct Collector final : protocol::FrameSink {
    void onFrame(ByteView payload) override { frames.emplace_back(textOf(payload)); }
    std::vector<std::string> frames;
};

constexpr std::size_t kLimit = 4096;

std::vector<std::string> decode(ByteView bytes, std::size_t chunk, bool& good)
{
    protocol::FrameDecoder decoder(kLimit);
    Collector collector;
    while (!bytes.empty()) {
        const std::size_t size = std::min(chunk, bytes.size());
        decoder.push(bytes.first(size), collector);
        bytes = bytes.subspan(size);
    }
    good = decoder.status().has_value();
    return collector.frames;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const ByteView bytes = std::as_bytes(std::span(data, size));
    bool wholeGood = false;
    bool pieceGood = false;
    const auto whole = decode(bytes, size + 1, wholeGood);
    if (decode(bytes, size % 7 + 1, pieceGood) != whole || wholeGood != pieceGood)
        std::abort();
    std::string again;
    for (const std::string& frame : whole) {
        if (frame.empty() || frame.size() > kLimit)
            std::abort();
        protocol::appendFrame(again, frame);
    }
    if (decode(bytesOf(again), again.size() + 1, wholeGood) != whole || !wholeGood)
        std::abort();
    return 0;
}
