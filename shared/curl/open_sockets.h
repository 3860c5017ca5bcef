// SPDX-License-Identifier: GPL-3.0-or-later
// OpenSockets: the sockets of one libcurl handle, kept by the callbacks that open and close them, and which of them
// the request that runs is on; libcurl itself tells that only after the request. On the handle's thread. It must
// outlive the handle: libcurl closes kept connections through it when the handle is cleaned up. Internal to HttpClient.
#pragma once

#include <string_view>
#include <vector>

#include <curl/curl.h>

namespace penstock::curl {

class OpenSockets {
public:
    OpenSockets() = default;
    OpenSockets(const OpenSockets&) = delete;
    OpenSockets& operator=(const OpenSockets&) = delete;

    void watch(CURL* handle); // for the next request
    // The peer has ended its stream, and everything it sent before has been read. False when the socket is not known.
    [[nodiscard]] bool hasPeerLeft() const;

private:
    struct Ends {
        std::string_view peerAddress, localAddress;
        int peerPort, localPort;
    };
    void use(const Ends& ends);

    static curl_socket_t onOpen(void* self, curlsocktype purpose, curl_sockaddr* address);
    static int onClose(void* self, curl_socket_t socket);
    // libcurl fixes the type: two addresses, two ports.
    static int onConnected(void* self, char* peerAddress, char* localAddress, int peerPort, int localPort);

    std::vector<curl_socket_t> m_open; // as many as libcurl keeps connections for a handle: few
    curl_socket_t m_used = CURL_SOCKET_BAD;
};

} // namespace penstock::curl
