// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/protocol/envelope.h"

#include "shared/protocol/detail/codec.h"

#include "proto/link.pb.h"

#include <array>
#include <fmt/format.h>
#include <google/protobuf/arena.h>
#include <limits>

namespace penstock::protocol {
namespace {

// Small messages are the rule; with a first block on the stack they cost no allocation.
struct Scratch {
    Scratch() : arena(options()) {}
    [[nodiscard]] google::protobuf::ArenaOptions options()
    {
        google::protobuf::ArenaOptions result;
        result.initial_block = block.data();
        result.initial_block_size = block.size();
        return result;
    }
    alignas(std::max_align_t) std::array<char, 4096> block;
    google::protobuf::Arena arena;
};

template <class Wire> auto decodePayload(ByteView payload) -> decltype(detail::decode(std::declval<const Wire&>()))
{
    if (payload.size() > kMaxFrameBytes)
        return fail(ErrorCode::Exhausted,
                    fmt::format("a message of {} bytes; the limit is {}", payload.size(), kMaxFrameBytes));
    Scratch scratch;
    auto& message = *google::protobuf::Arena::CreateMessage<Wire>(&scratch.arena);
    // The library reports broken UTF-8 on stderr as well; a peer may not write to our log at will.
    const google::protobuf::LogSilencer silence;
    if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
        return fail(ErrorCode::Invalid,
                    fmt::format("a message of {} bytes is not well-formed protobuf with UTF-8 texts", payload.size()));
    return detail::decode(message);
}

template <class Wire, class Value> Result<void> append(std::string& out, const Value& value)
{
    Scratch scratch;
    auto& message = *google::protobuf::Arena::CreateMessage<Wire>(&scratch.arena);
    detail::encode(value, message);
    const std::size_t size = message.ByteSizeLong();
    if (size > kMaxFrameBytes)
        return fail(ErrorCode::Exhausted, fmt::format("the {} has {} bytes; the limit of a frame is {}",
                                                      Wire::descriptor()->name(), size, kMaxFrameBytes));
    appendBigEndian32(out, static_cast<std::uint32_t>(size));
    const std::size_t start = out.size();
    out.resize(start + size);
    message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(out.data() + start));
    return {};
}

} // namespace

Result<std::optional<BuilderMessage>> decodeBuilderMessage(ByteView payload)
{
    return decodePayload<link::BuilderMessage>(payload);
}

Result<std::optional<ServerMessage>> decodeServerMessage(ByteView payload)
{
    return decodePayload<link::ServerMessage>(payload);
}

Result<void> appendMessage(std::string& out, const BuilderMessage& message)
{
    return append<link::BuilderMessage>(out, message);
}

Result<void> appendMessage(std::string& out, const ServerMessage& message)
{
    return append<link::ServerMessage>(out, message);
}

} // namespace penstock::protocol
