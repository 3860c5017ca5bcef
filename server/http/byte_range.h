// SPDX-License-Identifier: GPL-3.0-or-later
// The Range header and its conditions (RFC 9110 13, 14), as much of them as downloads need: one range of bytes. What a
// server may ignore (several ranges, other units, nonsense) is ignored, so that the whole is sent. Pure.
#pragma once

#include "server/http/request_head.h"

#include <cstdint>
#include <string_view>

namespace penstock::http {

enum class RangeKind : std::uint8_t { Whole, Part, Unsatisfiable };
struct RangeChoice {
    RangeKind kind = RangeKind::Whole;
    std::uint64_t offset = 0;
    std::uint64_t length = 0; // of what is sent
    friend bool operator==(const RangeChoice&, const RangeChoice&) = default;
};
// value: of the Range header, empty when there is none.
[[nodiscard]] RangeChoice chooseRange(std::string_view value, std::uint64_t size);
// The same with If-Range: for another version than this one the whole is sent.
[[nodiscard]] RangeChoice chooseRange(const RequestHead& head, std::string_view entityTag, std::uint64_t size);
// Whether If-None-Match says that the peer has this version already.
[[nodiscard]] bool hasAlready(const RequestHead& head, std::string_view entityTag);

} // namespace penstock::http
