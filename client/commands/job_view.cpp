// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/commands/job_view.h"

#include "client/follow/outcome.h"
#include "client/output/human_text.h"
#include "shared/base/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <QJsonDocument>

namespace penstock::client {

namespace {

QString qt(std::string_view text)
{
    return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

QJsonValue textOrNull(const std::string& text)
{
    return text.empty() ? QJsonValue(QJsonValue::Null) : QJsonValue(qt(text));
}

QString streamWord(monitor::LogStream stream)
{
    return stream == monitor::LOG_ERR      ? QStringLiteral("err")
           : stream == monitor::LOG_SYSTEM ? QStringLiteral("system")
                                           : QStringLiteral("out");
}

} // namespace

QJsonObject jobObject(const monitor::JobRecord& job)
{
    QJsonObject object{{QStringLiteral("id"), static_cast<qint64>(job.id())},
                       {QStringLiteral("name"), qt(job.name())},
                       {QStringLiteral("state"), qt(stateWord(job.state()))},
                       {QStringLiteral("result"), textOrNull(job.result())},
                       {QStringLiteral("error"), textOrNull(job.error())}};
    // As in the HTTP answers: the exit code means something only when the command exited by itself.
    const bool exited = isFinal(job.state()) && job.signal() == 0 && job.state() != monitor::JOB_CANCELLED;
    object.insert(QStringLiteral("exit_code"),
                  exited ? QJsonValue(job.exit_code()) : QJsonValue(QJsonValue::Null));
    object.insert(QStringLiteral("signal"),
                  job.signal() != 0 ? QJsonValue(job.signal()) : QJsonValue(QJsonValue::Null));
    return object;
}

QJsonObject logObject(std::uint64_t job, const LogPiece& piece)
{
    QJsonObject object{{QStringLiteral("step"), static_cast<qint64>(piece.step)},
                       {QStringLiteral("attempt"), static_cast<qint64>(piece.attempt)},
                       {QStringLiteral("offset"), static_cast<qint64>(piece.offset)},
                       {QStringLiteral("stream"), streamWord(piece.stream)}};
    if (job != 0)
        object.insert(QStringLiteral("job"), static_cast<qint64>(job));
    if (piece.timeMicros != 0)
        object.insert(QStringLiteral("time"),
                      qt(formatRfc3339(WallTime::fromMicros(static_cast<std::int64_t>(piece.timeMicros)))));
    const bool text = isUtf8(piece.data);
    const auto bytes = QByteArray::fromRawData(piece.data.data(), static_cast<qsizetype>(piece.data.size()));
    object.insert(QStringLiteral("data"),
                  text ? QString::fromUtf8(bytes) : QString::fromLatin1(bytes.toBase64()));
    object.insert(QStringLiteral("base64"), !text);
    return object;
}

void JobView::printEvent(const char* event, QJsonObject object)
{
    object.insert(QStringLiteral("event"), QLatin1String(event));
    m_invocation.printJson(QJsonDocument(object).toJson(QJsonDocument::Compact).toStdString());
}

void JobView::onJob(const monitor::JobRecord& job)
{
    m_waits = job.state() == monitor::JOB_QUEUED;
    if (!m_waits)
        m_invocation.console().clearLive();
    if (m_invocation.globals().json && !isFinal(job.state()))
        printEvent("job", jobObject(job));
}

void JobView::onLog(std::uint64_t job, const LogPiece& piece)
{
    if (m_invocation.globals().json) {
        printEvent("log", logObject(job, piece));
        return;
    }
    switch (piece.stream) {
    case monitor::LOG_ERR: m_invocation.console().err(piece.data); break;
    case monitor::LOG_SYSTEM:
        m_invocation.console().note("penstock: " + printableLines(trim(piece.data)));
        break;
    default: m_invocation.console().out(piece.data); break;
    }
}

void JobView::onJobEnd(const monitor::JobRecord& job)
{
    m_ended[job.id()] = job;
    if (m_invocation.globals().json)
        printEvent("finished", jobObject(job));
}

void JobView::onJobError(std::uint64_t, const Error& error)
{
    m_anyError = true;
    m_invocation.complain(error);
}

void JobView::onTick()
{
    // Quiet for a moment, since most jobs start at once.
    constexpr std::chrono::seconds kQuietWait{2};
    const auto now = SystemClock().now().mono;
    if (!m_waits) {
        m_waitsSince.reset();
        return;
    }
    if (!m_waitsSince)
        m_waitsSince = now;
    const auto waited = now - *m_waitsSince;
    if (waited > kQuietWait && !m_invocation.globals().json)
        m_invocation.console().live(
            {fmt::format("waiting for a machine, {} (`penstock why ID` explains)", humanDuration(waited))});
}

bool JobView::allSucceeded() const
{
    return !m_anyError && std::all_of(m_ended.begin(), m_ended.end(), [](const auto& entry) {
        return entry.second.state() == monitor::JOB_SUCCEEDED;
    });
}

} // namespace penstock::client
