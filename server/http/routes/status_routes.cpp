// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/inputs.h"
#include "server/http/render.h"

namespace penstock::http {
namespace {

void status(const Site& site, const Request&, Respond respond)
{
    site.gateway.status([respond = std::move(respond)](Result<StatusView> view) {
        if (!view)
            return respond(problem(view.error()));
        JsonWriter out;
        writeStatus(out, *view);
        respond(json(std::move(out).take()));
    });
}

void ready(const Site& site, const Request&, Respond respond)
{
    const auto good = site.gateway.ready();
    respond(good ? text("ok\n") : problem(503, good.error().message));
}

} // namespace

std::vector<Route> statusRoutes(const Site& site)
{
    const auto with = [&site](auto function) {
        return [&site, function](const Request& request, Respond respond) {
            function(site, request, std::move(respond));
        };
    };
    return {
        {"GET", "/api/v1/status", auth::Action::Watch, {}, with(status),
         "how the farm is"},
        {"GET", "/healthz", std::nullopt, {}, [](const Request&, Respond respond) { respond(text("ok\n")); },
         "whether the server is alive"},
        {"GET", "/readyz", std::nullopt, {}, with(ready),
         "whether the server can do its work"},
    };
}

} // namespace penstock::http
