// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/integration/client_follow/fake_monitor.h"

#include <gtest/gtest.h>
#include <QHostAddress>

namespace penstock::client {

FakeMonitor::FakeMonitor(Answer answer)
    : m_server(QStringLiteral("fake"), QWebSocketServer::NonSecureMode), m_answer(std::move(answer))
{
    EXPECT_TRUE(m_server.listen(QHostAddress::LocalHost, 0));
    QObject::connect(&m_server, &QWebSocketServer::newConnection, &m_server, [this] {
        m_decoder = protocol::FrameDecoder();
        if (m_socket)
            m_socket.release()->deleteLater();
        m_socket.reset(m_server.nextPendingConnection());
        m_socket->setParent(nullptr);
        ++m_connections;
        EXPECT_EQ(m_socket->requestUrl().path(), QStringLiteral("/monitor"));
        QObject::connect(
            m_socket.get(), &QWebSocket::binaryMessageReceived, m_socket.get(),
            [this](const QByteArray& bytes) {
                m_decoder.push(bytesOf({bytes.constData(), static_cast<std::size_t>(bytes.size())}), *this);
            });
    });
}

void FakeMonitor::onFrame(ByteView payload)
{
    monitor::ClientMessage message;
    ASSERT_TRUE(message.ParseFromArray(payload.data(), static_cast<int>(payload.size())));
    m_answer(*this, message);
}

void FakeMonitor::send(const monitor::FeedMessage& message)
{
    std::string frame;
    protocol::appendFrame(frame, message.SerializeAsString());
    sendBytes(frame);
}

void FakeMonitor::sendBytes(const std::string& bytes)
{
    m_socket->sendBinaryMessage(QByteArray::fromStdString(bytes));
}

void FakeMonitor::drop()
{
    m_socket->flush();
    m_socket->abort();
}

void FakeMonitor::sendJob(std::uint64_t watch, std::uint64_t job, monitor::JobState state,
                          std::uint64_t attempt)
{
    monitor::FeedMessage message;
    auto& update = *message.mutable_job();
    update.set_watch(watch);
    update.set_complete(true);
    update.mutable_job()->set_id(job);
    update.mutable_job()->set_state(state);
    auto& step = *update.add_steps();
    step.set_id(job + 100);
    step.set_attempt_id(attempt);
    const bool final = state == monitor::JOB_SUCCEEDED || state == monitor::JOB_FAILED;
    step.set_state(final ? monitor::STEP_SUCCEEDED : monitor::STEP_RUNNING);
    send(message);
}

void FakeMonitor::sendLog(std::uint64_t watch, std::uint64_t attempt, std::uint64_t offset,
                          const std::string& text, bool ended)
{
    monitor::FeedMessage message;
    auto& log = *message.mutable_log();
    log.set_watch(watch);
    log.set_attempt_id(attempt);
    log.set_offset(offset);
    log.set_ended(ended);
    if (!text.empty()) {
        auto& record = *log.add_records();
        record.set_stream(monitor::LOG_OUT);
        record.set_data(text);
    }
    send(message);
}

void FakeMonitor::sendEnd(std::uint64_t watch)
{
    monitor::FeedMessage message;
    message.mutable_end()->set_watch(watch);
    send(message);
}

} // namespace penstock::client
