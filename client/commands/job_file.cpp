// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/commands/job_file.h"

#include "shared/base/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <sstream>
#include <toml++/toml.h>

namespace penstock::client {

namespace {

QByteArray raw(std::string_view text)
{
    return QByteArray::fromRawData(text.data(), static_cast<qsizetype>(text.size()));
}

std::string compact(const QJsonObject& object)
{
    return QJsonDocument(object).toJson(QJsonDocument::Compact).toStdString();
}

tl::unexpected<Error> notJson(std::string_view where, const QJsonParseError& error)
{
    return fail(ErrorCode::Invalid, fmt::format("{}: not JSON: {} at byte {}", where,
                                                error.errorString().toStdString(), error.offset));
}

QJsonValue valueOf(const toml::node& node);

QJsonObject objectOf(const toml::table& table)
{
    QJsonObject object;
    for (const auto& [key, node] : table)
        object.insert(QString::fromUtf8(key.str().data(), static_cast<qsizetype>(key.str().size())),
                      valueOf(node));
    return object;
}

QJsonValue valueOf(const toml::node& node)
{
    if (const auto* text = node.as_string())
        return QString::fromStdString(text->get());
    if (const auto* number = node.as_integer())
        return qint64{number->get()};
    if (const auto* fraction = node.as_floating_point())
        return fraction->get();
    if (const auto* truth = node.as_boolean())
        return truth->get();
    if (const auto* table = node.as_table())
        return objectOf(*table);
    if (const auto* array = node.as_array()) {
        QJsonArray out;
        for (const auto& item : *array)
            out.append(valueOf(item));
        return out;
    }
    // Dates and times: as text, in TOML's spelling, which is RFC 3339's.
    std::ostringstream text;
    node.visit([&](const auto& value) {
        if constexpr (toml::is_value<decltype(value)>)
            text << value.get();
    });
    return QString::fromStdString(text.str());
}

Result<std::string> tomlJob(std::string_view name, std::string_view text)
{
    try {
        return compact(objectOf(toml::parse(text, name)));
    } catch (const toml::parse_error& error) { // toml++ reports by exceptions
        return fail(ErrorCode::Invalid,
                    fmt::format("{}:{}: {}", name, error.source().begin.line, error.description()));
    }
}

} // namespace

JobFileKind guessKind(std::string_view name, std::string_view beginning)
{
    if (name.ends_with(".toml"))
        return JobFileKind::Toml;
    if (name.ends_with(".jsonl") || name.ends_with(".ndjson"))
        return JobFileKind::Batch;
    const auto text = trim(beginning);
    if (text.starts_with('{')) {
        // JSON lines when the first line is an object by itself.
        QJsonParseError error{};
        const auto line = text.substr(0, text.find('\n'));
        QJsonDocument::fromJson(raw(line), &error);
        return error.error == QJsonParseError::NoError ? JobFileKind::Batch : JobFileKind::Single;
    }
    if (!text.starts_with('['))
        return JobFileKind::Toml;
    // "[" starts a JSON array or a TOML table; only in the array does an object or the end follow.
    const auto next = trim(text.substr(1));
    return next.starts_with('{') || next.starts_with(']') ? JobFileKind::Batch : JobFileKind::Toml;
}

Result<std::string> singleJob(JobFileKind kind, std::string_view name, std::string_view text)
{
    if (kind == JobFileKind::Toml)
        return tomlJob(name, text);
    QJsonParseError error{};
    const auto document = QJsonDocument::fromJson(raw(text), &error);
    if (error.error != QJsonParseError::NoError)
        return notJson(name, error);
    if (!document.isObject())
        return fail(ErrorCode::Invalid, fmt::format("{}: a job is a JSON object", name));
    return std::string(text);
}

Result<std::optional<Batch>> BatchBuilder::add(std::string_view job, std::uint64_t lineNumber)
{
    QJsonParseError error{};
    const auto document = QJsonDocument::fromJson(raw(job), &error);
    if (error.error != QJsonParseError::NoError)
        return notJson(fmt::format("line {}", lineNumber), error);
    if (!document.isObject())
        return fail(ErrorCode::Invalid, fmt::format("line {}: a job is a JSON object", lineNumber));
    if (job.size() + 2 > kMaxRequestBytes)
        return fail(ErrorCode::Exhausted, fmt::format("line {}: the job is {} bytes long; the limit is {}",
                                                      lineNumber, job.size(), kMaxRequestBytes - 2));
    std::optional<Batch> full;
    const bool fits = m_batch.json.size() + job.size() + 2 <= kMaxRequestBytes &&
                      m_batch.lineNumbers.size() < kMaxRequestJobs;
    if (!fits)
        full = finish();
    m_batch.json += m_batch.json.empty() ? '[' : ',';
    m_batch.json.append(job);
    m_batch.lineNumbers.push_back(lineNumber);
    return full;
}

std::optional<Batch> BatchBuilder::finish()
{
    if (m_batch.lineNumbers.empty())
        return std::nullopt;
    m_batch.json += ']';
    return std::exchange(m_batch, Batch{});
}

Result<std::vector<std::string>> arrayElements(std::string_view text)
{
    QJsonParseError error{};
    const auto document = QJsonDocument::fromJson(raw(text), &error);
    if (error.error != QJsonParseError::NoError)
        return notJson("the batch", error);
    std::vector<std::string> elements;
    const auto array = document.array();
    for (qsizetype at = 0; at < array.size(); ++at) {
        if (!array.at(at).isObject())
            return fail(ErrorCode::Invalid,
                        fmt::format("job {} of the array: a job is a JSON object", at + 1));
        elements.push_back(compact(array.at(at).toObject()));
    }
    return elements;
}

} // namespace penstock::client
