// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/server/port.h"

#include "server/auth/tokens.h"

#include <QFile>
#include <QProcess>
#include <QSslSocket>
#include <QTemporaryDir>
#include <fmt/format.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace penstock::test {
namespace {

const std::string kJob = R"({"name":"n","user":"u","command":"true"})";
const std::string kUpgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

TEST(Port, AnswersSeveralRequestsOnOneConnection)
{
    Port port;
    RawClient client(port);
    for (int round = 0; round < 3; ++round) {
        client.send(get("/healthz"));
        EXPECT_EQ(bodyOf(client.receive()), "ok\n");
    }
    EXPECT_EQ(port.listener.counters().http, 1U);
}

TEST(Port, AnswersPipelinedRequestsInOrder)
{
    Port port;
    port.gateway.keeps = true;
    RawClient client(port);
    client.send(post("/api/v1/jobs", kJob) + get("/healthz") + get("/nowhere"));
    ASSERT_TRUE(waitUntil([&] {
        port.gateway.release();
        return !port.gateway.submitted.empty();
    }));
    EXPECT_EQ(bodyOf(client.receive()), R"({"id":1})");
    EXPECT_EQ(bodyOf(client.receive()), "ok\n");
    EXPECT_NE(client.receive().find("404 Not Found"), std::string::npos);
}

TEST(Port, TakesARequestThatComesByteByByte)
{
    Port port;
    RawClient client(port);
    for (const char c : post("/api/v1/jobs", kJob)) {
        client.send(std::string_view(&c, 1));
        client.socket.flush();
        QCoreApplication::processEvents();
    }
    EXPECT_EQ(bodyOf(client.receive()), R"({"id":1})");
}

TEST(Port, TakesChunkedBodies)
{
    Port port;
    RawClient client(port);
    client.send(fmt::format("POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                            kJob.substr(0, 5), kJob.size() - 5, kJob.substr(5)));
    EXPECT_EQ(bodyOf(client.receive()), R"({"id":1})");
}

TEST(Port, RefusesAnOversizeBodyBeforeItIsSent)
{
    Port port;
    RawClient client(port);
    client.send(get("/healthz"));
    EXPECT_EQ(bodyOf(client.receive()), "ok\n");
    // On a connection that is already kept alive, and without one byte of the body.
    client.send("POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n");
    const auto answer = client.receive();
    EXPECT_NE(answer.find("413 Content Too Large"), std::string::npos);
    EXPECT_NE(answer.find("1048577"), std::string::npos);
    EXPECT_NE(answer.find("Connection: close"), std::string::npos);
    EXPECT_TRUE(client.ended());
}

TEST(Port, RefusesAnOversizeChunkedBody)
{
    Port port;
    RawClient client(port);
    client.send("POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n");
    EXPECT_NE(client.receive().find("413 "), std::string::npos);
}

TEST(Port, AnswersAPeerThatGoesOnSendingWhatWasRefused)
{
    Port port;
    RawClient client(port);
    client.send("POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n");
    client.send(std::string(2'000'000, 'x'));
    EXPECT_NE(client.receive().find("413 "), std::string::npos);
}

TEST(Port, GivesLeaveToSendABody)
{
    Port port;
    RawClient client(port);
    client.send(fmt::format("POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                            "Content-Length: {}\r\n\r\n", kJob.size()));
    ASSERT_TRUE(waitUntil([&] { return client.socket.bytesAvailable() >= 25; }));
    EXPECT_EQ(client.socket.read(25).toStdString(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(kJob);
    EXPECT_EQ(bodyOf(client.receive()), R"({"id":1})");
}

TEST(Port, AnswersGarbageAndCountsIt)
{
    Port port;
    for (const std::string_view garbage :
         {"\x16\x03\x01\x02\x01\x01\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET /a HTTP/1.1\r\n\r\n",
          "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"}) {
        RawClient client(port);
        client.send(garbage);
        EXPECT_NE(client.receive().find("400 Bad Request"), std::string::npos) << garbage;
    }
    EXPECT_EQ(port.listener.counters().malformed, 6U);
}

TEST(Port, RefusesAHeadAboveTheLimit)
{
    Port port;
    RawClient client(port);
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(20'000, 'x'));
    EXPECT_NE(client.receive().find("431 "), std::string::npos);
    EXPECT_TRUE(client.ended());
}

TEST(Port, EndsAHeadThatTakesTooLong)
{
    net::ListenerOptions options;
    options.headTime = std::chrono::milliseconds(50);
    Port port(options);
    RawClient client(port);
    client.send("GET / HTTP/1.1\r\nHo");
    EXPECT_NE(client.receive().find("408 "), std::string::npos);
    EXPECT_EQ(port.listener.counters().headTimeouts, 1U);
}

TEST(Port, EndsALaterHeadAndABodyThatTakeTooLong)
{
    http::HttpOptions options;
    options.headTime = std::chrono::milliseconds(50);
    options.bodyTime = std::chrono::milliseconds(50);
    Port port({}, options);
    RawClient head(port);
    head.send(get("/healthz") + "GET /");
    EXPECT_EQ(bodyOf(head.receive()), "ok\n");
    EXPECT_NE(head.receive().find("the request head took too long"), std::string::npos);
    RawClient body(port);
    body.send("POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab");
    EXPECT_NE(body.receive().find("the request body took too long"), std::string::npos);
}

TEST(Port, LimitsConnectionsOfOneHost)
{
    net::ListenerOptions options;
    options.maxPerHost = 2;
    Port port(options);
    RawClient first(port);
    RawClient second(port);
    RawClient third(port);
    EXPECT_TRUE(third.ended());
    EXPECT_EQ(port.listener.counters().overLimit, 1U);
    first.socket.abort();
    EXPECT_TRUE(waitUntil([&] { return port.listener.counters().connections == 1; }));
    RawClient fourth(port);
    fourth.send(get("/healthz"));
    EXPECT_EQ(bodyOf(fourth.receive()), "ok\n");
}

TEST(Port, SurvivesAPeerThatLeavesBeforeItsAnswer)
{
    Port port;
    port.gateway.keeps = true;
    {
        RawClient client(port);
        client.send(post("/api/v1/jobs", kJob));
        QCoreApplication::processEvents();
        client.socket.abort();
    }
    EXPECT_TRUE(waitUntil([&] { return port.listener.counters().connections == 0; }));
    port.gateway.release();
    RawClient client(port);
    client.send(get("/healthz"));
    EXPECT_EQ(bodyOf(client.receive()), "ok\n");
}

TEST(Port, ClosesWhenAskedTo)
{
    Port port;
    RawClient client(port);
    client.send(get("/healthz", "Connection: close\r\n"));
    EXPECT_NE(client.receive().find("Connection: close"), std::string::npos);
    EXPECT_TRUE(client.ended());
    RawClient old(port);
    old.send("GET /healthz HTTP/1.0\r\n\r\n");
    EXPECT_EQ(bodyOf(old.receive()), "ok\n");
    EXPECT_TRUE(old.ended());
}

TEST(Port, OpensWebSocketsOfBothPaths)
{
    Port port;
    QWebSocket link;
    QWebSocket monitor;
    link.open(QUrl(QStringLiteral("ws://127.0.0.1:%1/link").arg(port.number())));
    monitor.open(QUrl(QStringLiteral("ws://127.0.0.1:%1/monitor").arg(port.number())));
    ASSERT_TRUE(waitUntil([&] { return !port.links.empty() && !port.monitors.empty(); }));
    EXPECT_EQ(port.peers.size(), 2U);
    EXPECT_TRUE(port.peers[0].address.local);
    EXPECT_EQ(port.peers[0].identity.credential, "local");
    // A large frame in both directions, above any buffer on the way.
    const QByteArray large(4 << 20, 'x');
    QByteArray received;
    QObject::connect(port.links[0].get(), &QWebSocket::binaryMessageReceived, &link,
                     [&](const QByteArray& message) { received = message; });
    link.sendBinaryMessage(large);
    EXPECT_TRUE(waitUntil([&] { return received.size() == large.size(); }));
    received.clear();
    QObject::connect(&monitor, &QWebSocket::binaryMessageReceived, &monitor,
                     [&](const QByteArray& message) { received = message; });
    port.monitors[0]->sendBinaryMessage(large);
    EXPECT_TRUE(waitUntil([&] { return received.size() == large.size(); }));
    EXPECT_EQ(port.listener.counters().connections, 2U);
    port.links.clear();
    port.monitors.clear();
    EXPECT_TRUE(waitUntil([&] { return port.listener.counters().connections == 0; }));
}

TEST(Port, ClosesAWebSocketWhoseMessageIsTooLarge)
{
    net::ListenerOptions options;
    options.maxMessageBytes = 1'000;
    Port port(options);
    QWebSocket link;
    link.open(QUrl(QStringLiteral("ws://127.0.0.1:%1/link").arg(port.number())));
    ASSERT_TRUE(waitUntil([&] { return link.isValid() && !port.links.empty(); }));
    link.sendBinaryMessage(QByteArray(1'001, 'x'));
    EXPECT_TRUE(waitUntil([&] { return link.state() == QAbstractSocket::UnconnectedState; }));
}

TEST(Port, RefusesAWebSocketOfAnotherPath)
{
    Port port;
    RawClient client(port);
    client.send(get("/other", kUpgrade));
    EXPECT_NE(client.receive().find("404 "), std::string::npos);
    RawClient plain(port);
    plain.send(get("/link"));
    EXPECT_NE(plain.receive().find("426 "), std::string::npos);
}

TEST(Port, RefusesABrowserOfAnotherOriginAndAStrangeHost)
{
    Port port;
    for (const auto path : {"/monitor", "/api/v1/machines"}) {
        const auto more = std::string_view(path) == "/monitor" ? kUpgrade : std::string();
        RawClient other(port);
        other.send(get(path, "Origin: http://evil.example\r\n" + more));
        EXPECT_NE(other.receive().find("403 "), std::string::npos) << path;
        RawClient rebound(port);
        rebound.send(fmt::format("GET {} HTTP/1.1\r\nHost: evil.example:7780\r\n{}\r\n", path, more));
        EXPECT_NE(rebound.receive().find("403 "), std::string::npos) << path;
    }
    RawClient same(port);
    same.send(get("/api/v1/machines", "Origin: http://localhost\r\n"));
    EXPECT_NE(same.receive().find("200 OK"), std::string::npos);
}

TEST(Port, AsksForTokensInTokenMode)
{
    Port port({}, {}, auth::Mode::Tokens);
    RawClient nobody(port);
    nobody.send(get("/api/v1/machines"));
    const auto refused = nobody.receive();
    EXPECT_NE(refused.find("401 "), std::string::npos);
    EXPECT_NE(refused.find("WWW-Authenticate: Bearer"), std::string::npos);
    const auto client = *auth::makeToken("client", "rich", std::nullopt, {});
    const auto builder = *auth::makeToken("builder", "b", std::nullopt, {});
    port.tokens.rows.emplace(client.row.id, client.row);
    port.tokens.rows.emplace(builder.row.id, builder.row);
    RawClient good(port);
    const auto header = [](const std::string& token) { return "Authorization: Bearer " + token + "\r\n"; };
    good.send(get("/api/v1/machines", header(client.text)));
    EXPECT_NE(good.receive().find("200 OK"), std::string::npos);
    good.send(get("/api/v1/tokens", header(client.text)));
    EXPECT_NE(good.receive().find("403 "), std::string::npos);
    good.send(get("/api/v1/machines", header(builder.text)));
    EXPECT_NE(good.receive().find("403 "), std::string::npos);
    RawClient link(port);
    link.send(get("/link", kUpgrade + header(client.text)));
    EXPECT_NE(link.receive().find("403 "), std::string::npos);
    RawClient wrong(port);
    wrong.send(get("/link", kUpgrade + header(builder.text.substr(0, builder.text.size() - 1) + "0")));
    const auto answer = wrong.receive();
    EXPECT_TRUE(answer.find("401 ") != std::string::npos || builder.text.back() == '0');
}

// A certificate of its own in a folder of its own.
struct Certificate {
    QTemporaryDir folder;
    net::TlsFiles files{folder.filePath(QStringLiteral("cert.pem")).toStdString(),
                        folder.filePath(QStringLiteral("key.pem")).toStdString(),
                        {}};
    Certificate()
    {
        needQt();
        QProcess openssl;
        openssl.start(QStringLiteral("openssl"),
                      {QStringLiteral("req"), QStringLiteral("-x509"), QStringLiteral("-newkey"), QStringLiteral("ec"),
                       QStringLiteral("-pkeyopt"), QStringLiteral("ec_paramgen_curve:P-256"), QStringLiteral("-nodes"),
                       QStringLiteral("-subj"), QStringLiteral("/CN=localhost"), QStringLiteral("-out"),
                       QString::fromStdString(files.certificate), QStringLiteral("-keyout"),
                       QString::fromStdString(files.key)});
        EXPECT_TRUE(openssl.waitForFinished() && openssl.exitCode() == 0) << "openssl is needed for this test";
    }
};

TEST(Port, SpeaksTls)
{
    const Certificate certificate;
    net::ListenerOptions options;
    options.tls = certificate.files;
    Port port(options);
    QSslSocket client;
    client.setPeerVerifyMode(QSslSocket::VerifyNone);
    client.connectToHostEncrypted(QStringLiteral("127.0.0.1"), port.number());
    ASSERT_TRUE(waitUntil([&] { return client.isEncrypted(); })) << client.errorString().toStdString();
    client.write(QByteArray::fromStdString(get("/healthz")));
    EXPECT_TRUE(waitUntil([&] { return client.peek(4'096).endsWith("ok\n"); }));
    QWebSocket link;
    auto settings = QSslConfiguration::defaultConfiguration();
    settings.setPeerVerifyMode(QSslSocket::VerifyNone);
    link.setSslConfiguration(settings);
    link.open(QUrl(QStringLiteral("wss://127.0.0.1:%1/link").arg(port.number())));
    ASSERT_TRUE(waitUntil([&] { return !port.links.empty(); })) << link.errorString().toStdString();
    EXPECT_TRUE(port.peers[0].address.encrypted);
    QByteArray received;
    QObject::connect(port.links[0].get(), &QWebSocket::binaryMessageReceived, &link,
                     [&](const QByteArray& message) { received = message; });
    link.sendBinaryMessage(QByteArray(1 << 20, 'x'));
    EXPECT_TRUE(waitUntil([&] { return received.size() == 1 << 20; }));
    RawClient plain(port);
    plain.send(get("/healthz"));
    EXPECT_TRUE(plain.ended());
}

TEST(Port, RefusesTlsFilesThatDoNotDo)
{
    const Certificate certificate;
    const auto listen = [](const net::TlsFiles& files) {
        Port port;
        net::ListenerOptions options;
        options.tls = files;
        net::Listener listener(port.authenticator, port, port.logger, options);
        const auto done = listener.listen(*net::ListenAddress::parse("127.0.0.1:0"));
        return done ? std::string("listens") : done.error().message;
    };
    EXPECT_EQ(listen(certificate.files), "listens");
    EXPECT_NE(listen({certificate.files.certificate, {}, {}}).find("go together"), std::string::npos);
    EXPECT_NE(listen({"/nowhere", certificate.files.key, {}}).find("--tls-cert: cannot read"), std::string::npos);
    EXPECT_NE(listen({certificate.files.certificate, certificate.files.certificate, {}}).find("--tls-key"),
              std::string::npos);
    QFile::setPermissions(QString::fromStdString(certificate.files.key),
                          QFileDevice::ReadOwner | QFileDevice::ReadOther);
    EXPECT_NE(listen(certificate.files).find("chmod"), std::string::npos);
}

TEST(Port, TakesUnixSocketPeersAsLocal)
{
    Port port;
    net::Listener listener(port.authenticator, port, port.logger, {});
    const auto path = fmt::format("/tmp/penstock-port-test-{}.socket", ::getpid());
    ASSERT_TRUE(listener.listen(*net::ListenAddress::parse("unix:" + path)));
    net::Listener second(port.authenticator, port, port.logger, {});
    EXPECT_FALSE(second.listen(*net::ListenAddress::parse("unix:" + path)));
    const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    const auto request = get("/api/v1/machines");
    ASSERT_EQ(::write(descriptor, request.data(), request.size()), static_cast<ssize_t>(request.size()));
    std::string answer(4096, '\0');
    EXPECT_TRUE(waitUntil([&] { return ::read(descriptor, answer.data(), answer.size()) > 0; }));
    EXPECT_NE(answer.find("200 OK"), std::string::npos);
    ::close(descriptor);
}

} // namespace
} // namespace penstock::test
