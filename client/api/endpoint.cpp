// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/api/endpoint.h"

#include "shared/base/text.h"

#include <array>
#include <fmt/format.h>
#include <optional>

namespace penstock::client {

namespace {

struct Scheme {
    std::string_view name;
    bool tls;
    std::uint16_t port;
};
constexpr std::array<Scheme, 4> kSchemes{
    {{"ws", false, kDefaultPort}, {"wss", true, kDefaultPort}, {"http", false, 80}, {"https", true, 443}}};

tl::unexpected<Error> refuse(std::string_view text, std::string_view why)
{
    return fail(ErrorCode::Invalid,
                fmt::format("server \"{}\": {}; write it like ws://127.0.0.1:7780 or https://farm.example",
                            text, why));
}

bool isHostCharacter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}
bool isAddressCharacter(char c)
{
    return isHostCharacter(c) || c == ':' || c == '%';
}

struct Authority {
    std::string_view host;
    std::optional<std::string_view> port;
};

Result<Authority> splitAuthority(std::string_view whole, std::string_view text)
{
    if (text.find('@') != std::string_view::npos)
        return refuse(whole, "a user name or password has no place here, use --token-file");
    Authority result;
    bool wellFormed = true;
    if (!text.empty() && text.front() == '[') {
        const auto close = text.find(']');
        if (close == std::string_view::npos)
            return refuse(whole, "the bracket of the IPv6 address is not closed");
        result.host = text.substr(1, close - 1);
        const auto rest = text.substr(close + 1);
        if (!rest.empty() && rest.front() != ':')
            return refuse(whole, "unexpected text after the IPv6 address");
        if (!rest.empty())
            result.port = rest.substr(1);
        for (const char c : result.host)
            wellFormed = wellFormed && isAddressCharacter(c);
    } else {
        const auto colon = text.find(':');
        result.host = text.substr(0, colon);
        if (colon != std::string_view::npos)
            result.port = text.substr(colon + 1);
        for (const char c : result.host)
            wellFormed = wellFormed && isHostCharacter(c);
    }
    if (result.host.empty() || !wellFormed)
        return refuse(whole, "no valid host name in it");
    return result;
}

} // namespace

std::string Endpoint::authority() const
{
    const bool bracket = host.find(':') != std::string::npos;
    return bracket ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

std::string Endpoint::text() const
{
    return fmt::format("{}://{}{}", tls ? "wss" : "ws", authority(), base);
}

Result<Endpoint> parseEndpoint(std::string_view text)
{
    const auto whole = trim(text);
    auto rest = whole;
    Endpoint endpoint;
    if (const auto mark = rest.find("://"); mark != std::string_view::npos) {
        const auto name = toLower(rest.substr(0, mark));
        const Scheme* found = nullptr;
        for (const auto& scheme : kSchemes)
            found = scheme.name == name ? &scheme : found;
        if (found == nullptr)
            return refuse(whole, fmt::format("\"{}\" is none of ws, wss, http, https", name));
        endpoint.tls = found->tls;
        endpoint.port = found->port;
        rest.remove_prefix(mark + 3);
    }
    const auto slash = rest.find('/');
    if (slash != std::string_view::npos) {
        auto base = rest.substr(slash);
        while (!base.empty() && base.back() == '/')
            base.remove_suffix(1);
        for (const char c : base)
            if (c <= ' ' || c == '?' || c == '#' || c == '\x7f')
                return refuse(whole, "the path may hold no spaces, \"?\" or \"#\"");
        endpoint.base = std::string(base);
        rest = rest.substr(0, slash);
    }
    PENSTOCK_TRY(const auto authority, splitAuthority(whole, rest));
    endpoint.host = std::string(authority.host);
    if (authority.port) {
        const auto port = parseUnsigned(*authority.port);
        if (!port || *port == 0 || *port > 65535)
            return refuse(whole, fmt::format("port \"{}\" is not a number from 1 to 65535", *authority.port));
        endpoint.port = static_cast<std::uint16_t>(*port);
    }
    return endpoint;
}

} // namespace penstock::client
