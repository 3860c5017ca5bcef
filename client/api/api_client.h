// SPDX-License-Identifier: GPL-3.0-or-later
// The /api/v1 calls of one server. The plain form waits in an event loop of its own and is for the top level
// of a command only; start() is for code that already runs in a loop. Refusals become errors with the text of
// the server's problem document (RFC 9457), so "no job 42" reaches the user as it is.
#pragma once

#include "client/api/endpoint.h"
#include "client/api/http_call.h"

#include <functional>
#include <memory>
#include <optional>
#include <QJsonObject>
#include <string>

namespace penstock::client {

struct ApiReply {
    std::string body;      // as the server sent it
    QJsonObject object;    // the same, read; empty when it is not a JSON object
    HttpResponse response; // without the body
};

// Turns an answer into a reply, or into the error its status and problem document say.
[[nodiscard]] Result<ApiReply> readReply(HttpResponse response);

class ApiClient {
public:
    ApiClient(Endpoint endpoint, std::string token)
        : m_endpoint(std::move(endpoint)), m_token(std::move(token))
    {}

    [[nodiscard]] Result<ApiReply> get(const std::string& target) const;
    // An empty body sends "{}".
    [[nodiscard]] Result<ApiReply> post(const std::string& target, std::string json) const;
    // Any other method, e.g. PUT; an empty body sends "{}", but for DELETE, which has none.
    [[nodiscard]] Result<ApiReply> send(const std::string& method, const std::string& target, std::string json) const;
    // Without waiting; the call ends when the returned object is deleted.
    [[nodiscard]] std::unique_ptr<HttpCall> startPost(const std::string& target, std::string json,
                                                      std::function<void(Result<ApiReply>)> done) const;

    [[nodiscard]] const Endpoint& endpoint() const { return m_endpoint; }
    [[nodiscard]] const std::string& token() const { return m_token; }

private:
    [[nodiscard]] Result<ApiReply> wait(const HttpRequest& request) const;
    [[nodiscard]] HttpRequest postRequest(const std::string& target, std::string json) const;

    Endpoint m_endpoint;
    std::string m_token;
};

} // namespace penstock::client
