// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/compress/engine.h"

#include <algorithm>

#include <fmt/format.h>
#include <lzma.h>

namespace penstock::compress {
namespace {

Error errorOf(lzma_ret code, std::string_view who)
{
    if (code == LZMA_MEM_ERROR)
        return {ErrorCode::Exhausted, fmt::format("{}: no memory for its state", who)};
    if (code == LZMA_MEMLIMIT_ERROR)
        return {ErrorCode::Exhausted,
                fmt::format("{}: needs more than {} MiB of memory; compress it with a smaller dictionary",
                            who, kMaxDecoderBytes >> 20U)};
    return {ErrorCode::Corrupt,
            fmt::format("{}: is damaged (liblzma error {})", who, static_cast<int>(code))};
}

// Both directions; a decoder takes several streams in a row as one, as xz itself does.
class XzEngine final : public Engine {
public:
    explicit XzEngine(std::string_view who) : m_who(who) {}
    ~XzEngine() override { lzma_end(&m_stream); }
    XzEngine(const XzEngine&) = delete;
    XzEngine& operator=(const XzEngine&) = delete;

    [[nodiscard]] lzma_stream* stream() { return &m_stream; }

    Result<Step> step(std::string_view in, std::span<char> out, bool isLast) override
    {
        m_stream.next_in = reinterpret_cast<const std::uint8_t*>(in.data());
        m_stream.avail_in = in.size();
        m_stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
        m_stream.avail_out = out.size();
        const lzma_ret code = lzma_code(&m_stream, isLast ? LZMA_FINISH : LZMA_RUN);
        // BUF_ERROR: nothing could be done, which the caller sees by the counts.
        if (code != LZMA_OK && code != LZMA_STREAM_END && code != LZMA_BUF_ERROR)
            return fail(errorOf(code, m_who));
        return Step{in.size() - m_stream.avail_in, out.size() - m_stream.avail_out, code == LZMA_STREAM_END};
    }

private:
    std::string_view m_who;
    lzma_stream m_stream = LZMA_STREAM_INIT;
};

lzma_ret beginThreaded(lzma_stream* stream, std::uint32_t level, std::uint32_t threads)
{
    lzma_mt options{};
    options.preset = level;
    options.check = LZMA_CHECK_CRC64;
    options.threads = threads;
    while (options.threads > 1 && lzma_stream_encoder_mt_memusage(&options) > kMaxEncoderBytes)
        --options.threads;
    return lzma_stream_encoder_mt(stream, &options);
}

} // namespace

Result<std::unique_ptr<Engine>> makeXzEncoder(const EncoderOptions& options)
{
    PENSTOCK_TRY(const int level, levelOf(options, {0, 9, 6}));
    const auto preset = static_cast<std::uint32_t>(level);
    auto engine = std::make_unique<XzEngine>("xz encoder");
    const lzma_ret code =
        options.threads > 0 ? beginThreaded(engine->stream(), preset, std::min(options.threads, kMaxThreads))
                            : lzma_easy_encoder(engine->stream(), preset, LZMA_CHECK_CRC64);
    if (code != LZMA_OK)
        return fail(errorOf(code, "xz encoder"));
    return engine;
}

Result<std::unique_ptr<Engine>> makeXzDecoder()
{
    auto engine = std::make_unique<XzEngine>("xz stream");
    const lzma_ret code = lzma_stream_decoder(engine->stream(), kMaxDecoderBytes, LZMA_CONCATENATED);
    if (code != LZMA_OK)
        return fail(errorOf(code, "xz decoder"));
    return engine;
}

} // namespace penstock::compress
