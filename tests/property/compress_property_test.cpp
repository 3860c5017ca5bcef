// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/compress/codec.h"
#include "tests/unit/compress/streams.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace penstock::compress {
namespace {

// Runs, noise and repetitions, from nothing up to some pieces of output.
rc::Gen<std::string> contentGen()
{
    return rc::gen::exec([] {
        std::string text;
        const int parts = *rc::gen::inRange(0, 5);
        for (int i = 0; i < parts; ++i) {
            const auto size = *rc::gen::inRange<std::size_t>(0, 120'000);
            const auto seed = *rc::gen::arbitrary<std::uint32_t>();
            switch (*rc::gen::inRange(0, 3)) {
            case 0: text.append(size, static_cast<char>(seed)); break;
            case 1: text.append(test::someText(size, seed)); break;
            default: text.append(text.substr(0, size)); break;
            }
        }
        return text;
    });
}

rc::Gen<std::size_t> pieceGen()
{
    return rc::gen::oneOf(rc::gen::inRange<std::size_t>(1, 300), rc::gen::inRange<std::size_t>(300, 400'000));
}

EncoderOptions anyOptions()
{
    const Method method = *rc::gen::elementOf(test::kWritten);
    const int highest = method == Method::Zstd ? 12 : method == Method::Brotli ? 7 : 4; // the rest takes long
    const int lowest = method == Method::Zstd || method == Method::Bzip2 ? 1 : 0;
    return {method, *rc::gen::inRange(lowest, highest + 1), *rc::gen::element(0U, 0U, 2U)};
}

// The codec pushed in pieces of changing size.
template <class Codec> Result<std::string> inPieces(Codec& codec, std::string_view text)
{
    std::string out;
    const ByteSink sink = [&out](std::string_view bytes) -> Result<void> {
        out.append(bytes);
        return {};
    };
    const auto sizes = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::size_t>>(pieceGen()));
    for (std::size_t i = 0; !text.empty(); ++i) {
        const std::size_t size = std::min(sizes[i % sizes.size()], text.size());
        PENSTOCK_TRY_VOID(codec.push(text.substr(0, size), sink));
        text.remove_prefix(size);
    }
    PENSTOCK_TRY_VOID(codec.finish(sink));
    return out;
}

RC_GTEST_PROP(Codec, GivesBackWhatItTookInAnyPieces, ())
{
    const std::string text = *contentGen();
    const EncoderOptions options = anyOptions();
    const auto packed = inPieces(*makeEncoder(options).value(), text);
    RC_ASSERT(packed.has_value());
    const auto read = inPieces(*makeDecoder(options.method, text.size()).value(), *packed);
    RC_ASSERT(read.has_value());
    RC_ASSERT((*read == text));
}

RC_GTEST_PROP(Codec, GivesNoMoreThanItsLimit, ())
{
    const std::string text = *contentGen() + "x"; // never empty
    const EncoderOptions options = anyOptions();
    const std::string packed = test::compressed(options, text).value();
    const auto limit = *rc::gen::inRange<std::uint64_t>(0, text.size());
    auto decoder = makeDecoder(options.method, limit).value();
    std::string given;
    const ByteSink sink = [&given](std::string_view bytes) -> Result<void> {
        given.append(bytes);
        return {};
    };
    const auto pushed = decoder->push(packed, sink);
    const auto finished = decoder->finish(sink);
    RC_ASSERT(!finished.has_value());
    RC_ASSERT((pushed ? finished : pushed).error().code == ErrorCode::Exhausted);
    RC_ASSERT(given.size() <= limit);
    RC_ASSERT(text.starts_with(given));
}

RC_GTEST_PROP(Codec, ReadsNoiseWithoutHarm, ())
{
    const Method method =
        *rc::gen::element(Method::Xz, Method::Bzip2, Method::Zstd, Method::Brotli, Method::Gzip);
    const std::string noise = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
    const auto read = test::decompressed(method, noise, *pieceGen(), 1U << 20U);
    RC_ASSERT((!read || method == Method::Brotli));
}

} // namespace
} // namespace penstock::compress
