// SPDX-License-Identifier: GPL-3.0-or-later
// The whole HTTP interface without sockets, over a FakeGateway with one machine, m1. Test code; one thread.
#pragma once

#include "server/http/application.h"
#include "server/http/request_reader.h"
#include "shared/nix/json.h"
#include "tests/unit/server/fake_hydra.h"
#include "tests/unit/server/feed_fixture.h"
#include "tests/unit/server/port.h"

#include <fmt/format.h>

namespace penstock::test {

struct RoutesTest : ::testing::Test {
    StepLoop loop;
    FakeTokens tokens;
    FakeGateway gateway;
    auth::Authenticator authenticator{loop, tokens, auth::Mode::Local};
    FakeHydra hydra;
    http::Application application{loop, authenticator, gateway, nullptr, &hydra};

    RoutesTest()
    {
        http::MachineView machine;
        machine.entry.id = MachineId(1);
        machine.entry.name = "m1";
        machine.entry.condition = feed::MachineCondition::Ready;
        machine.entry.os = "linux";
        machine.entry.slots = 4;
        machine.entry.lastSeen = WallTime::fromMicros(1'500'000);
        gateway.farm.push_back(machine);
    }

    http::Reply ask(const std::string& bytes)
    {
        http::RequestReader reader;
        reader.push(bytes);
        EXPECT_EQ(reader.state(), http::RequestReader::State::Complete) << reader.reason();
        http::Reply answer{0, {}, {}, {}};
        application.handle(reader.head(), reader.body(), {"127.0.0.1:1", "127.0.0.1", true, false},
                           [&](http::Reply reply) { answer = std::move(reply); });
        if (answer.type.ends_with("json")) {
            EXPECT_TRUE(nix::parseJson(answer.body)) << answer.body;
        }
        return answer;
    }

    http::Reply send(std::string_view method, std::string_view path, std::string_view body = {})
    {
        return ask(fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}", method, path,
                               body.size(), body));
    }
};

inline bool has(const http::Reply& reply, std::string_view text)
{
    return reply.body.find(text) != std::string::npos;
}

} // namespace penstock::test
