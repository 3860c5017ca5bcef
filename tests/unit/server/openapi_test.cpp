// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/server/routes_fixture.h"

namespace penstock::test {
namespace {

using OpenApiTest = RoutesTest;

nix::JsonValue::Object membersOf(const nix::JsonValue& value)
{
    const auto* object = value.asObject();
    return object == nullptr ? nix::JsonValue::Object{} : *object;
}

// Empty when there is no such member.
nix::JsonValue::Object member(const nix::JsonValue::Object& object, std::string_view key)
{
    for (const auto& [name, value] : object)
        if (name == key)
            return membersOf(value);
    return {};
}

TEST_F(OpenApiTest, DescribesOnlyWhatIsServed)
{
    const auto document = nix::parseJson(ask(get("/openapi.json")).body);
    ASSERT_TRUE(document);
    const auto paths = member(membersOf(*document), "paths");
    EXPECT_GT(paths.size(), 30U);
    for (const auto& [path, operations] : paths) {
        std::string target = path;
        for (const auto* name : {"{id}", "{name}", "{group}"})
            if (const auto at = target.find(name); at != std::string::npos)
                target.replace(at, std::string_view(name).size(), "1");
        EXPECT_EQ(target.find('{'), std::string::npos) << path;
        for (const auto& [method, operation] : membersOf(operations)) {
            std::string upper;
            for (const char c : method)
                upper.push_back(static_cast<char>(c - 'a' + 'A'));
            const auto reply = send(upper, target, upper == "GET" ? "" : "{}");
            EXPECT_NE(reply.status, 405U) << method << " " << target;
            EXPECT_FALSE(has(reply, "nothing is at")) << method << " " << target;
            EXPECT_FALSE(member(membersOf(operation), "responses").empty()) << method << " " << target;
        }
    }
}

TEST_F(OpenApiTest, LeavesNoRouteOut)
{
    const auto document = ask(get("/openapi.json"));
    const http::Site site{gateway, loop};
    for (const auto& routes :
         {http::jobRoutes(site), http::stepRoutes(site), http::runRoutes(site), http::machineRoutes(site),
          http::schedulingRoutes(site), http::statusRoutes(site), http::tokenRoutes(site), http::hydraRoutes(hydra)})
        for (const auto& route : routes) {
            // With a slash at its end it is the same resource again; but for hydra-jobs, whose routes are not here.
            const bool described = has(document, fmt::format("\"summary\":\"{}\"", route.summary));
            EXPECT_TRUE(route.pattern.ends_with('/') || (described && !route.summary.empty()))
                << route.method << " " << route.pattern;
        }
}

TEST_F(OpenApiTest, SaysWhatBodiesAndParametersAreTaken)
{
    const auto document = ask(get("/openapi.json"));
    EXPECT_TRUE(has(document, R"("openapi":"3.1.0")"));
    EXPECT_TRUE(has(document, R"("/api/v1/shares/{group}":{"put":{)")) << document.body;
    EXPECT_TRUE(has(document, R"({"name":"name","in":"path","required":true,"schema":{"type":"string"}})"));
    EXPECT_TRUE(has(document, R"({"name":"before","in":"query","required":false,"schema":{"type":"string"}})"));
    EXPECT_TRUE(has(document, R"("shares":{"type":"integer","minimum":1,"maximum":1000000})"));
    EXPECT_TRUE(has(document, R"("/healthz":{"get":{"summary":"whether the server is alive","parameters":[],)"
                              R"("responses":{"200":{"description":"done","content":{"text/plain":{}}},)"));
}

} // namespace
} // namespace penstock::test
