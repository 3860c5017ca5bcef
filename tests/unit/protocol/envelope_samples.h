// SPDX-License-Identifier: GPL-3.0-or-later
// Messages with every field set, for round trips and limits.
#pragma once

#include "shared/protocol/envelope.h"

#include <algorithm>
#include <string>
#include <vector>

namespace penstock::protocol {

inline MachineFacts sampleFacts()
{
    return {"wheel", {"x86_64-linux", "i686-linux"}, {"kvm"}, {"big"}, {"ssd"}, {"ann"}, {"command", "nix"}, 4, 8,
            1ULL << 34U, 1.5, "linux", "/nix/store", "2.8.1", true, {10, 20, 30, 40, 50, 60, 70}, {{"gpu", 2}}, 4800.5};
}

inline LoadSample sampleLoad()
{
    const Pressure pressure{1, 2, 3, 4, 5, 6, 7, 8};
    return {0.5, 1.5, 2.5, 1, 2, 3, 4, 5, PressureSample{pressure, pressure, pressure}, 99.5, 6, 7};
}

inline NixResults sampleResults()
{
    return {{{"doc", "manual", "out", "share/doc", "index.html", "doc", ProductKind::Directory, 0, ""},
             {"file", "iso", "dev", "a.iso", "", "a.iso", ProductKind::File, 1ULL << 40U, std::string(64, 'f')},
             {"link", "", "out", "", "", "", ProductKind::Symlink, 0, ""},
             {"newer", "", "out", "", "", "", ProductKind::Unspecified, 0, ""}},
            {{"time", -0.5, "s"}, {"none", 0, ""}},
            "hello-1.0",
            true,
            1ULL << 41U};
}

inline AttemptResult sampleResult()
{
    return {AttemptId(7), Outcome::Failed, 3, 9, "it broke\n", WallTime::fromMicros(10), WallTime::fromMicros(20),
            Duration{1}, Duration{2}, 3, 4, true, {{"out", "/nix/store/x", "sha256:00", 5}}, true, 6, true,
            sampleResults(), true, {Duration{7}, 3, true}};
}

inline std::vector<BuilderMessage> builderSamples()
{
    const std::string hex = "0123456789abcdef0123456789abcdef";
    return {Hello{1, 3, {"a"}, hex, hex, "0.1.0", sampleFacts()},
            Report{5, {{AttemptId(1), false}, {AttemptId(2), true}}, sampleLoad(), WallTime::fromMicros(77), 9},
            AttemptAnswer{AttemptId(3), false, RejectReason::Stale, "older"},
            sampleResult(),
            LogChunk{AttemptId(4),
                     100,
                     {{WallTime::fromMicros(1), Stream::Out, std::string("\0\xFF\n", 3)},
                      {WallTime::fromMicros(2), Stream::Err, "e"},
                      {WallTime::fromMicros(3), Stream::System, "s"}}},
            AttemptProgress{AttemptId(5), "buildPhase", WallTime::fromMicros(8)},
            Drain{true, "upgrade"},
            Goodbye{GoodbyeReason::Stopping, "bye", std::chrono::milliseconds(5)},
            sampleFacts()};
}

inline Assignment sampleAssignment()
{
    return {AttemptId(11),
            StepId(12),
            JobId(13),
            2,
            "hello",
            CommandWork{{"sh", "-c", "true"}, {{"K", "V"}, {"E", ""}}},
            {std::chrono::milliseconds(1), std::chrono::milliseconds(2), 3, std::chrono::milliseconds(4), 7, 8},
            5,
            6,
            {{"gpu", 1}},
            true};
}

inline std::vector<ServerMessage> serverSamples()
{
    Assignment nix = sampleAssignment();
    nix.work = NixWork{"/nix/store/a.drv", "Derive(…)", {"/nix/store/b"}, {{"out", "/nix/store/c", "", 0}}};
    return {Welcome{1, {"a"}, MachineId(3), std::chrono::milliseconds(2000), std::chrono::milliseconds(6000),
                    WallTime::fromMicros(5), "0.1.0", "main"},
            Desired{4, true, {AttemptId(1), AttemptId(2)}, {sampleAssignment(), nix}, {}, {{AttemptId(9), "cancelled"}},
                    true},
            ResultStored{{AttemptId(1), AttemptId(5)}},
            LogStored{AttemptId(6), 1000, true},
            Heartbeat{3, WallTime::fromMicros(4)},
            Goodbye{GoodbyeReason::Denied, "no", std::chrono::milliseconds(0)}};
}

struct FrameCollector final : FrameSink {
    void onFrame(ByteView payload) override { frames.emplace_back(textOf(payload)); }
    std::vector<std::string> frames;
};

// The payload of the one frame that a message becomes.
template <class Message> std::string payloadOf(const Message& message)
{
    std::string bytes;
    if (!appendMessage(bytes, message))
        return {};
    return bytes.substr(kFrameHeaderBytes);
}

inline Result<std::optional<BuilderMessage>> throughWire(const BuilderMessage& message)
{
    return decodeBuilderMessage(bytesOf(payloadOf(message)));
}
inline Result<std::optional<ServerMessage>> throughWire(const ServerMessage& message)
{
    return decodeServerMessage(bytesOf(payloadOf(message)));
}

} // namespace penstock::protocol
