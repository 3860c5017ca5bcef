// SPDX-License-Identifier: GPL-3.0-or-later
// Texts that a store keeps compressed, and streams that are decompressed as they are read. Pure.
#pragma once

#include "shared/base/result.h"
#include "shared/base/stream.h"
#include "shared/compress/codec.h"

#include <cstddef>
#include <string>
#include <string_view>

namespace penstock::cache::detail {

[[nodiscard]] Result<std::string> encodeText(std::string_view text, compress::Method method);
// encoding: a content encoding's word; empty: told from the first bytes, as not every store keeps it (a
// listing, a narinfo or a log begins with none of the magics). Exhausted above maxBytes.
[[nodiscard]] Result<std::string> decodeText(std::string text, std::string_view encoding,
                                             std::size_t maxBytes);

} // namespace penstock::cache::detail
