// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/compress/engine.h"

#include <algorithm>

#include <fmt/format.h>
#include <zlib.h>

namespace penstock::compress {
namespace {

constexpr std::size_t kMaxTaken = 1U << 30U; // its counters have 32 bits
constexpr int kGzipWindow = 15 + 16;         // the largest window; +16: the gzip wrapper and no other

// Several members in a row are one stream (RFC 1952, 2.2).
class GzipDecoder final : public Engine {
public:
    GzipDecoder() = default;
    ~GzipDecoder() override { inflateEnd(&m_stream); }
    GzipDecoder(const GzipDecoder&) = delete;
    GzipDecoder& operator=(const GzipDecoder&) = delete;

    Result<void> begin()
    {
        if (inflateInit2(&m_stream, kGzipWindow) != Z_OK)
            return fail(ErrorCode::Exhausted, "gzip decoder: no memory for its state");
        return {};
    }

    Result<Step> step(std::string_view in, std::span<char> out, bool) override
    {
        if (m_isWhole) {
            if (in.empty())
                return Step{0, 0, true};
            if (inflateReset(&m_stream) != Z_OK)
                return fail(ErrorCode::Internal, "gzip decoder: cannot begin another member");
            m_isWhole = false;
        }
        const auto inSize = static_cast<uInt>(std::min(in.size(), kMaxTaken));
        const auto outSize = static_cast<uInt>(std::min(out.size(), kMaxTaken));
        m_stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data())); // it only reads
        m_stream.avail_in = inSize;
        m_stream.next_out = reinterpret_cast<Bytef*>(out.data());
        m_stream.avail_out = outSize;
        const int code = inflate(&m_stream, Z_NO_FLUSH);
        // BUF_ERROR: nothing could be done, which the caller sees by the counts.
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
            return fail(
                code == Z_MEM_ERROR ? ErrorCode::Exhausted : ErrorCode::Corrupt,
                fmt::format("gzip stream: {}", m_stream.msg != nullptr ? m_stream.msg : zError(code)));
        m_isWhole = code == Z_STREAM_END;
        return Step{inSize - m_stream.avail_in, outSize - m_stream.avail_out, m_isWhole};
    }

private:
    z_stream m_stream{};
    bool m_isWhole = false;
};

} // namespace

Result<std::unique_ptr<Engine>> makeGzipDecoder()
{
    auto engine = std::make_unique<GzipDecoder>();
    PENSTOCK_TRY_VOID(engine->begin());
    return engine;
}

} // namespace penstock::compress
