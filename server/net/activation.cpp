// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/net/activation.h"

#include "shared/base/text.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace penstock::net {
namespace {

constexpr int kFirst = 3; // SD_LISTEN_FDS_START
constexpr std::uint64_t kMost = 64;

template <class Address> Address copyAs(const sockaddr_storage& storage)
{
    Address address{};
    std::memcpy(&address, &storage, sizeof(address));
    return address;
}

Result<ListenAddress> addressOf(int descriptor)
{
    int listens = 0;
    socklen_t length = sizeof(listens);
    if (::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) != 0 || listens == 0)
        return fail(ErrorCode::Invalid,
                    fmt::format("listen: descriptor {} of LISTEN_FDS is no socket that listens; the socket unit needs "
                                "ListenStream= and Accept=no",
                                descriptor));
    sockaddr_storage storage{};
    length = sizeof(storage);
    if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&storage), &length) != 0)
        return fail(ErrorCode::Invalid, fmt::format("listen: descriptor {} has no address", descriptor));
    ListenAddress address;
    address.descriptor = descriptor;
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (storage.ss_family == AF_INET) {
        const auto four = copyAs<sockaddr_in>(storage);
        address.host = ::inet_ntop(AF_INET, &four.sin_addr, text.data(), text.size()) != nullptr ? text.data() : "";
        address.port = ntohs(four.sin_port);
    } else if (storage.ss_family == AF_INET6) {
        const auto six = copyAs<sockaddr_in6>(storage);
        address.host = ::inet_ntop(AF_INET6, &six.sin6_addr, text.data(), text.size()) != nullptr ? text.data() : "";
        address.port = ntohs(six.sin6_port);
    } else if (storage.ss_family == AF_UNIX) {
        const auto path = copyAs<sockaddr_un>(storage);
        address.kind = ListenAddress::Kind::Unix;
        address.path = std::string(&path.sun_path[0], ::strnlen(&path.sun_path[0], sizeof(path.sun_path)));
    } else {
        return fail(ErrorCode::Invalid,
                    fmt::format("listen: descriptor {} is neither an internet nor a Unix socket", descriptor));
    }
    (void)::fcntl(descriptor, F_SETFD, FD_CLOEXEC); // not for the programs that we start
    return address;
}

} // namespace

Result<std::vector<ActivatedSocket>> activatedSockets(const ActivationNote& note)
{
    if (note.count.empty())
        return fail(ErrorCode::Invalid, "listen: systemd has passed no socket (LISTEN_FDS is not set); start the "
                                        "server by its socket unit, or give an address such as 127.0.0.1:7780");
    // Without a number it is for whoever reads it; with another's, for that process.
    if (!note.pid.empty() && note.pid != std::to_string(::getpid()))
        return fail(ErrorCode::Invalid, fmt::format("listen: the sockets that systemd passed are for process {}, "
                                                    "this is {}",
                                                    toValidUtf8(note.pid.substr(0, 20)), ::getpid()));
    const auto count = parseUnsigned(note.count);
    if (!count || *count == 0 || *count > kMost)
        return fail(ErrorCode::Invalid, fmt::format("listen: LISTEN_FDS is \"{}\", not a number from 1 to {}",
                                                    toValidUtf8(note.count.substr(0, 20)), kMost));
    const auto names = note.names.empty() ? std::vector<std::string_view>() : split(note.names, ':');
    std::vector<ActivatedSocket> sockets;
    for (std::size_t place = 0; place < *count; ++place) {
        PENSTOCK_TRY(ListenAddress address, addressOf(kFirst + static_cast<int>(place)));
        sockets.push_back({place < names.size() ? std::string(names[place]) : std::string(), std::move(address)});
    }
    return sockets;
}

Result<ListenAddress> activatedSocket(const ActivationNote& note, std::string_view name, std::size_t place)
{
    PENSTOCK_TRY(const auto sockets, activatedSockets(note));
    const auto named = std::ranges::find(sockets, name, &ActivatedSocket::name);
    if (named != sockets.end())
        return named->address;
    if (place >= sockets.size())
        return fail(ErrorCode::Invalid,
                    fmt::format("listen: systemd has passed {} sockets, none of them named \"{}\"; name it with "
                                "FileDescriptorName= in its socket unit",
                                sockets.size(), name));
    return sockets[place].address;
}

} // namespace penstock::net
