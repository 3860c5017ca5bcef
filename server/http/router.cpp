// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/route.h"
#include "shared/base/text.h"

#include <algorithm>

namespace penstock::http {
namespace {

std::optional<std::vector<std::string>> fit(const std::vector<std::string_view>& pattern,
                                            const std::vector<std::string>& segments)
{
    if (pattern.size() != segments.size())
        return std::nullopt;
    std::vector<std::string> params;
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        const auto& segment = segments[at];
        const auto suffix = pattern[at].starts_with("{}") ? pattern[at].substr(2) : std::string_view();
        if (pattern[at].starts_with("{}") && segment.size() > suffix.size() && segment.ends_with(suffix))
            params.push_back(segment.substr(0, segment.size() - suffix.size()));
        else if (pattern[at] != segments[at])
            return std::nullopt;
    }
    return params;
}

} // namespace

void Router::add(std::vector<Route> routes)
{
    for (auto& route : routes) {
        auto segments = split(route.pattern.substr(1), '/');
        m_entries.push_back({std::move(route), std::move(segments)});
    }
}

Router::Match Router::find(std::string_view method, const std::vector<std::string>& segments) const
{
    const std::string_view wanted = method == "HEAD" ? std::string_view("GET") : method;
    Match match;
    for (const auto& entry : m_entries) {
        auto params = fit(entry.segments, segments);
        if (!params)
            continue;
        if (entry.route.method == wanted) {
            match.route = &entry.route;
            match.params = *std::move(params);
            match.allowed.clear();
            return match;
        }
        match.allowed.push_back(entry.route.method);
    }
    return match;
}

std::vector<const Route*> Router::routes() const
{
    std::vector<const Route*> routes;
    for (const auto& entry : m_entries)
        routes.push_back(&entry.route);
    return routes;
}

} // namespace penstock::http
