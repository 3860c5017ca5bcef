// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/net/listen_address.h"

#include "shared/base/text.h"

#include <fmt/format.h>

namespace penstock::net {
namespace {

constexpr std::size_t kMaxUnixPath = 107; // sockaddr_un, without its NUL

tl::unexpected<Error> refuse(std::string_view text, std::string_view what)
{
    return fail(ErrorCode::Invalid,
                fmt::format("listen: \"{}\" {}; write 127.0.0.1:7780, [::1]:7780, unix:/PATH or "
                            "systemd",
                            toValidUtf8(text.substr(0, 200)), what));
}

} // namespace

Result<ListenAddress> ListenAddress::parse(std::string_view text)
{
    ListenAddress address;
    if (text == "systemd") {
        address.kind = Kind::Systemd;
        return address;
    }
    if (text.starts_with("unix:")) {
        address.kind = Kind::Unix;
        address.path = std::string(text.substr(5));
        if (!address.path.starts_with('/') || address.path.find('\0') != std::string::npos)
            return refuse(text, "must name an absolute path");
        if (address.path.size() > kMaxUnixPath)
            return refuse(text, fmt::format("has a path of {} bytes, more than the limit of {}",
                                            address.path.size(), kMaxUnixPath));
        return address;
    }
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos)
        return refuse(text, "has no port");
    auto host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    else if (host.find(':') != std::string_view::npos)
        return refuse(text, "needs brackets around the IPv6 address");
    const auto port = parseUnsigned(text.substr(colon + 1));
    if (!port || *port > 65'535)
        return refuse(text, "has no port from 0 to 65535");
    if (host.empty())
        return refuse(text, "has no address");
    address.host = std::string(host);
    address.port = static_cast<std::uint16_t>(*port);
    return address;
}

std::string ListenAddress::print() const
{
    switch (kind) {
    case Kind::Unix: return "unix:" + path;
    case Kind::Systemd: return "systemd";
    case Kind::Tcp: break;
    }
    return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                               : fmt::format("[{}]:{}", host, port);
}

bool ListenAddress::isLocal() const
{
    return kind == Kind::Unix ||
           (kind == Kind::Tcp && (host == "localhost" || host == "::1" || host.starts_with("127.")));
}

} // namespace penstock::net
