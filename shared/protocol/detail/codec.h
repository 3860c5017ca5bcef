// SPDX-License-Identifier: GPL-3.0-or-later
// The two directions of each role's messages, on generated types: the inside of envelope. Encoding fills a
// message; decoding checks it. Pure.
#pragma once

#include "shared/base/result.h"
#include "shared/protocol/link_values.h"

#include "proto/link.pb.h"

#include <optional>

namespace penstock::protocol::detail {

[[nodiscard]] Result<std::optional<BuilderMessage>> decode(const link::BuilderMessage& from);
[[nodiscard]] Result<std::optional<ServerMessage>> decode(const link::ServerMessage& from);
void encode(const BuilderMessage& from, link::BuilderMessage& to);
void encode(const ServerMessage& from, link::ServerMessage& to);

// Used by both directions.
[[nodiscard]] Result<Goodbye> decodeGoodbye(const link::Goodbye& from);
void encodeGoodbye(const Goodbye& from, link::Goodbye& to);
void encodeOutput(const NixOutput& from, link::NixOutput& to);

} // namespace penstock::protocol::detail
