// SPDX-License-Identifier: GPL-3.0-or-later
// Envelope: link.proto messages to domain values and back. Decoding checks every field against limits.h and
// fails with Invalid naming the field. A kind of message that this version does not know gives no value: the
// caller counts and skips it. Unknown fields are skipped. Pure, callable from any thread.
#pragma once

#include "shared/base/bytes.h"
#include "shared/base/result.h"
#include "shared/protocol/frame.h"
#include "shared/protocol/limits.h"
#include "shared/protocol/link_values.h"

#include <optional>
#include <string>

namespace penstock::protocol {

// Nothing: a kind of message from a newer peer.
[[nodiscard]] Result<std::optional<BuilderMessage>> decodeBuilderMessage(ByteView payload);
[[nodiscard]] Result<std::optional<ServerMessage>> decodeServerMessage(ByteView payload);

// Appends one frame. Exhausted, with nothing appended, when the message is above kMaxFrameBytes.
[[nodiscard]] Result<void> appendMessage(std::string& out, const BuilderMessage& message);
[[nodiscard]] Result<void> appendMessage(std::string& out, const ServerMessage& message);

} // namespace penstock::protocol
