// SPDX-License-Identifier: GPL-3.0-or-later
// A builder that speaks the real protocol and answers every assignment at once: what is left is the farm's own limit.
// Usage: fake_builder URL NAME SLOTS [CONNECTIONS]. Runs until it is ended. With several connections each is a builder
// of its own, named NAME-0, NAME-1, …
#include "shared/base/clock.h"
#include "shared/protocol/envelope.h"
#include "shared/protocol/frame.h"
#include "shared/protocol/session.h"

#include <QCoreApplication>
#include <QTimer>
#include <QUrl>
#include <QWebSocket>
#include <chrono>
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace penstock;

class FakeBuilder final : private protocol::FrameSink {
public:
    FakeBuilder(const QString& url, std::string name, std::uint32_t slots, std::chrono::milliseconds after)
        : m_name(std::move(name)), m_slots(slots)
    {
        QObject::connect(&m_socket, &QWebSocket::connected, &m_socket, [this] { hello(); });
        QObject::connect(&m_socket, &QWebSocket::disconnected, &m_socket, [] { QCoreApplication::exit(1); });
        QObject::connect(&m_socket, &QWebSocket::binaryMessageReceived, &m_socket, [this](const QByteArray& bytes) {
            m_decoder.push(std::as_bytes(std::span(bytes.constData(), static_cast<std::size_t>(bytes.size()))), *this);
            flush();
        });
        QObject::connect(&m_beat, &QTimer::timeout, &m_socket, [this] {
            report();
            flush();
        });
        QTimer::singleShot(after, &m_socket, [this, url] { m_socket.open(QUrl(url + QStringLiteral("/link"))); });
    }

private:
    void hello()
    {
        protocol::Hello hello;
        const std::size_t seed = std::hash<std::string>{}(m_name);
        hello.identity = fmt::format("{:032x}", seed);
        hello.instance = fmt::format("{:032x}", static_cast<std::uint64_t>(SystemClock{}.now().wall.micros()));
        hello.version = "fake";
        hello.facts.name = m_name;
        hello.facts.executors = {"command", "nix"};
        hello.facts.systems = {"x86_64-linux"};
        hello.facts.os = "linux";
        hello.facts.maxJobs = m_slots;
        hello.facts.cores = 2;
        say(hello);
        flush();
    }

    void onFrame(ByteView payload) override
    {
        auto message = protocol::decodeServerMessage(payload);
        if (!message || !*message)
            return;
        if (const auto* welcome = std::get_if<protocol::Welcome>(&**message)) {
            report();
            m_beat.start(welcome->heartbeat);
        } else if (const auto* desired = std::get_if<protocol::Desired>(&**message)) {
            m_applied = desired->revision;
            for (const protocol::Assignment& assignment : desired->assign)
                finish(assignment.attempt);
        } else if (const auto* stored = std::get_if<protocol::ResultStored>(&**message)) {
            for (const AttemptId attempt : stored->attempts)
                m_held.erase(attempt);
        } else if (const auto* goodbye = std::get_if<protocol::Goodbye>(&**message)) {
            fmt::print(stderr, "goodbye: {}\n", goodbye->text);
        }
    }

    void finish(AttemptId attempt)
    {
        if (!m_held.insert(attempt).second)
            return;
        protocol::AttemptAnswer answer;
        answer.attempt = attempt;
        answer.accepted = true;
        say(answer);
        protocol::AttemptResult result;
        result.attempt = attempt;
        result.outcome = protocol::Outcome::Succeeded;
        result.startedAt = result.stoppedAt = SystemClock{}.now().wall;
        say(result);
    }

    void report()
    {
        protocol::Report report;
        report.appliedRevision = m_applied;
        report.sequence = ++m_sequence;
        report.sentAt = SystemClock{}.now().wall;
        for (const AttemptId attempt : m_held)
            report.held.push_back({attempt, true});
        say(report);
    }

    void say(const protocol::BuilderMessage& message)
    {
        if (!protocol::appendMessage(m_out, message))
            std::fprintf(stderr, "a message was too large\n");
    }

    void flush()
    {
        if (!m_out.empty())
            m_socket.sendBinaryMessage(QByteArray::fromStdString(std::exchange(m_out, {})));
    }

    const std::string m_name;
    const std::uint32_t m_slots;
    QWebSocket m_socket;
    QTimer m_beat;
    protocol::FrameDecoder m_decoder;
    std::set<AttemptId> m_held;
    std::uint64_t m_applied = 0;
    std::uint64_t m_sequence = 0;
    std::string m_out;
};

} // namespace

int main(int argc, char** argv)
{
    QCoreApplication application(argc, argv);
    if (argc < 4 || argc > 5) {
        std::fprintf(stderr, "usage: fake_builder URL NAME SLOTS [CONNECTIONS]\n");
        return 2;
    }
    const QString url = QString::fromLocal8Bit(argv[1]);
    const auto slotCount = static_cast<std::uint32_t>(std::strtoul(argv[3], nullptr, 10));
    const unsigned long connections = argc == 5 ? std::strtoul(argv[4], nullptr, 10) : 1;
    std::vector<std::unique_ptr<FakeBuilder>> builders;
    for (unsigned long i = 0; i < connections; ++i)
        builders.push_back(std::make_unique<FakeBuilder>(
            url, connections == 1 ? std::string(argv[2]) : fmt::format("{}-{}", argv[2], i), slotCount,
            std::chrono::milliseconds(2 * i))); // the server takes only so many greetings at once
    return QCoreApplication::exec();
}
