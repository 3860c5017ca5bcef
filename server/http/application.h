// SPDX-License-Identifier: GPL-3.0-or-later
// Application: what happens between a whole request and its answer: route, browser check, identity, permission, media
// type, query, then the route itself. Without sockets. Lives on the HTTP loop; answers come on it, now or later.
#pragma once

#include "server/auth/authenticator.h"
#include "server/http/route.h"
#include "shared/base/clock.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace penstock::http {

class Application final {
public:
    Application(const Clock& clock, auth::Authenticator& authenticator, Gateway& gateway,
                transfer::TransferDesk* desk = nullptr, HydraGateway* hydra = nullptr);

    // Counters of the connections, for /metrics.
    void setConnectionMetrics(std::function<std::vector<MetricFamily>()> metrics);

    void handle(RequestHead head, std::string body, const auth::PeerAddress& peer, Respond respond);
    // The same for a request whose body is handed on while it comes.
    void receive(RequestHead head, std::shared_ptr<BodyPipe> body, const auth::PeerAddress& peer, Respond respond);
    // Whether the request's route takes its body as a stream, and whether its answer may take long.
    [[nodiscard]] bool takesStream(const RequestHead& head) const;
    [[nodiscard]] bool isSlow(const RequestHead& head) const;
    // An answer was given by the connection itself (a malformed or oversize request).
    void countRefused(unsigned status);

private:
    void serve(Request request, std::shared_ptr<BodyPipe> body, const auth::PeerAddress& peer, Respond respond);
    static void identified(const Route& route, Request request, const std::shared_ptr<BodyPipe>& body,
                           Respond respond);
    void metrics(Respond respond);
    [[nodiscard]] std::vector<MetricFamily> ownMetrics() const;

    auth::Authenticator& m_authenticator;
    Gateway& m_gateway;
    Site m_site;
    Router m_router;
    std::function<std::vector<MetricFamily>()> m_connectionMetrics;
    std::shared_ptr<std::map<unsigned, std::uint64_t>> m_answers; // by status, a few dozen at most
};

} // namespace penstock::http
