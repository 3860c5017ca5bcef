// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixdaemon/daemon_messages.h"
#include "shared/nixdaemon/nix_facts.h"
#include "shared/nixdaemon/wire.h"
#include "tests/support/scripted_transport.h"

#include <gtest/gtest.h>

namespace penstock::nixdaemon {
namespace {

using test::ScriptedTransport;

const nix::StoreDir kDir = nix::StoreDir::standard();

struct Reading {
    explicit Reading(std::string bytes) : transport(std::move(bytes), sent), reader(transport) {}
    std::string sent;
    ScriptedTransport transport;
    WireReader reader;
};

TEST(Wire, ReadsWhatItWrites)
{
    WireWriter writer;
    writer.number(0xFEDCBA9876543210U);
    writer.boolean(true);
    writer.strings(std::vector<std::string>{"", "1234567", "12345678", std::string("\0x", 2)});
    const auto path = nix::StorePath::fromBaseName("3ghsl9sd83mc26i81adpa2fzf3yw4f68-simple").value();
    writer.paths(kDir, {path});
    writer.string("");
    EXPECT_EQ(writer.bytes().size() % 8, 0U);

    Reading reading(writer.bytes());
    EXPECT_EQ(reading.reader.number(), 0xFEDCBA9876543210U);
    EXPECT_EQ(reading.reader.boolean(), true);
    EXPECT_EQ(reading.reader.strings(),
              (std::vector<std::string>{"", "1234567", "12345678", std::string("\0x", 2)}));
    EXPECT_EQ(reading.reader.paths(kDir), (nix::StorePathSet{path}));
    EXPECT_FALSE(reading.reader.optionalPath(kDir).value().has_value());
    EXPECT_EQ(reading.reader.number().error().code, ErrorCode::Unavailable);
}

TEST(Wire, FramesPayloadsWithAnEndMark)
{
    WireWriter writer;
    writer.framed("");
    EXPECT_EQ(writer.bytes(), std::string(8, '\0'));
    WireWriter longer;
    longer.framed(std::string(100'000, 'x'));
    EXPECT_EQ(longer.bytes().size(), 100'000U + 3 * 8);
}

TEST(Wire, RefusesLengthsOverTheLimitBeforeItReadsOn)
{
    WireWriter atLimit;
    atLimit.number(kMaxWireString);
    EXPECT_EQ(Reading(atLimit.bytes()).reader.string().error().code, ErrorCode::Unavailable)
        << "tries to read it";
    WireWriter over;
    over.number(kMaxWireString + 1);
    EXPECT_EQ(Reading(over.bytes()).reader.string().error().code, ErrorCode::Corrupt);
    WireWriter count;
    count.number(kMaxWireCount);
    EXPECT_TRUE(Reading(count.bytes()).reader.count());
    WireWriter tooMany;
    tooMany.number(kMaxWireCount + 1);
    EXPECT_EQ(Reading(tooMany.bytes()).reader.strings().error().code, ErrorCode::Corrupt);
}

TEST(Wire, RefusesPaddingThatIsNotZeroAndForeignPaths)
{
    EXPECT_EQ(Reading(std::string("\1\0\0\0\0\0\0\0aX\0\0\0\0\0\0", 16)).reader.string().error().code,
              ErrorCode::Corrupt);
    WireWriter writer;
    writer.string("/other/store/3ghsl9sd83mc26i81adpa2fzf3yw4f68-simple");
    EXPECT_EQ(Reading(writer.bytes()).reader.path(kDir).error().code, ErrorCode::Corrupt);
}

TEST(DaemonMessages, LoseTerminalEscapesAndControlCharacters)
{
    EXPECT_EQ(stripAnsi("\x1b[31;1merror:\x1b[0m a\tb\nc\r\a\x7f é"), "error: a\tb\nc é");
    EXPECT_EQ(stripAnsi("\x1b]0;title\ax\x1b]8;;url\x1b\\y"), "xy");
    EXPECT_EQ(stripAnsi("cut \x1b[31"), "cut ");
    EXPECT_EQ(stripAnsi("cut \x1b"), "cut ");
}

TEST(DaemonMessages, RefuseAnythingOutOfStep)
{
    for (const std::uint64_t kind : {0x64617461U, 0x64617416U, 1U}) { // read, write, nonsense
        WireWriter writer;
        writer.number(kind);
        Reading reading(writer.bytes());
        DaemonEvents events;
        EXPECT_EQ(readMessages(reading.reader, 34, events).error().code, ErrorCode::Corrupt) << kind;
    }
    WireWriter field;
    for (const std::uint64_t number : {0x52534c54U, 1U, 101U, 1U, 7U}) // a result with a field of tag 7
        field.number(number);
    Reading reading(field.bytes());
    DaemonEvents events;
    EXPECT_EQ(readMessages(reading.reader, 34, events).error().code, ErrorCode::Corrupt);
}

TEST(ShowConfig, ReadsSystemsAndFeatures)
{
    const auto config = parseShowConfig(R"({"system":{"value":"x86_64-linux"},
        "extra-platforms":{"value":["i686-linux","x86_64-linux"]},
        "system-features":{"value":["kvm","big-parallel"]}})");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->systems, (std::vector<std::string>{"x86_64-linux", "i686-linux"}));
    EXPECT_EQ(config->features, (std::set<std::string>{"big-parallel", "kvm"}));
}

TEST(ShowConfig, TakesWordsWhereNewerNixHasLists)
{
    const auto config =
        parseShowConfig(R"({"system":{"value":"aarch64-linux"},"system-features":{"value":"a  b "}})");
    ASSERT_TRUE(config);
    EXPECT_EQ(config->features, (std::set<std::string>{"a", "b"}));
}

TEST(ShowConfig, RefusesOtherText)
{
    for (const char* text :
         {"", "{}", "[]", R"({"system":"x"})", R"({"system":{"value":7}})", "error: unknown command"})
        EXPECT_FALSE(parseShowConfig(text)) << text;
}

TEST(SocketPath, FollowsTheEnvironment)
{
    EXPECT_EQ(defaultSocketPath("/run/s", "/state"), "/run/s");
    EXPECT_EQ(defaultSocketPath("", "/state"), "/state/daemon-socket/socket");
    EXPECT_EQ(defaultSocketPath("", ""), "/nix/var/nix/daemon-socket/socket");
}

} // namespace
} // namespace penstock::nixdaemon
