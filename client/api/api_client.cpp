// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/api/api_client.h"

#include <fmt/format.h>
#include <QEventLoop>
#include <QJsonDocument>

namespace penstock::client {

namespace {

ErrorCode codeOf(int status)
{
    switch (status) {
    case 400:
    case 415:
    case 422: return ErrorCode::Invalid;
    case 401:
    case 403: return ErrorCode::Denied;
    case 404: return ErrorCode::NotFound;
    case 409: return ErrorCode::Conflict;
    case 413:
    case 429: return ErrorCode::Exhausted;
    case 502:
    case 503: return ErrorCode::Unavailable;
    case 408:
    case 504: return ErrorCode::Timeout;
    default: return ErrorCode::Internal;
    }
}

QJsonObject parseObject(const std::string& body)
{
    return QJsonDocument::fromJson(QByteArray::fromRawData(body.data(), static_cast<qsizetype>(body.size())))
        .object();
}

} // namespace

Result<ApiReply> readReply(HttpResponse response)
{
    ApiReply reply;
    reply.body = std::move(response.body);
    reply.object = parseObject(reply.body);
    const int status = response.status;
    reply.response = std::move(response);
    if (status >= 200 && status < 300)
        return reply;
    auto text = reply.object.value(QLatin1String("detail")).toString().toStdString();
    if (text.empty())
        text = reply.object.value(QLatin1String("title")).toString().toStdString();
    if (text.empty())
        text = fmt::format("the server answered with status {} and no explanation", status);
    if (status == 401)
        text += "; give a token with --token-file";
    return fail(codeOf(status), std::move(text));
}

HttpRequest ApiClient::postRequest(const std::string& target, std::string json) const
{
    if (json.empty())
        json = "{}";
    return {"POST", target, std::move(json), "application/json", m_token};
}

Result<ApiReply> ApiClient::get(const std::string& target) const
{
    return wait({"GET", target, {}, {}, m_token});
}

Result<ApiReply> ApiClient::post(const std::string& target, std::string json) const
{
    return wait(postRequest(target, std::move(json)));
}

Result<ApiReply> ApiClient::send(const std::string& method, const std::string& target, std::string json) const
{
    auto request = postRequest(target, std::move(json));
    request.method = method;
    if (method == "DELETE") {
        request.body.clear();
        request.contentType.clear();
    }
    return wait(request);
}

std::unique_ptr<HttpCall> ApiClient::startPost(const std::string& target, std::string json,
                                               std::function<void(Result<ApiReply>)> done) const
{
    return std::make_unique<HttpCall>(m_endpoint, postRequest(target, std::move(json)),
                                      [done = std::move(done)](Result<HttpResponse> answer) {
                                          if (answer)
                                              done(readReply(std::move(*answer)));
                                          else
                                              done(fail(std::move(answer).error()));
                                      });
}

Result<ApiReply> ApiClient::wait(const HttpRequest& request) const
{
    QEventLoop loop;
    std::optional<Result<HttpResponse>> answer;
    const HttpCall call(m_endpoint, request, [&](Result<HttpResponse> result) {
        answer = std::move(result);
        loop.quit();
    });
    if (!answer)
        loop.exec();
    if (!answer)
        return fail(ErrorCode::Cancelled, "stopped while waiting for the server");
    if (!*answer)
        return fail(std::move(*answer).error());
    return readReply(std::move(**answer));
}

} // namespace penstock::client
