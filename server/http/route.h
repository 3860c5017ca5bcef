// SPDX-License-Identifier: GPL-3.0-or-later
// Route: one resource and method; the table of all of them is searched by Router. A route parses the request, asks
// the Gateway and renders what it answers. Runs on the HTTP loop; must call respond exactly once, now or later.
#pragma once

#include "server/auth/identity.h"
#include "server/auth/policy.h"
#include "server/http/body_pipe.h"
#include "server/http/gateway.h"
#include "server/http/hydra_gateway.h"
#include "server/http/reply.h"
#include "server/http/request_head.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::transfer {
class TransferDesk;
}

namespace penstock::http {

struct Request {
    RequestHead head;
    std::string body;
    QueryItems query;
    auth::Identity who;
    std::vector<std::string> params; // what stands for the {} of the pattern, in order
};

using Respond = std::function<void(Reply)>;

// What else a route is, beside what all routes are.
struct RouteTraits {
    bool anyType = false; // its body need not be JSON
    bool slow = false;    // its answer may take an hour
    bool password = false; // the token may come as the password of Basic credentials, as Nix and curl send them
    bool isJson = false;   // and its answers are JSON all the same
    // In place of run: takes the body as it comes, on a thread of its own. It is asked for only once the sender has
    // leave, and an answer that comes before its end is the connection's last.
    std::function<void(const Request&, std::shared_ptr<BodyPipe>, Respond)> receive = {};
};

struct Route {
    std::string_view method;
    std::string_view pattern;             // "/api/v1/jobs/{}", "/{}.narinfo"
    std::optional<auth::Action> action;   // none: open to everybody
    std::vector<std::string_view> query;  // keys it knows
    std::function<void(const Request&, Respond)> run;
    std::string_view summary = {}; // for /openapi.json; a route without one is not part of the described interface
    std::string_view body = {};    // JSON Schema of the request's body; empty: none
    RouteTraits traits = {};
};

class Router {
public:
    void add(std::vector<Route> routes);

    struct Match {
        const Route* route = nullptr;      // null: none fits
        std::vector<std::string> params;
        std::vector<std::string_view> allowed; // methods of the path, when only the method does not fit
    };
    // HEAD is served by GET.
    [[nodiscard]] Match find(std::string_view method, const std::vector<std::string>& segments) const;
    [[nodiscard]] std::vector<const Route*> routes() const; // in the order they were added

private:
    struct Entry {
        Route route;
        std::vector<std::string_view> segments;
    };
    std::vector<Entry> m_entries;
};

// What the routes share; outlives them.
struct Site {
    Gateway& gateway;
    const Clock& clock;
    transfer::TransferDesk* desk = nullptr; // null: no outputs are kept here
};

[[nodiscard]] std::vector<Route> jobRoutes(const Site& site);
[[nodiscard]] std::vector<Route> stepRoutes(const Site& site);
[[nodiscard]] std::vector<Route> runRoutes(const Site& site);
[[nodiscard]] std::vector<Route> machineRoutes(const Site& site);
[[nodiscard]] std::vector<Route> schedulingRoutes(const Site& site); // queues, shares, namespaces, pause
[[nodiscard]] std::vector<Route> statusRoutes(const Site& site);
[[nodiscard]] std::vector<Route> tokenRoutes(const Site& site);
[[nodiscard]] std::vector<Route> plainJobRoutes(const Site& site); // of hydra-jobs
[[nodiscard]] std::vector<Route> cacheRoutes(const Site& site);    // a binary cache; only with a desk
[[nodiscard]] std::vector<Route> transferRoutes(const Site& site); // uploads and closures; only with a desk

[[nodiscard]] std::vector<Route> hydraRoutes(HydraGateway& hydra); // of Hydra's queue runner

} // namespace penstock::http
