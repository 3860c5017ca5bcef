// SPDX-License-Identifier: GPL-3.0-or-later
// The decoders of all methods. The first byte chooses the method and the size of the pieces; the rest is the
// stream. Laws: never more than the limit comes out, and what comes out does not depend on the pieces.
#include "tests/fuzz/fuzz_target.h"

#include "shared/base/bytes.h"
#include "shared/base/check.h"
#include "shared/compress/codec.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

using namespace penstock;
using namespace penstock::compress;

namespace {

constexpr std::uint64_t kLimit = 300'000;

struct Outcome {
    std::string content;
    bool isGood = true;
};

Outcome decode(Method method, std::string_view text, std::size_t piece)
{
    Outcome outcome;
    const ByteSink sink = [&outcome](std::string_view bytes) -> Result<void> {
        PENSTOCK_CHECK(!bytes.empty());
        outcome.content.append(bytes);
        PENSTOCK_CHECK(outcome.content.size() <= kLimit);
        return {};
    };
    const auto decoder = makeDecoder(method, kLimit).value();
    for (; outcome.isGood && !text.empty(); text.remove_prefix(std::min(piece, text.size())))
        outcome.isGood = decoder->push(text.substr(0, piece), sink).has_value();
    const bool isFinished = decoder->finish(sink).has_value();
    PENSTOCK_CHECK(outcome.isGood || !isFinished);
    outcome.isGood = isFinished;
    return outcome;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    if (size == 0)
        return 0;
    constexpr std::array<Method, 6> kMethods{Method::None, Method::Xz,     Method::Bzip2,
                                             Method::Zstd, Method::Brotli, Method::Gzip};
    const unsigned choice = bytes[0];
    const Method method = kMethods[choice % kMethods.size()];
    const std::string_view text = textOf(std::as_bytes(std::span(bytes, size))).substr(1);
    const Outcome whole = decode(method, text, text.size());
    const Outcome pieces = decode(method, text, 1 + choice / kMethods.size());
    PENSTOCK_CHECK(whole.isGood == pieces.isGood);
    // Of a stream that fails, how much came out before is by chance.
    PENSTOCK_CHECK(!whole.isGood || whole.content == pieces.content);
    return 0;
}
