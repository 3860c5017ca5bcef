// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/application.h"

#include "server/http/openapi.h"
#include "shared/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace penstock::http {
namespace {

Reply notAllowed(const RequestHead& head, const std::vector<std::string_view>& allowed)
{
    std::string list;
    for (const auto method : allowed) {
        if (!list.empty())
            list += ", ";
        list += method;
        if (method == "GET")
            list += ", HEAD";
    }
    auto reply = problem(405, fmt::format("{} is not for {}; use {}", head.method, head.path, list));
    reply.headers.emplace_back("Allow", list);
    return reply;
}

// Bodies are JSON; what curl sends by default says otherwise and would be misread as a form.
bool isJsonType(std::string_view type)
{
    const auto media = toLower(trim(type.substr(0, type.find(';'))));
    return media.empty() || media == "application/json" || media.ends_with("+json");
}

Result<void> checkQuery(const Route& route, const QueryItems& query)
{
    for (const auto& [key, value] : query) {
        if (std::ranges::find(route.query, std::string_view(key)) != route.query.end())
            continue;
        const auto nearest = nearestWord(key, route.query);
        return fail(ErrorCode::Invalid,
                    nearest.empty() ? fmt::format("query key \"{}\" is not known here", key)
                                    : fmt::format("query key \"{}\" is not known here (did you mean \"{}\"?)", key,
                                                  nearest));
    }
    return {};
}

Reply identityProblem(const Error& error)
{
    return error.code == ErrorCode::Denied ? problem(401, error.message) : problem(error);
}

} // namespace

Application::Application(const Clock& clock, auth::Authenticator& authenticator, Gateway& gateway)
    : m_authenticator(authenticator), m_gateway(gateway), m_site{gateway, clock},
      m_answers(std::make_shared<std::map<unsigned, std::uint64_t>>())
{
    m_router.add(statusRoutes(m_site));
    m_router.add({{"GET", "/metrics", auth::Action::Watch, {},
                   [this](const Request&, Respond respond) { metrics(std::move(respond)); },
                   "metrics for Prometheus"}});
    const auto upgradeOnly = [](const Request& request, Respond respond) {
        auto reply = problem(426, request.head.path + " is a WebSocket; ask for an upgrade");
        reply.headers.emplace_back("Upgrade", "websocket");
        respond(std::move(reply));
    };
    m_router.add({{"GET", "/link", std::nullopt, {}, upgradeOnly}, {"GET", "/monitor", std::nullopt, {}, upgradeOnly}});
    m_router.add(jobRoutes(m_site));
    m_router.add(stepRoutes(m_site));
    m_router.add(runRoutes(m_site));
    m_router.add(machineRoutes(m_site));
    m_router.add(schedulingRoutes(m_site));
    m_router.add(tokenRoutes(m_site));
    m_router.add(plainJobRoutes(m_site));
    m_router.add({{"GET", "/openapi.json", auth::Action::Watch, {},
                   [this](const Request&, Respond respond) { respond(json(openApiDocument(m_router.routes()))); },
                   "this description"}});
}

void Application::setConnectionMetrics(std::function<std::vector<MetricFamily>()> metrics)
{
    m_connectionMetrics = std::move(metrics);
}

void Application::countRefused(unsigned status)
{
    ++(*m_answers)[status];
}

void Application::handle(RequestHead head, std::string body, const auth::PeerAddress& peer, Respond respond)
{
    Respond counted = [answers = m_answers, respond = std::move(respond)](Reply reply) {
        ++(*answers)[reply.status];
        respond(std::move(reply));
    };
    auto match = m_router.find(head.method, head.segments);
    if (!match.route && match.allowed.empty())
        return counted(problem(404, fmt::format("nothing is at {}", toValidUtf8(head.path.substr(0, 200)))));
    if (!match.route)
        return counted(notAllowed(head, match.allowed));
    const auto& route = *match.route;
    const bool tokenless = head.bearer().empty();
    if (auto good = auth::checkBrowser({head.header("host"), head.header("origin")}, peer.local && tokenless); !good)
        return counted(problem(403, good.error().message));
    if (!body.empty() && !isJsonType(head.header("content-type")))
        return counted(problem(415, fmt::format("Content-Type {} is not understood; send application/json",
                                                head.header("content-type").substr(0, 100))));
    auto query = parseQuery(head.query);
    if (!query)
        return counted(problem(400, query.error().message));
    if (auto known = checkQuery(route, *query); !known)
        return counted(problem(400, known.error().message));
    Request request{std::move(head), std::move(body), *std::move(query), {}, std::move(match.params)};
    if (!route.action)
        return route.run(request, std::move(counted));
    std::string bearer(request.head.bearer());
    m_authenticator.identify(peer, std::move(bearer),
                             [this, &route, request = std::move(request),
                              counted = std::move(counted)](Result<auth::Identity> who) mutable {
                                 if (!who)
                                     return counted(identityProblem(who.error()));
                                 request.who = *std::move(who);
                                 identified(route, std::move(request), std::move(counted));
                             });
}

void Application::identified(const Route& route, Request request, Respond respond)
{
    if (auto may = auth::mayDo(request.who, *route.action); !may)
        return respond(problem(403, may.error().message));
    route.run(request, std::move(respond));
}

void Application::metrics(Respond respond)
{
    m_gateway.metrics([this, respond = std::move(respond)](Result<std::vector<MetricFamily>> families) {
        if (!families)
            return respond(problem(families.error()));
        std::ranges::move(ownMetrics(), std::back_inserter(*families));
        respond({200, "text/plain; version=0.0.4; charset=utf-8", renderMetrics(*families), {}});
    });
}

std::vector<MetricFamily> Application::ownMetrics() const
{
    std::vector<MetricFamily> families;
    MetricFamily answers{"penstock_http_requests_total", "HTTP requests answered, by status", MetricType::Counter, {}};
    for (const auto& [status, count] : *m_answers)
        answers.samples.push_back({{{"status", std::to_string(status)}}, static_cast<double>(count)});
    families.push_back(std::move(answers));
    if (m_connectionMetrics)
        std::ranges::move(m_connectionMetrics(), std::back_inserter(families));
    return families;
}

} // namespace penstock::http
