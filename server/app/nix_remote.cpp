// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/nix_remote.h"

#include <algorithm>

namespace penstock::app {
namespace {

std::string_view variable(const config::Environment& environment, std::string_view name)
{
    const auto found = environment.find(name);
    return found == environment.end() ? std::string_view() : std::string_view(found->second);
}

std::string firstOf(std::string first, std::string_view second, std::string_view fallback)
{
    return std::string(!first.empty() ? std::string_view(first) : !second.empty() ? second : fallback);
}

} // namespace

std::string nixRemoteParameter(const config::Environment& environment, std::string_view name)
{
    const std::string_view remote = variable(environment, "NIX_REMOTE");
    const auto question = remote.find('?');
    std::string_view rest = question == std::string_view::npos ? std::string_view() : remote.substr(question + 1);
    while (!rest.empty()) {
        const std::string_view one = rest.substr(0, rest.find('&'));
        rest.remove_prefix(std::min(rest.size(), one.size() + 1));
        if (one.starts_with(name) && one.substr(name.size()).starts_with('='))
            return std::string(one.substr(name.size() + 1));
    }
    return {};
}

std::string nixRoot(const config::Environment& environment)
{
    const std::string_view remote = variable(environment, "NIX_REMOTE");
    return remote.starts_with('/') ? std::string(remote) : nixRemoteParameter(environment, "root");
}

std::string nixStateDir(const config::Environment& environment)
{
    constexpr std::string_view kState = "/nix/var/nix";
    const std::string named = nixRemoteParameter(environment, "state");
    const std::string root = nixRoot(environment);
    if (named.empty() && !root.empty())
        return root + std::string(kState);
    return firstOf(named, variable(environment, "NIX_STATE_DIR"), kState);
}

std::string nixStoreDir(const config::Environment& environment)
{
    return firstOf(nixRemoteParameter(environment, "store"), variable(environment, "NIX_STORE_DIR"), "/nix/store");
}

} // namespace penstock::app
