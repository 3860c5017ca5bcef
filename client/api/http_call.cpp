// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/api/http_call.h"

#include <fmt/format.h>
#include <QAbstractSocket>
#include <QNetworkProxy>
#include <QSslSocket>
#include <QTcpSocket>
#include <QTimer>

namespace penstock::client {

std::string percentEncode(std::string_view text)
{
    std::string out;
    for (const char c : text) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           c == '-' || c == '.' || c == '_' || c == '~';
        if (plain)
            out.push_back(c);
        else
            out += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
    return out;
}

std::string encodeRequest(const Endpoint& endpoint, const HttpRequest& request)
{
    std::string head =
        fmt::format("{} {}{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: penstock\r\nAccept: application/json\r\n",
                    request.method, endpoint.base, request.target, endpoint.authority());
    if (!request.token.empty())
        head += fmt::format("Authorization: Bearer {}\r\n", request.token);
    if (!request.contentType.empty())
        head += fmt::format("Content-Type: {}\r\n", request.contentType);
    if (request.method != "GET")
        head += fmt::format("Content-Length: {}\r\n", request.body.size());
    return head + "\r\n" + request.body;
}

HttpCall::HttpCall(const Endpoint& endpoint, const HttpRequest& request, Done done)
    : m_endpoint(endpoint), m_done(std::move(done)), m_silence(std::make_unique<QTimer>())
{
    auto bytes = encodeRequest(endpoint, request);
    const auto host = QString::fromStdString(endpoint.host);
    auto send = [this, bytes = std::move(bytes)] {
        m_socket->write(bytes.data(), static_cast<qint64>(bytes.size()));
        m_silence->start(kSilence);
    };
    if (endpoint.tls) {
        auto socket = std::make_unique<QSslSocket>();
        QObject::connect(socket.get(), &QSslSocket::encrypted, socket.get(), send);
        QObject::connect(
            socket.get(), &QSslSocket::sslErrors, socket.get(), [this](const QList<QSslError>& errors) {
                if (!errors.isEmpty())
                    complete(
                        fail(unreachable(ErrorCode::Denied, errors.first().errorString().toStdString())));
            });
        m_socket = std::move(socket);
    } else {
        m_socket = std::make_unique<QTcpSocket>();
        QObject::connect(m_socket.get(), &QTcpSocket::connected, m_socket.get(), send);
    }
    m_socket->setProxy(QNetworkProxy(QNetworkProxy::NoProxy));
    connectSignals();
    m_silence->setSingleShot(true);
    m_silence->start(kSilence);
    if (endpoint.tls)
        static_cast<QSslSocket*>(m_socket.get())->connectToHostEncrypted(host, endpoint.port);
    else
        m_socket->connectToHost(host, endpoint.port);
    m_socket->setSocketOption(QAbstractSocket::LowDelayOption, 1);
}

HttpCall::~HttpCall()
{
    m_socket->disconnect();
}

void HttpCall::connectSignals()
{
    auto* socket = m_socket.get();
    QObject::connect(socket, &QTcpSocket::readyRead, socket, [this] { onReadable(); });
    QObject::connect(socket, &QTcpSocket::errorOccurred, socket, [this](QAbstractSocket::SocketError error) {
        onReadable();
        if (error != QAbstractSocket::RemoteHostClosedError) {
            complete(fail(unreachable(ErrorCode::Unavailable, m_socket->errorString().toStdString())));
            return;
        }
        if (auto ended = m_parser.finish(); !ended)
            complete(fail(unreachable(ErrorCode::Unavailable, ended.error().message)));
        else
            complete(m_parser.take());
    });
    QObject::connect(m_silence.get(), &QTimer::timeout, m_silence.get(), [this] {
        complete(fail(
            unreachable(ErrorCode::Timeout, fmt::format("no answer for {} s", kSilence.count() / 1000))));
    });
}

void HttpCall::onReadable()
{
    if (!m_done)
        return;
    const auto bytes = m_socket->readAll();
    m_silence->start(kSilence);
    if (auto pushed = m_parser.push({bytes.constData(), static_cast<std::size_t>(bytes.size())}); !pushed)
        complete(fail(std::move(pushed).error()));
    else if (m_parser.done())
        complete(m_parser.take());
}

void HttpCall::complete(Result<HttpResponse> result)
{
    m_silence->stop();
    // Moved out first: the callback may delete this object.
    if (auto done = std::exchange(m_done, nullptr))
        done(std::move(result));
}

Error HttpCall::unreachable(ErrorCode code, const std::string& reason) const
{
    return {code, fmt::format("cannot reach the server at {}: {}; is penstock-server running there? "
                              "(--server or PENSTOCK_SERVER names another)",
                              m_endpoint.text(), reason)};
}

} // namespace penstock::client
