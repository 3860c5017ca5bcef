// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/auth/policy.h"

#include "shared/base/text.h"

#include <fmt/format.h>

namespace penstock::auth {
namespace {

std::string_view describe(Action action)
{
    switch (action) {
    case Action::ConnectBuilder: return "connect as a builder";
    case Action::Watch: return "read jobs, machines and logs";
    case Action::Submit: return "submit, cancel, retry or hold jobs";
    case Action::Operate: return "operate the farm (machines, shares, limits, order)";
    case Action::ManageTokens: return "manage tokens";
    case Action::Fetch: return "fetch store paths";
    case Action::Upload: return "upload store paths";
    }
    return "do this";
}

bool allowed(Kind kind, Action action)
{
    switch (kind) {
    case Kind::Local: return true;
    // What a builder uploads it uploads for an attempt, by that attempt's grant.
    case Kind::Builder: return action == Action::ConnectBuilder || action == Action::Fetch;
    case Kind::Client:
        return action == Action::Watch || action == Action::Submit || action == Action::Operate ||
               action == Action::Fetch || action == Action::Upload;
    case Kind::Attempt: return action == Action::Fetch || action == Action::Upload;
    }
    return false;
}

std::string_view describe(Kind kind)
{
    switch (kind) {
    case Kind::Local: return "a local peer";
    case Kind::Builder: return "a builder's token";
    case Kind::Client: return "a client's token";
    case Kind::Attempt: return "an attempt's grant";
    }
    return "this peer";
}

// "[::1]:7780" → "::1", "host:80" → "host"
std::string_view withoutPort(std::string_view authority)
{
    if (authority.starts_with('[')) {
        const auto end = authority.find(']');
        return end == std::string_view::npos ? std::string_view() : authority.substr(1, end - 1);
    }
    return authority.substr(0, authority.find(':'));
}

bool namesThisMachine(std::string_view host)
{
    const std::string name = toLower(host);
    if (name == "localhost" || name.ends_with(".localhost") || name == "::1")
        return true;
    // Dotted quads only: "127.evil.example" is a name that anybody may own.
    if (!name.starts_with("127."))
        return false;
    const auto parts = split(name, '.');
    if (parts.size() != 4)
        return false;
    for (const auto part : parts) {
        const auto number = parseUnsigned(part);
        if (!number || *number > 255)
            return false;
    }
    return true;
}

} // namespace

std::string_view toString(Mode mode)
{
    switch (mode) {
    case Mode::Local: return "local";
    case Mode::Tokens: return "tokens";
    }
    return "local";
}

Result<Mode> parseMode(std::string_view word)
{
    if (word == "local")
        return Mode::Local;
    if (word == "tokens")
        return Mode::Tokens;
    return fail(ErrorCode::Invalid, fmt::format("auth: \"{}\" is not known; use \"local\" or \"tokens\"", word));
}

Result<void> mayDo(const Identity& who, Action action)
{
    if (allowed(who.kind, action))
        return {};
    return fail(ErrorCode::Denied, fmt::format("{} (\"{}\") may not {}; use a token of the right kind",
                                               describe(who.kind), who.name, describe(action)));
}

Result<void> mayComeWithoutToken(const PeerAddress& peer, Mode mode)
{
    if (mode == Mode::Tokens)
        return fail(ErrorCode::Denied, "a token is needed: send Authorization: Bearer TOKEN "
                                       "(make one with `penstock token create`)");
    if (!peer.local)
        return fail(ErrorCode::Denied, "this server takes only local peers without a token; start it with "
                                       "--auth tokens and TLS, and send a token");
    return {};
}

Result<void> checkListen(const ListenChoice& choice)
{
    if (choice.local || choice.insecure)
        return {};
    if (choice.mode == Mode::Local)
        return fail(ErrorCode::Denied,
                    fmt::format("listen {}: others could reach it, and --auth local gives them no way to prove who "
                                "they are; use --auth tokens with --tls-cert and --tls-key, listen on 127.0.0.1, or "
                                "say --insecure", choice.address));
    if (!choice.tls)
        return fail(ErrorCode::Denied,
                    fmt::format("listen {}: tokens would cross the network in the clear; give --tls-cert and "
                                "--tls-key, listen on 127.0.0.1, or say --insecure", choice.address));
    return {};
}

Result<void> checkBrowser(const BrowserHeaders& headers, bool localWithoutToken)
{
    if (!headers.origin.empty()) {
        const auto scheme = headers.origin.find("://");
        const auto authority = scheme == std::string_view::npos ? std::string_view()
                                                                : headers.origin.substr(scheme + 3);
        if (authority.empty() || toLower(authority) != toLower(headers.host))
            return fail(ErrorCode::Denied, fmt::format("a page of {} may not use this server",
                                                       toValidUtf8(headers.origin.substr(0, 100))));
    }
    if (localWithoutToken && !headers.host.empty() && !namesThisMachine(withoutPort(headers.host)))
        return fail(ErrorCode::Denied,
                    fmt::format("the Host header says {}, which is no name of this machine's loopback; call it "
                                "127.0.0.1 or localhost, or send a token",
                                toValidUtf8(headers.host.substr(0, 100))));
    return {};
}

} // namespace penstock::auth
