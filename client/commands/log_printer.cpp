// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/commands/log_printer.h"

#include "client/commands/job_view.h"
#include "client/output/human_text.h"
#include "client/output/json_fields.h"
#include "shared/base/text.h"

#include <fmt/format.h>
#include <QJsonDocument>

namespace penstock::client {

namespace {

constexpr std::size_t kMaxOpenLine = 1U << 20U;

QString lenient(std::string_view bytes)
{
    return QString::fromUtf8(bytes.data(), static_cast<qsizetype>(bytes.size()));
}

} // namespace

Result<LogFilter> readLogFilter(const std::string& since, const std::string& pattern, WallTime now)
{
    LogFilter filter;
    if (!since.empty()) {
        const auto time = parseRfc3339(since);
        const auto duration = parseDuration(since);
        if (!time && !duration)
            return fail(ErrorCode::Invalid,
                        fmt::format("--since \"{}\": neither a duration like 10m nor a time like "
                                    "2026-11-21T06:00:00Z",
                                    since));
        filter.since = time ? *time : now + -*duration;
    }
    if (!pattern.empty()) {
        QRegularExpression expression(QString::fromStdString(pattern));
        if (!expression.isValid())
            return fail(ErrorCode::Invalid,
                        fmt::format("--grep \"{}\": {} at character {}", pattern,
                                    expression.errorString().toStdString(), expression.patternErrorOffset()));
        filter.pattern = std::move(expression);
    }
    return filter;
}

void LogPrinter::add(std::uint64_t job, const LogPiece& piece)
{
    if (m_filter.since && static_cast<std::int64_t>(piece.timeMicros) < m_filter.since->micros())
        return;
    if (m_invocation.globals().json) {
        if (!m_filter.pattern || m_filter.pattern->match(lenient(piece.data)).hasMatch())
            m_invocation.printJson(
                QJsonDocument(logObject(job, piece)).toJson(QJsonDocument::Compact).toStdString());
        return;
    }
    if (!m_filter.pattern) {
        m_invocation.console().out(piece.data);
        return;
    }
    auto& open = m_open[{piece.attempt, static_cast<int>(piece.stream)}];
    open.append(piece.data);
    std::size_t from = 0;
    for (auto end = open.find('\n'); end != std::string::npos; end = open.find('\n', from)) {
        printMatching(std::string_view(open).substr(from, end - from), "\n");
        from = end + 1;
    }
    open.erase(0, from);
    if (open.size() > kMaxOpenLine) {
        printMatching(open, "\n");
        open.clear();
    }
}

void LogPrinter::addRecord(const QJsonObject& record, std::uint64_t attempt, std::uint64_t step)
{
    const auto text = record.value(QLatin1String("data")).toString().toUtf8();
    const bool encoded = record.value(QLatin1String("base64")).toBool();
    const auto data = encoded ? QByteArray::fromBase64(text) : text;
    const auto stream = textField(record, "stream");
    LogPiece piece;
    piece.attempt = attempt;
    piece.step = step;
    piece.offset = static_cast<std::uint64_t>(numberField(record, "offset"));
    piece.timeMicros = static_cast<std::uint64_t>(timeField(record, "time").value_or(WallTime{}).micros());
    piece.stream = stream == "err"      ? monitor::LOG_ERR
                   : stream == "system" ? monitor::LOG_SYSTEM
                                        : monitor::LOG_OUT;
    piece.data = {data.constData(), static_cast<std::size_t>(data.size())};
    add(0, piece);
}

void LogPrinter::printMatching(std::string_view line, std::string_view end)
{
    if (m_filter.pattern->match(lenient(line)).hasMatch())
        m_invocation.console().out(fmt::format("{}{}", line, end));
}

void LogPrinter::finish()
{
    for (const auto& [key, line] : m_open)
        if (!line.empty())
            printMatching(line, "\n");
    m_open.clear();
}

} // namespace penstock::client
