// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/curl/open_sockets.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace penstock::curl {
namespace {

struct End {
    std::string address;
    int port = 0;
};

using NameCall = int (*)(int, sockaddr*, socklen_t*); // getsockname, getpeername

// Written as libcurl writes it: digits, without a scope. None for what is no socket of IP.
std::optional<End> endOf(NameCall call, curl_socket_t socket)
{
    sockaddr_storage storage = {};
    socklen_t size = sizeof storage;
    if (call(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0)
        return std::nullopt;
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* bytes = nullptr;
    End end;
    if (storage.ss_family == AF_INET) {
        const auto& address = reinterpret_cast<const sockaddr_in&>(storage);
        bytes = &address.sin_addr;
        end.port = ntohs(address.sin_port);
    } else if (storage.ss_family == AF_INET6) {
        const auto& address = reinterpret_cast<const sockaddr_in6&>(storage);
        bytes = &address.sin6_addr;
        end.port = ntohs(address.sin6_port);
    }
    if (bytes == nullptr || ::inet_ntop(storage.ss_family, bytes, text.data(), text.size()) == nullptr)
        return std::nullopt;
    end.address = text.data();
    return end;
}

} // namespace

void OpenSockets::watch(CURL* handle)
{
    m_used = CURL_SOCKET_BAD;
    curl_easy_setopt(handle, CURLOPT_OPENSOCKETFUNCTION, &OpenSockets::onOpen);
    curl_easy_setopt(handle, CURLOPT_OPENSOCKETDATA, this);
    curl_easy_setopt(handle, CURLOPT_CLOSESOCKETFUNCTION, &OpenSockets::onClose);
    curl_easy_setopt(handle, CURLOPT_CLOSESOCKETDATA, this);
    curl_easy_setopt(handle, CURLOPT_PREREQFUNCTION, &OpenSockets::onConnected);
    curl_easy_setopt(handle, CURLOPT_PREREQDATA, this);
}

bool OpenSockets::hasPeerLeft() const
{
    char byte = 0;
    return m_used != CURL_SOCKET_BAD && ::recv(m_used, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void OpenSockets::use(const Ends& ends)
{
    const auto found = std::ranges::find_if(m_open, [&](curl_socket_t each) {
        const std::optional<End> local = endOf(&::getsockname, each);
        if (!local || local->port != ends.localPort || local->address != ends.localAddress)
            return false;
        const std::optional<End> peer = endOf(&::getpeername, each);
        return peer && peer->port == ends.peerPort && peer->address == ends.peerAddress;
    });
    m_used = found == m_open.end() ? CURL_SOCKET_BAD : *found;
}

curl_socket_t OpenSockets::onOpen(void* self, curlsocktype, curl_sockaddr* address)
{
    // Closed on exec, unlike libcurl's own: a build must not hold a connection open.
    const curl_socket_t opened =
        ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (opened < 0)
        return CURL_SOCKET_BAD;
    static_cast<OpenSockets*>(self)->m_open.push_back(opened);
    return opened;
}

int OpenSockets::onClose(void* self, curl_socket_t socket)
{
    auto& sockets = *static_cast<OpenSockets*>(self);
    std::erase(sockets.m_open, socket);
    if (sockets.m_used == socket)
        sockets.m_used = CURL_SOCKET_BAD;
    return ::close(socket);
}

// Just before a request is sent, on a new connection or a kept one; also for its second try.
int OpenSockets::onConnected(void* self, char* peerAddress, char* localAddress, int peerPort, int localPort)
{
    if (peerAddress != nullptr && localAddress != nullptr)
        static_cast<OpenSockets*>(self)->use({peerAddress, localAddress, peerPort, localPort});
    return CURL_PREREQFUNC_OK;
}

} // namespace penstock::curl
