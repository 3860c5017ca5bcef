// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/compress/engine.h"

#include <brotli/decode.h>
#include <brotli/encode.h>
#include <fmt/format.h>

namespace penstock::compress {
namespace {

struct FreeEncoder {
    void operator()(BrotliEncoderState* state) const { BrotliEncoderDestroyInstance(state); }
};
struct FreeDecoder {
    void operator()(BrotliDecoderState* state) const { BrotliDecoderDestroyInstance(state); }
};

class BrotliEncoder final : public Engine {
public:
    explicit BrotliEncoder(BrotliEncoderState* state) : m_state(state) {}

    Result<Step> step(std::string_view in, std::span<char> out, bool isLast) override
    {
        std::size_t inLeft = in.size();
        std::size_t outLeft = out.size();
        const auto* from = reinterpret_cast<const std::uint8_t*>(in.data());
        auto* to = reinterpret_cast<std::uint8_t*>(out.data());
        const auto operation = isLast ? BROTLI_OPERATION_FINISH : BROTLI_OPERATION_PROCESS;
        if (BrotliEncoderCompressStream(m_state.get(), operation, &inLeft, &from, &outLeft, &to, nullptr) ==
            BROTLI_FALSE)
            return fail(ErrorCode::Internal, "br encoder: failed");
        return Step{in.size() - inLeft, out.size() - outLeft,
                    BrotliEncoderIsFinished(m_state.get()) == BROTLI_TRUE};
    }

private:
    std::unique_ptr<BrotliEncoderState, FreeEncoder> m_state;
};

// The format's own largest window, 16 MiB, is the bound: "large window" streams stay refused.
class BrotliDecoder final : public Engine {
public:
    explicit BrotliDecoder(BrotliDecoderState* state) : m_state(state) {}

    Result<Step> step(std::string_view in, std::span<char> out, bool) override
    {
        if (m_isWhole) {
            if (!in.empty())
                return fail(ErrorCode::Corrupt, "br stream: something follows its end");
            return Step{0, 0, true};
        }
        std::size_t inLeft = in.size();
        std::size_t outLeft = out.size();
        const auto* from = reinterpret_cast<const std::uint8_t*>(in.data());
        auto* to = reinterpret_cast<std::uint8_t*>(out.data());
        const auto result =
            BrotliDecoderDecompressStream(m_state.get(), &inLeft, &from, &outLeft, &to, nullptr);
        if (result == BROTLI_DECODER_RESULT_ERROR)
            return fail(ErrorCode::Corrupt,
                        fmt::format("br stream: {}",
                                    BrotliDecoderErrorString(BrotliDecoderGetErrorCode(m_state.get()))));
        m_isWhole = result == BROTLI_DECODER_RESULT_SUCCESS;
        return Step{in.size() - inLeft, out.size() - outLeft, m_isWhole};
    }

private:
    std::unique_ptr<BrotliDecoderState, FreeDecoder> m_state;
    bool m_isWhole = false;
};

} // namespace

Result<std::unique_ptr<Engine>> makeBrotliEncoder(const EncoderOptions& options)
{
    PENSTOCK_TRY(const int level,
                 levelOf(options, {BROTLI_MIN_QUALITY, BROTLI_MAX_QUALITY, BROTLI_DEFAULT_QUALITY}));
    BrotliEncoderState* state = BrotliEncoderCreateInstance(nullptr, nullptr, nullptr);
    if (state == nullptr)
        return fail(ErrorCode::Exhausted, "br encoder: no memory for its state");
    auto engine = std::make_unique<BrotliEncoder>(state);
    if (BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, static_cast<std::uint32_t>(level)) ==
        BROTLI_FALSE)
        return fail(ErrorCode::Internal, fmt::format("br encoder: refuses level {}", level));
    return engine;
}

Result<std::unique_ptr<Engine>> makeBrotliDecoder()
{
    BrotliDecoderState* state = BrotliDecoderCreateInstance(nullptr, nullptr, nullptr);
    if (state == nullptr)
        return fail(ErrorCode::Exhausted, "br decoder: no memory for its state");
    return std::make_unique<BrotliDecoder>(state);
}

} // namespace penstock::compress
