// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/compress/engine.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <zstd.h>
#include <zstd_errors.h>

namespace penstock::compress {
namespace {

struct FreeEncoder {
    void operator()(ZSTD_CCtx* state) const { ZSTD_freeCCtx(state); }
};
struct FreeDecoder {
    void operator()(ZSTD_DCtx* state) const { ZSTD_freeDCtx(state); }
};

tl::unexpected<Error> noMemory()
{
    return fail(ErrorCode::Exhausted, "zstd: no memory for its state");
}

// What a thread takes grows with the level's window and tables. Peak memory of the process with zstd 1.5.4 on
// random bytes: level 6 with 32 threads 384 MiB, 15 with 12 threads 1135 MiB, 19 with 5 threads 619 MiB, 22
// with one thread 1724 MiB. So the bounds keep near kMaxEncoderBytes, and the highest levels stay with the
// caller's thread.
unsigned threadsFor(int level, unsigned wished)
{
    struct Bound {
        int highestLevel;
        unsigned threads;
    };
    constexpr std::array<Bound, 3> kBounds{{{6, 32}, {15, 12}, {19, 5}}};
    for (const Bound& bound : kBounds)
        if (level <= bound.highestLevel)
            return std::min(wished, bound.threads);
    return 0;
}

class ZstdEncoder final : public Engine {
public:
    explicit ZstdEncoder(ZSTD_CCtx* state) : m_state(state) {}

    Result<void> set(ZSTD_cParameter parameter, int value)
    {
        const std::size_t code = ZSTD_CCtx_setParameter(m_state.get(), parameter, value);
        if (ZSTD_isError(code) != 0)
            return fail(ErrorCode::Internal,
                        fmt::format("zstd: refuses {} as parameter {}: {}", value,
                                    static_cast<int>(parameter), ZSTD_getErrorName(code)));
        return {};
    }

    Result<Step> step(std::string_view in, std::span<char> out, bool isLast) override
    {
        ZSTD_inBuffer from{in.data(), in.size(), 0};
        ZSTD_outBuffer to{out.data(), out.size(), 0};
        const std::size_t left =
            ZSTD_compressStream2(m_state.get(), &to, &from, isLast ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left) != 0)
            return fail(ErrorCode::Internal, fmt::format("zstd encoder: {}", ZSTD_getErrorName(left)));
        return Step{from.pos, to.pos, isLast && left == 0};
    }

private:
    std::unique_ptr<ZSTD_CCtx, FreeEncoder> m_state;
};

// Several frames in a row are one stream, as parallel compressors write it.
class ZstdDecoder final : public Engine {
public:
    explicit ZstdDecoder(ZSTD_DCtx* state) : m_state(state) {}

    Result<Step> step(std::string_view in, std::span<char> out, bool) override
    {
        if (in.empty() && m_isWhole) // the library would begin another frame
            return Step{0, 0, true};
        ZSTD_inBuffer from{in.data(), in.size(), 0};
        ZSTD_outBuffer to{out.data(), out.size(), 0};
        const std::size_t hint = ZSTD_decompressStream(m_state.get(), &to, &from);
        if (ZSTD_isError(hint) != 0) {
            if (ZSTD_getErrorCode(hint) == ZSTD_error_frameParameter_windowTooLarge)
                return fail(
                    ErrorCode::Exhausted,
                    fmt::format("zstd stream: needs a window above {} MiB; compress it without --long",
                                (1ULL << kMaxWindowLog) >> 20U));
            return fail(ErrorCode::Corrupt, fmt::format("zstd stream: {}", ZSTD_getErrorName(hint)));
        }
        m_isWhole = hint == 0;
        return Step{from.pos, to.pos, m_isWhole};
    }

private:
    std::unique_ptr<ZSTD_DCtx, FreeDecoder> m_state;
    bool m_isWhole = false;
};

} // namespace

Result<std::unique_ptr<Engine>> makeZstdEncoder(const EncoderOptions& options)
{
    PENSTOCK_TRY(const int level, levelOf(options, {1, ZSTD_maxCLevel(), ZSTD_CLEVEL_DEFAULT}));
    ZSTD_CCtx* state = ZSTD_createCCtx();
    if (state == nullptr)
        return noMemory();
    auto engine = std::make_unique<ZstdEncoder>(state);
    PENSTOCK_TRY_VOID(engine->set(ZSTD_c_compressionLevel, level));
    PENSTOCK_TRY_VOID(engine->set(ZSTD_c_checksumFlag, 1));
    if (const unsigned threads = threadsFor(level, options.threads); threads > 0)
        PENSTOCK_TRY_VOID(engine->set(ZSTD_c_nbWorkers, static_cast<int>(threads)));
    return engine;
}

Result<std::unique_ptr<Engine>> makeZstdDecoder()
{
    ZSTD_DCtx* state = ZSTD_createDCtx();
    if (state == nullptr)
        return noMemory();
    auto engine = std::make_unique<ZstdDecoder>(state);
    const std::size_t code = ZSTD_DCtx_setParameter(state, ZSTD_d_windowLogMax, kMaxWindowLog);
    if (ZSTD_isError(code) != 0)
        return fail(ErrorCode::Internal, fmt::format("zstd decoder: {}", ZSTD_getErrorName(code)));
    return engine;
}

} // namespace penstock::compress
