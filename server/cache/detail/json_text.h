// SPDX-License-Identifier: GPL-3.0-or-later
// Writing of JSON strings. Pure.
#pragma once

#include <string>
#include <string_view>

namespace penstock::cache::detail {

// text: UTF-8.
[[nodiscard]] std::string quoteJson(std::string_view text);

} // namespace penstock::cache::detail
