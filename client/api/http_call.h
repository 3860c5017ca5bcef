// SPDX-License-Identifier: GPL-3.0-or-later
// One HTTP request on a connection of its own. Smaller and much quicker to start than QNetworkAccessManager,
// which opens a thread first; and never through a proxy. Lives on the thread of its event loop. Deleting it
// before the answer drops the request silently.
#pragma once

#include "client/api/endpoint.h"
#include "client/api/http_response.h"

#include <chrono>
#include <functional>
#include <memory>
#include <string>

class QSslConfiguration;
class QTcpSocket;
class QTimer;

namespace penstock::client {

struct HttpRequest {
    std::string method = "GET";
    std::string target; // path and query, percent-encoded, without the endpoint's base
    std::string body;
    std::string contentType; // with a body
    std::string token;       // bearer, empty: none
};

// The request as it goes over the wire.
[[nodiscard]] std::string encodeRequest(const Endpoint& endpoint, const HttpRequest& request);
// RFC 3986 percent-encoding of one path segment or query value.
[[nodiscard]] std::string percentEncode(std::string_view text);

class HttpCall {
public:
    using Done = std::function<void(Result<HttpResponse>)>;
    // No byte for so long ends the call with Timeout.
    static constexpr std::chrono::milliseconds kSilence{60000};

    // done is called once, from the event loop.
    HttpCall(const Endpoint& endpoint, const HttpRequest& request, Done done);
    ~HttpCall();
    HttpCall(const HttpCall&) = delete;
    HttpCall& operator=(const HttpCall&) = delete;

private:
    void connectSignals();
    void onReadable();
    void complete(Result<HttpResponse> result);
    [[nodiscard]] Error unreachable(ErrorCode code, const std::string& reason) const;

    Endpoint m_endpoint;
    Done m_done;
    HttpResponseParser m_parser;
    std::unique_ptr<QTcpSocket> m_socket;
    std::unique_ptr<QTimer> m_silence;
};

} // namespace penstock::client
