// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/compress/engine.h"

#include <algorithm>

#include <bzlib.h>
#include <fmt/format.h>

namespace penstock::compress {
namespace {

constexpr std::size_t kMaxTaken = 1U << 30U; // its counters have 32 bits

tl::unexpected<Error> failedAs(int code, std::string_view who)
{
    if (code == BZ_MEM_ERROR)
        return fail(ErrorCode::Exhausted, fmt::format("{}: no memory for its state", who));
    return fail(ErrorCode::Corrupt, fmt::format("{}: is damaged (libbz2 error {})", who, code));
}

// Points the stream at both buffers and says afterwards how much of each was used.
class Buffers {
public:
    Buffers(bz_stream& stream, std::string_view in, std::span<char> out)
        : m_stream(stream),
          m_in(static_cast<unsigned>(std::min(in.size(), kMaxTaken))),
          m_out(static_cast<unsigned>(std::min(out.size(), kMaxTaken)))
    {
        stream.next_in = const_cast<char*>(in.data()); // the library only reads it
        stream.avail_in = m_in;
        stream.next_out = out.data();
        stream.avail_out = m_out;
    }
    [[nodiscard]] Step used(bool isWhole) const
    {
        return {m_in - m_stream.avail_in, m_out - m_stream.avail_out, isWhole};
    }

private:
    bz_stream& m_stream;
    unsigned m_in, m_out;
};

class Bzip2Encoder final : public Engine {
public:
    ~Bzip2Encoder() override { BZ2_bzCompressEnd(&m_stream); }
    Bzip2Encoder() = default;
    Bzip2Encoder(const Bzip2Encoder&) = delete;
    Bzip2Encoder& operator=(const Bzip2Encoder&) = delete;

    Result<void> begin(int level)
    {
        if (const int code = BZ2_bzCompressInit(&m_stream, level, 0, 0); code != BZ_OK)
            return failedAs(code, "bzip2 encoder");
        return {};
    }
    Result<Step> step(std::string_view in, std::span<char> out, bool isLast) override
    {
        const Buffers buffers(m_stream, in, out);
        const int code = BZ2_bzCompress(&m_stream, isLast ? BZ_FINISH : BZ_RUN);
        if (code == BZ_PARAM_ERROR && !isLast) // nothing could be done
            return buffers.used(false);
        if (code != BZ_RUN_OK && code != BZ_FINISH_OK && code != BZ_STREAM_END)
            return failedAs(code, "bzip2 encoder");
        return buffers.used(code == BZ_STREAM_END);
    }

private:
    bz_stream m_stream{};
};

// Several streams in a row are one, as pbzip2 writes it.
class Bzip2Decoder final : public Engine {
public:
    ~Bzip2Decoder() override { BZ2_bzDecompressEnd(&m_stream); }
    Bzip2Decoder() = default;
    Bzip2Decoder(const Bzip2Decoder&) = delete;
    Bzip2Decoder& operator=(const Bzip2Decoder&) = delete;

    Result<void> begin()
    {
        if (const int code = BZ2_bzDecompressInit(&m_stream, 0, 0); code != BZ_OK)
            return failedAs(code, "bzip2 decoder");
        return {};
    }
    Result<Step> step(std::string_view in, std::span<char> out, bool) override
    {
        if (m_isWhole) {
            if (in.empty())
                return Step{0, 0, true};
            BZ2_bzDecompressEnd(&m_stream);
            m_stream = {};
            PENSTOCK_TRY_VOID(begin());
            m_isWhole = false;
        }
        const Buffers buffers(m_stream, in, out);
        const int code = BZ2_bzDecompress(&m_stream);
        if (code != BZ_OK && code != BZ_STREAM_END)
            return failedAs(code, "bzip2 stream");
        m_isWhole = code == BZ_STREAM_END;
        return buffers.used(m_isWhole);
    }

private:
    bz_stream m_stream{};
    bool m_isWhole = false;
};

} // namespace

Result<std::unique_ptr<Engine>> makeBzip2Encoder(const EncoderOptions& options)
{
    PENSTOCK_TRY(const int level, levelOf(options, {1, 9, 9}));
    auto engine = std::make_unique<Bzip2Encoder>();
    PENSTOCK_TRY_VOID(engine->begin(level));
    return engine;
}

Result<std::unique_ptr<Engine>> makeBzip2Decoder()
{
    auto engine = std::make_unique<Bzip2Decoder>();
    PENSTOCK_TRY_VOID(engine->begin());
    return engine;
}

} // namespace penstock::compress
