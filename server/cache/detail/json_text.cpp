// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/detail/json_text.h"

#include <fmt/format.h>

namespace penstock::cache::detail {

std::string quoteJson(std::string_view text)
{
    std::string out = "\"";
    for (const char letter : text)
        if (letter == '"' || letter == '\\') {
            out += '\\';
            out += letter;
        } else if (static_cast<unsigned char>(letter) < 0x20) {
            out += fmt::format("\\u{:04x}", static_cast<unsigned>(letter));
        } else {
            out += letter;
        }
    out += '"';
    return out;
}

} // namespace penstock::cache::detail
