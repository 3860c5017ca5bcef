// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/application.h"

#include "server/http/openapi.h"
#include "server/http/routes/hydra_inputs.h"
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

Reply identityProblem(const Route& route, const Error& error)
{
    if (error.code != ErrorCode::Denied)
        return problem(error);
    auto reply = problem(401, error.message);
    if (route.traits.password)
        reply.headers.emplace_back("WWW-Authenticate", "Basic realm=\"penstock\"");
    return reply;
}

std::string credentialOf(const Route& route, const RequestHead& head)
{
    std::string bearer(head.bearer());
    return bearer.empty() && route.traits.password ? head.basicPassword() : bearer;
}

void run(const Route& route, const Request& request, const std::shared_ptr<BodyPipe>& body, Respond respond)
{
    if (route.traits.receive)
        return route.traits.receive(request, body, std::move(respond));
    route.run(request, std::move(respond));
}

} // namespace

Application::Application(const Clock& clock, auth::Authenticator& authenticator, Gateway& gateway,
                         transfer::TransferDesk* desk, HydraGateway* hydra)
    : m_authenticator(authenticator), m_gateway(gateway), m_site{gateway, clock, desk},
      m_answers(std::make_shared<std::map<unsigned, std::uint64_t>>())
{
    m_router.add(statusRoutes(m_site));
    m_router.add({{"GET", "/metrics", auth::Action::Watch, {},
                   [this](const Request&, Respond respond) { metrics(std::move(respond)); },
                   "metrics for Prometheus"},
                  {"GET", "/metrics/", auth::Action::Watch, {}, // as Hydra's runner had it
                   [this](const Request&, Respond respond) { metrics(std::move(respond)); }}});
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
    if (hydra != nullptr)
        m_router.add(hydraRoutes(*hydra));
    if (desk != nullptr) {
        m_router.add(cacheRoutes(m_site));
        m_router.add(transferRoutes(m_site));
    }
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
    serve({std::move(head), std::move(body), {}, {}, {}}, nullptr, peer, std::move(respond));
}

void Application::receive(RequestHead head, std::shared_ptr<BodyPipe> body, const auth::PeerAddress& peer,
                          Respond respond)
{
    serve({std::move(head), {}, {}, {}, {}}, std::move(body), peer, std::move(respond));
}

bool Application::takesStream(const RequestHead& head) const
{
    const auto match = m_router.find(head.method, head.segments);
    return match.route && match.route->traits.receive;
}

bool Application::isSlow(const RequestHead& head) const
{
    const auto match = m_router.find(head.method, head.segments);
    return match.route && match.route->traits.slow;
}

void Application::serve(Request request, std::shared_ptr<BodyPipe> body, const auth::PeerAddress& peer,
                        Respond respond)
{
    Respond counted = [answers = m_answers, isHydra = isHydraPath(request.head.path),
                       respond = std::move(respond)](Reply reply) {
        ++(*answers)[reply.status];
        if (isHydra)
            addHydraError(reply);
        respond(std::move(reply));
    };
    const auto& head = request.head;
    auto match = m_router.find(head.method, head.segments);
    if (!match.route && match.allowed.empty())
        return counted(problem(404, fmt::format("nothing is at {}", toValidUtf8(head.path.substr(0, 200)))));
    if (!match.route)
        return counted(notAllowed(head, match.allowed));
    const auto& route = *match.route;
    auto credential = credentialOf(route, head);
    if (auto good = auth::checkBrowser({head.header("host"), head.header("origin")}, peer.local && credential.empty());
        !good)
        return counted(problem(403, good.error().message));
    if (!request.body.empty() && !route.traits.anyType && !isJsonType(head.header("content-type")))
        return counted(problem(415, fmt::format("Content-Type {} is not understood; send application/json",
                                                head.header("content-type").substr(0, 100))));
    auto query = parseQuery(head.query);
    if (!query)
        return counted(problem(400, query.error().message));
    if (auto known = checkQuery(route, *query); !known)
        return counted(problem(400, known.error().message));
    request.query = *std::move(query);
    request.params = std::move(match.params);
    if (!route.action)
        return run(route, request, body, std::move(counted));
    m_authenticator.identify(peer, std::move(credential),
                             [&route, body = std::move(body), request = std::move(request),
                              counted = std::move(counted)](Result<auth::Identity> who) mutable {
                                 if (!who)
                                     return counted(identityProblem(route, who.error()));
                                 request.who = *std::move(who);
                                 identified(route, std::move(request), body, std::move(counted));
                             });
}

void Application::identified(const Route& route, Request request, const std::shared_ptr<BodyPipe>& body,
                             Respond respond)
{
    if (auto may = auth::mayDo(request.who, *route.action); !may)
        return respond(problem(403, may.error().message));
    run(route, request, body, std::move(respond));
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
