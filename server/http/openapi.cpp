// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/openapi.h"

#include "server/http/json_writer.h"
#include "shared/base/text.h"

#include <algorithm>
#include <map>

namespace penstock::http {
namespace {

constexpr std::string_view kProblem =
    R"({"type":"object","required":["type","title","status","detail"],"properties":{"type":{"type":"string"},)"
    R"("title":{"type":"string"},"status":{"type":"integer"},"detail":{"type":"string"}}})";

// What stands for a {} is called after the word before it.
std::string_view parameterOf(std::string_view collection)
{
    if (collection == "machines" || collection == "namespaces")
        return "name";
    return collection == "shares" ? std::string_view("group") : std::string_view("id");
}

struct Path {
    std::string text; // with {id} for {}
    std::vector<std::string_view> parameters;
};

Path pathOf(std::string_view pattern)
{
    Path path;
    std::string_view before;
    for (const std::string_view segment : split(pattern.substr(1), '/')) {
        path.text += '/';
        if (segment.starts_with("{}")) {
            path.parameters.push_back(parameterOf(before));
            path.text.append("{").append(parameterOf(before)).append("}").append(segment.substr(2));
        } else {
            path.text += segment;
        }
        before = segment;
    }
    return path;
}

void writeParameter(JsonWriter& out, std::string_view name, bool inPath)
{
    out.beginObject();
    out.field("name", name);
    out.field("in", inPath ? "path" : "query");
    out.field("required", inPath);
    out.fieldRaw("schema", R"({"type":"string"})");
    out.endObject();
}

void writeResponses(JsonWriter& out, const Route& route)
{
    const bool isText = route.pattern == "/metrics" || route.pattern == "/healthz" || route.pattern == "/readyz";
    const bool makes =
        (route.method == "POST" && (route.pattern == "/api/v1/jobs" || route.pattern == "/api/v1/tokens")) ||
        route.pattern == "/transfer/nar/{}";
    out.key("responses");
    out.beginObject();
    // Nix's own formats are described by Nix.
    const bool isNix = (route.traits.password && !route.traits.isJson) || route.pattern == "/transfer/closure";
    out.fieldRaw(makes ? "201" : "200", isNix    ? R"({"description":"done"})"
                                        : isText ? R"({"description":"done","content":{"text/plain":{}}})"
                                                 : R"({"description":"done","content":{"application/json":{}}})");
    out.fieldRaw("default", R"x({"$ref":"#/components/responses/Problem"})x");
    out.endObject();
}

void writeOperation(JsonWriter& out, const Route& route, const Path& path)
{
    out.key(toLower(route.method));
    out.beginObject();
    out.field("summary", route.summary);
    out.key("parameters");
    out.beginArray();
    for (const std::string_view name : path.parameters)
        writeParameter(out, name, true);
    for (const std::string_view name : route.query)
        writeParameter(out, name, false);
    out.endArray();
    if (!route.body.empty()) {
        out.key("requestBody");
        out.beginObject();
        out.key("content");
        out.beginObject();
        out.key("application/json");
        out.beginObject();
        out.fieldRaw("schema", route.body);
        out.endObject();
        out.endObject();
        out.endObject();
    }
    writeResponses(out, route);
    if (!route.action)
        out.fieldRaw("security", "[]");
    out.endObject();
}

} // namespace

std::string openApiDocument(const std::vector<const Route*>& routes)
{
    std::map<std::string, std::vector<const Route*>> paths;
    for (const Route* route : routes) {
        if (!route->summary.empty())
            paths[pathOf(route->pattern).text].push_back(route);
    }
    JsonWriter out;
    out.beginObject();
    out.field("openapi", "3.1.0");
    out.fieldRaw("info", R"({"title":"Penstock","version":"1","description":"A build and job farm."})");
    out.fieldRaw("security", R"([{"token":[]},{}])");
    out.key("paths");
    out.beginObject();
    for (const auto& [text, operations] : paths) {
        out.key(text);
        out.beginObject();
        for (const Route* route : operations)
            writeOperation(out, *route, pathOf(route->pattern));
        out.endObject();
    }
    out.endObject();
    out.key("components");
    out.beginObject();
    out.fieldRaw("securitySchemes", R"({"token":{"type":"http","scheme":"bearer"}})");
    out.key("responses");
    out.beginObject();
    out.key("Problem");
    out.beginObject();
    out.field("description", "what is wrong (RFC 9457)");
    out.key("content");
    out.beginObject();
    out.key("application/problem+json");
    out.beginObject();
    out.fieldRaw("schema", kProblem);
    out.endObject();
    out.endObject();
    out.endObject();
    out.endObject();
    out.endObject();
    out.endObject();
    return std::move(out).take();
}

} // namespace penstock::http
