// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/hydra_errands.h"

#include "server/app/own_files.h"
#include "shared/base/text.h"
#include "shared/config/files.h"
#include "server/net/tls_settings.h"
#include "shared/curl/http_client.h"

#include <QSslCertificate>
#include <QSslSocket>
#include <array>
#include <cstring>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace penstock::app {
namespace {

constexpr std::size_t kMaxAnswer = 256U << 20U; // 5,000 machines are about ten megabytes
constexpr std::size_t kMaxAddresses = 64 * 1024;
constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::milliseconds kPatienceMillis = kPatience;

struct Answer {
    unsigned status = 0;
    std::string body;
};

class Socket {
public:
    Socket() : m_descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        const timeval patience{kPatience.count(), 0};
        (void)::setsockopt(m_descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        (void)::setsockopt(m_descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    }
    ~Socket() { ::close(m_descriptor); }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    [[nodiscard]] int get() const { return m_descriptor; }

private:
    int m_descriptor;
};

Result<std::string> sendAndRead(const std::string& path, std::string_view request)
{
    const Socket socket;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        return fail(ErrorCode::Unavailable, fmt::format("nobody listens on unix:{}", path));
    if (::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
        return fail(ErrorCode::Unavailable, fmt::format("unix:{} takes no request", path));
    std::string text;
    std::array<char, 64 * 1024> buffer{};
    while (text.size() < kMaxAnswer) {
        const ssize_t size = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
        if (size < 0)
            return fail(ErrorCode::Timeout,
                        fmt::format("unix:{} did not answer within {} s", path, kPatience.count()));
        if (size == 0)
            return text;
        text.append(buffer.data(), static_cast<std::size_t>(size));
    }
    return fail(ErrorCode::Exhausted, fmt::format("unix:{} answered more than {} bytes", path, kMaxAnswer));
}

constexpr std::string_view kRequest = "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

Result<Answer> answerOf(std::string_view text, const net::ListenAddress& address)
{
    const auto body = text.find("\r\n\r\n");
    const auto status = parseUnsigned(text.substr(std::min<std::size_t>(9, text.size()), 3));
    if (!text.starts_with("HTTP/1.1 ") || body == std::string::npos || !status)
        return fail(ErrorCode::Unavailable, fmt::format("what listens on {} is no penstock-server", address.print()));
    return Answer{static_cast<unsigned>(*status), std::string(text.substr(body + 4))};
}

Result<Answer> askUnix(const net::ListenAddress& address)
{
    PENSTOCK_TRY(const std::string text, sendAndRead(address.path, kRequest));
    return answerOf(text, address);
}

// Denied: somebody listens, and does not let himself be asked.
Error deaf(const QSslSocket& socket, std::string_view what)
{
    return {ErrorCode::Denied, fmt::format("{}: {}", what, socket.errorString().toStdString())};
}

Result<std::string> readAll(QSslSocket& socket)
{
    QByteArray text;
    do {
        text += socket.readAll();
        if (static_cast<std::size_t>(text.size()) > kMaxAnswer)
            return fail(ErrorCode::Exhausted, fmt::format("it answered more than {} bytes", kMaxAnswer));
    } while (socket.waitForReadyRead(static_cast<int>(kPatienceMillis.count())));
    text += socket.readAll();
    if (socket.error() != QAbstractSocket::RemoteHostClosedError)
        return fail(deaf(socket, "it did not answer to the end"));
    return text.toStdString();
}

// It is the server of our own certificate or none: names in it do not matter, as it is asked at an address. Where it
// wants one of its peers, ours is shown, which its authority may have signed.
Result<Answer> askTls(const net::ListenAddress& address, const net::TlsFiles& tls)
{
    PENSTOCK_TRY(QSslConfiguration settings, net::loadTls(tls));
    settings.setPeerVerifyMode(QSslSocket::QueryPeer);
    const QSslCertificate own = settings.localCertificate();
    QSslSocket socket;
    socket.setSslConfiguration(settings);
    socket.connectToHost(QString::fromStdString(address.host), address.port);
    constexpr int kWait = static_cast<int>(kPatienceMillis.count());
    if (!socket.waitForConnected(kWait))
        return fail(ErrorCode::Unavailable, fmt::format("nobody listens on {}", address.print()));
    socket.ignoreSslErrors();
    socket.startClientEncryption();
    if (!socket.waitForEncrypted(kWait))
        return fail(deaf(socket, "TLS"));
    if (socket.peerCertificate() != own)
        return fail(ErrorCode::Denied, fmt::format("its certificate is not that of --tls-cert {}", tls.certificate));
    socket.write(kRequest.data(), static_cast<qint64>(kRequest.size()));
    PENSTOCK_TRY(const std::string text, readAll(socket));
    return answerOf(text, address);
}

Result<Answer> askTcp(net::ListenAddress address, const net::TlsFiles& tls)
{
    if (address.host == "0.0.0.0")
        address.host = "127.0.0.1";
    if (address.host == "::")
        address.host = "::1";
    if (!tls.certificate.empty())
        return askTls(address, tls);
    curl::HttpClientOptions options;
    options.stallTime = kPatience;
    curl::HttpClient client(std::move(options));
    curl::HttpRequest request;
    request.url = fmt::format("http://{}/status", address.print());
    request.maxAnswerBytes = kMaxAnswer;
    PENSTOCK_TRY(curl::HttpResponse response, client.perform(request));
    return Answer{response.status, std::move(response.body)};
}

// What the server that runs has bound; without its file, what these options say.
std::vector<net::ListenAddress> addressesOf(const ServerOptions& options)
{
    std::vector<net::ListenAddress> addresses;
    if (const auto text = config::readTextFile(addressFile(options.dataDir), kMaxAddresses)) {
        for (const std::string_view line : split(*text, '\n'))
            if (auto address = net::ListenAddress::parse(line))
                addresses.push_back(*std::move(address));
        return addresses; // another server may be where these options point
    }
    for (const net::ListenAddress& address : options.listen)
        if (address.kind == net::ListenAddress::Kind::Unix || address.port != 0)
            addresses.push_back(address);
    return addresses;
}

} // namespace

Result<std::string> readRunningStatus(const ServerOptions& options)
{
    std::string tried;
    for (const net::ListenAddress& address : addressesOf(options)) {
        auto answer = address.kind == net::ListenAddress::Kind::Unix ? askUnix(address) : askTcp(address, options.tls);
        if (answer && answer->status == 200)
            return std::move(answer->body);
        if (answer && (answer->status == 401 || answer->status == 403))
            return fail(ErrorCode::Denied,
                        fmt::format("the server at {0} wants a token; ask it with: penstock --server {0} --token-file "
                                    "FILE status",
                                    address.print()));
        if (!answer && answer.error().code == ErrorCode::Denied)
            return fail(ErrorCode::Denied,
                        fmt::format("a server runs at {0}, and cannot be asked: {1}; ask it with: penstock --server "
                                    "https://{0} --tls-ca FILE status",
                                    address.print(), answer.error().message));
        tried += fmt::format("\n  {}: {}", address.print(),
                             answer ? fmt::format("answered {}", answer->status) : answer.error().message);
    }
    return fail(ErrorCode::NotFound,
                fmt::format("no penstock-server runs with --data-dir {}{}", options.dataDir,
                            tried.empty() ? std::string("; give its --data-dir or --listen") : "; tried:" + tried));
}

} // namespace penstock::app
