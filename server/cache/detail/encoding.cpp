// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/detail/encoding.h"

#include <fmt/format.h>

namespace penstock::cache::detail {
namespace {

using namespace std::string_view_literals;

ByteSink appendTo(std::string& text)
{
    return [&text](std::string_view bytes) -> Result<void> {
        text.append(bytes);
        return {};
    };
}

compress::Method methodByMagic(std::string_view text)
{
    if (text.starts_with("\x28\xB5\x2F\xFD"sv))
        return compress::Method::Zstd;
    if (text.starts_with("\xFD"
                         "7zXZ\0"sv))
        return compress::Method::Xz;
    if (text.starts_with("BZh"sv))
        return compress::Method::Bzip2;
    if (text.starts_with("\x1F\x8B"sv))
        return compress::Method::Gzip;
    return compress::Method::None;
}

} // namespace

Result<std::string> encodeText(std::string_view text, compress::Method method)
{
    PENSTOCK_TRY(const auto encoder, compress::makeEncoder({method}));
    std::string out;
    PENSTOCK_TRY_VOID(encoder->push(text, appendTo(out)));
    PENSTOCK_TRY_VOID(encoder->finish(appendTo(out)));
    return out;
}

Result<std::string> decodeText(std::string text, std::string_view encoding, std::size_t maxBytes)
{
    compress::Method method = methodByMagic(text);
    if (!encoding.empty()) {
        PENSTOCK_TRY(method, compress::parseMethod(encoding));
    }
    const auto decode = [&]() -> Result<std::string> {
        PENSTOCK_TRY(const auto decoder, compress::makeDecoder(method, maxBytes));
        std::string out;
        PENSTOCK_TRY_VOID(decoder->push(text, appendTo(out)));
        PENSTOCK_TRY_VOID(decoder->finish(appendTo(out)));
        return out;
    };
    if (method != compress::Method::None) {
        auto decoded = decode();
        // A log may begin with a magic and be plain all the same.
        if (decoded || !encoding.empty() || decoded.error().code != ErrorCode::Corrupt)
            return decoded;
    }
    if (text.size() > maxBytes)
        return fail(ErrorCode::Exhausted,
                    fmt::format("it has {} bytes, the limit is {}", text.size(), maxBytes));
    return text;
}

} // namespace penstock::cache::detail
