// SPDX-License-Identifier: GPL-3.0-or-later
// Envelope: whatever decodes can be sent, and decodes to the same value again.
#include "shared/protocol/envelope.h"
#include "tests/fuzz/fuzz_target.h"

#include <cstdlib>

namespace {

using namespace penstock;

template <class Message, class Decode> void check(const Message& message, Decode decode)
{
    std::string bytes;
    if (!protocol::appendMessage(bytes, message))
        return; // larger than a frame after defaults were filled in
    const auto again = decode(bytesOf(bytes).subspan(protocol::kFrameHeaderBytes));
    if (!again || !*again || **again != message)
        std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const ByteView bytes = std::as_bytes(std::span(data, size));
    if (const auto message = protocol::decodeBuilderMessage(bytes); message && *message)
        check(**message, protocol::decodeBuilderMessage);
    auto message = protocol::decodeServerMessage(bytes);
    if (message && *message) {
        if (auto* desired = std::get_if<protocol::Desired>(&**message))
            desired->bad.clear(); // never sent
        check(**message, protocol::decodeServerMessage);
    }
    return 0;
}
