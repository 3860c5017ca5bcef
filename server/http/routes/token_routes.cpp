// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/auth/tokens.h"
#include "server/http/inputs.h"
#include "server/http/render.h"
#include "server/http/time_text.h"
#include "server/jobs/object_reader.h"

#include <array>

namespace penstock::http {
namespace {

constexpr std::string_view kTokenBody =
    R"({"type":"object","required":["kind","name"],"additionalProperties":false,"properties":{)"
    R"("kind":{"enum":["builder","client"]},"name":{"type":"string"},"expires":{"type":["string","null"]}}})";

Result<auth::NewToken> readNew(const Request& request, WallTime now)
{
    constexpr std::array<std::string_view, 3> kKeys{"kind", "name", "expires"};
    PENSTOCK_TRY(const auto document, nix::parseJson(request.body));
    PENSTOCK_TRY(const auto body, jobs::ObjectReader::open(document, {}, kKeys));
    PENSTOCK_TRY(const auto kind, body.text("kind", 20));
    PENSTOCK_TRY(const auto name, body.text("name", 100));
    PENSTOCK_TRY(const auto expires, body.text("expires", 40));
    if (!kind || !name)
        return body.refuse(!kind ? "kind" : "name", "is missing");
    std::optional<WallTime> until;
    if (expires) {
        const auto parsed = parseRfc3339(*expires);
        if (!parsed)
            return body.refuse("expires", parsed.error().message);
        until = *parsed;
    }
    return auth::makeToken(*kind, *name, until, now);
}

void create(const Site& site, const Request& request, Respond respond)
{
    auto made = readNew(request, site.clock.now().wall);
    if (!made)
        return respond(bodyProblem(made.error()));
    auto row = made->row;
    site.gateway.addToken(std::move(row), [respond = std::move(respond), made = *std::move(made)](Result<void> done) {
        if (!done)
            return respond(problem(done.error()));
        JsonWriter out;
        out.beginObject();
        writeToken(out, made.row);
        out.field("token", std::string_view(made.text));
        out.endObject();
        respond(json(std::move(out).take(), 201));
    });
}

void list(const Site& site, const Request&, Respond respond)
{
    site.gateway.listTokens([respond = std::move(respond)](Result<std::vector<store::TokenRow>> tokens) {
        if (!tokens)
            return respond(problem(tokens.error()));
        JsonWriter out;
        out.beginObject();
        out.key("tokens");
        out.beginArray();
        for (const auto& token : *tokens) {
            out.beginObject();
            writeToken(out, token);
            out.endObject();
        }
        out.endArray();
        out.endObject();
        respond(json(std::move(out).take()));
    });
}

void revoke(const Site& site, const Request& request, Respond respond)
{
    const std::string id = request.params[0];
    site.gateway.revokeToken(id, [respond = std::move(respond), id](Result<void> done) {
        if (!done)
            return respond(problem(done.error()));
        JsonWriter out;
        out.beginObject();
        out.field("id", std::string_view(id));
        out.field("revoked", true);
        out.endObject();
        respond(json(std::move(out).take()));
    });
}

} // namespace

std::vector<Route> tokenRoutes(const Site& site)
{
    using auth::Action;
    const auto with = [&site](auto function) {
        return [&site, function](const Request& request, Respond respond) {
            function(site, request, std::move(respond));
        };
    };
    return {
        {"GET", "/api/v1/tokens", Action::ManageTokens, {}, with(list),
         "access tokens, without their secrets"},
        {"POST", "/api/v1/tokens", Action::ManageTokens, {}, with(create),
         "makes an access token; its secret is told this once", kTokenBody},
        {"POST", "/api/v1/tokens/{}/revoke", Action::ManageTokens, {}, with(revoke),
         "makes a token worthless"},
    };
}

} // namespace penstock::http
