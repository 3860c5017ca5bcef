// SPDX-License-Identifier: GPL-3.0-or-later
// A builder that speaks the real protocol and answers every assignment at once: what is left is the farm's own limit.
// Usage: fake_builder URL NAME SLOTS [CONNECTIONS] [OPTION…]. Runs until it is ended. With several connections each is
// a builder of its own, named NAME-0, NAME-1, …
//   --systems A,B    what it can build (default x86_64-linux)
//   --cache DIR      the outputs of derivations appear there, as far as a question for their presence goes
//   --hold           it ends nothing; a line for each assignment: time in microseconds, name
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
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unistd.h>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace penstock;

struct Manner {
    std::uint32_t slotCount = 1;
    std::vector<std::string> systems = {"x86_64-linux"};
    std::string cache; // empty: outputs are nowhere
    bool holds = false;
};

// What a binary cache answers for a path that is there. Nobody asks for more of it.
bool showOutput(const std::string& cache, const std::string& path)
{
    const std::string base = path.substr(path.rfind('/') + 1);
    const std::string text = fmt::format("StorePath: {}\nURL: nar/{}.nar\nCompression: none\nNarHash: sha256:{}\n"
                                         "NarSize: 1000\nReferences: \n",
                                         path, base.substr(0, 32), std::string(52, '1'));
    const std::string file = fmt::format("{}/{}.narinfo", cache, base.substr(0, 32));
    const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    const bool isWritten = descriptor >= 0 && ::write(descriptor, text.data(), text.size()) ==
                                                  static_cast<ssize_t>(text.size());
    if (!isWritten)
        std::perror(file.c_str());
    if (descriptor >= 0)
        ::close(descriptor);
    return isWritten;
}

class FakeBuilder final : private protocol::FrameSink {
public:
    FakeBuilder(const QString& url, std::string name, const Manner& manner, std::chrono::milliseconds after)
        : m_name(std::move(name)), m_manner(manner)
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
        hello.facts.systems = m_manner.systems;
        hello.facts.features = {"big-parallel", "kvm", "nixos-test", "benchmark"};
        hello.facts.os = "linux";
        hello.facts.maxJobs = m_manner.slotCount;
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
                take(assignment);
        } else if (const auto* stored = std::get_if<protocol::ResultStored>(&**message)) {
            for (const AttemptId attempt : stored->attempts)
                m_held.erase(attempt);
        } else if (const auto* goodbye = std::get_if<protocol::Goodbye>(&**message)) {
            fmt::print(stderr, "goodbye: {}\n", goodbye->text);
        }
    }

    void take(const protocol::Assignment& assignment)
    {
        if (!m_held.insert(assignment.attempt).second)
            return;
        protocol::AttemptAnswer answer;
        answer.attempt = assignment.attempt;
        answer.accepted = true;
        say(answer);
        if (!m_manner.holds)
            return finish(assignment);
        fmt::print("{} {}\n", SystemClock{}.now().wall.micros(), assignment.name);
        std::fflush(stdout);
    }

    void finish(const protocol::Assignment& assignment)
    {
        protocol::AttemptResult result;
        result.attempt = assignment.attempt;
        result.outcome = protocol::Outcome::Succeeded;
        result.startedAt = result.stoppedAt = SystemClock{}.now().wall;
        const auto* nix = std::get_if<protocol::NixWork>(&assignment.work);
        if (nix != nullptr && !m_manner.cache.empty())
            for (const protocol::NixOutput& output : nix->outputs)
                if (showOutput(m_manner.cache, output.path))
                    result.outputs.push_back({output.name, output.path, "sha256:" + std::string(52, '1'), 1000});
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
    const Manner m_manner;
    QWebSocket m_socket;
    QTimer m_beat;
    protocol::FrameDecoder m_decoder;
    std::set<AttemptId> m_held;
    std::uint64_t m_applied = 0;
    std::uint64_t m_sequence = 0;
    std::string m_out;
};

} // namespace

namespace {

std::vector<std::string> parted(const std::string& text)
{
    std::vector<std::string> parts;
    for (const QString& part : QString::fromStdString(text).split(QLatin1Char(',')))
        parts.push_back(part.toStdString());
    return parts;
}

// The words that are no options; nothing when an option is not known.
std::optional<std::vector<std::string>> readOptions(int argc, char** argv, Manner& manner)
{
    std::vector<std::string> words;
    for (int at = 1; at < argc; ++at) {
        const std::string word = argv[at];
        if (word == "--hold")
            manner.holds = true;
        else if (word == "--systems" && at + 1 < argc)
            manner.systems = parted(argv[++at]);
        else if (word == "--cache" && at + 1 < argc)
            manner.cache = argv[++at];
        else if (word.starts_with("--"))
            return std::nullopt;
        else
            words.push_back(word);
    }
    return words;
}

} // namespace

int main(int argc, char** argv)
{
    QCoreApplication application(argc, argv);
    Manner manner;
    const auto words = readOptions(argc, argv, manner);
    if (!words || words->size() < 3 || words->size() > 4) {
        std::fprintf(stderr, "usage: fake_builder URL NAME SLOTS [CONNECTIONS] [OPTION…]; see its source\n");
        return 2;
    }
    const QString url = QString::fromStdString((*words)[0]);
    const std::string& name = (*words)[1];
    manner.slotCount = static_cast<std::uint32_t>(std::strtoul((*words)[2].c_str(), nullptr, 10));
    const unsigned long connections = words->size() == 4 ? std::strtoul((*words)[3].c_str(), nullptr, 10) : 1;
    std::vector<std::unique_ptr<FakeBuilder>> builders;
    for (unsigned long i = 0; i < connections; ++i)
        builders.push_back(std::make_unique<FakeBuilder>(
            url, connections == 1 ? name : fmt::format("{}-{}", name, i), manner,
            std::chrono::milliseconds(2 * i))); // the server takes only so many greetings at once
    return QCoreApplication::exec();
}
