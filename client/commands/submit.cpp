// SPDX-License-Identifier: GPL-3.0-or-later
// submit: jobs from a file or from standard input.
#include "client/commands/arguments.h"
#include "client/commands/job_file.h"
#include "client/commands/job_view.h"
#include "client/commands/table.h"
#include "client/follow/outcome.h"
#include "client/output/human_text.h"
#include "client/output/json_fields.h"
#include "shared/base/text.h"

#include <fmt/format.h>
#include <QEventLoop>
#include <QFile>
#include <QJsonArray>
#include <QTimer>

namespace penstock::client {

namespace {

using config::Kind;
using config::Values;

constexpr qint64 kPeekBytes = 64 << 10;
constexpr qint64 kMaxSingleBytes = 64 << 20; // of an array or single job; JSON lines have no limit
constexpr qint64 kMaxLineBytes = 4 << 20;

class Submission {
public:
    Submission(Invocation& invocation, std::string name) : m_invocation(invocation), m_name(std::move(name))
    {}

    Result<void> sendFile(QFile& file);
    [[nodiscard]] const std::vector<std::uint64_t>& ids() const { return m_ids; }

private:
    Result<void> sendSingle(JobFileKind kind, QFile& file);
    Result<void> sendLines(QFile& file);
    Result<void> sendArray(QFile& file);
    Result<void> sendBatch(const std::optional<Batch>& batch);
    Result<ApiReply> post(const std::string& json);
    void took(std::uint64_t id);

    Invocation& m_invocation;
    std::string m_name;
    std::vector<std::uint64_t> m_ids;
};

Result<void> Submission::sendFile(QFile& file)
{
    const auto beginning = file.peek(kPeekBytes);
    if (trim({beginning.constData(), static_cast<std::size_t>(beginning.size())}).empty() && file.atEnd())
        return fail(ErrorCode::Invalid, fmt::format("{}: empty, it should hold a job", m_name));
    const auto kind = guessKind(m_name, {beginning.constData(), static_cast<std::size_t>(beginning.size())});
    if (kind != JobFileKind::Batch)
        return sendSingle(kind, file);
    return beginning.trimmed().startsWith('[') ? sendArray(file) : sendLines(file);
}

Result<std::string> readWhole(QFile& file, const std::string& name)
{
    const auto bytes = file.read(kMaxSingleBytes + 1);
    if (bytes.size() > kMaxSingleBytes)
        return fail(ErrorCode::Exhausted,
                    fmt::format("{}: larger than {} bytes; send a batch as JSON lines, one job a "
                                "line",
                                name, kMaxSingleBytes));
    return bytes.toStdString();
}

Result<void> Submission::sendSingle(JobFileKind kind, QFile& file)
{
    PENSTOCK_TRY(const auto text, readWhole(file, m_name));
    PENSTOCK_TRY(auto json, singleJob(kind, m_name, text));
    PENSTOCK_TRY(const auto reply, post(json));
    if (m_invocation.globals().json)
        m_invocation.printJson(reply.body);
    took(static_cast<std::uint64_t>(numberField(reply.object, "id")));
    return {};
}

Result<void> Submission::sendArray(QFile& file)
{
    PENSTOCK_TRY(const auto text, readWhole(file, m_name));
    PENSTOCK_TRY(const auto jobs, arrayElements(text));
    BatchBuilder builder;
    for (std::size_t at = 0; at < jobs.size(); ++at) {
        PENSTOCK_TRY(const auto full, builder.add(jobs[at], at + 1));
        PENSTOCK_TRY_VOID(sendBatch(full));
    }
    return sendBatch(builder.finish());
}

Result<void> Submission::sendLines(QFile& file)
{
    BatchBuilder builder;
    for (std::uint64_t number = 1;; ++number) {
        const auto line = file.readLine(kMaxLineBytes);
        if (line.isEmpty())
            break;
        const auto text = trim({line.constData(), static_cast<std::size_t>(line.size())});
        if (text.empty())
            continue;
        PENSTOCK_TRY(const auto full, builder.add(text, number));
        PENSTOCK_TRY_VOID(sendBatch(full));
    }
    return sendBatch(builder.finish());
}

Result<void> Submission::sendBatch(const std::optional<Batch>& batch)
{
    if (!batch)
        return {};
    auto reply = post(batch->json);
    if (!reply) {
        auto error = std::move(reply).error();
        error.message +=
            fmt::format(" (lines {} to {})", batch->lineNumbers.front(), batch->lineNumbers.back());
        return fail(std::move(error));
    }
    const auto ids = arrayField(reply->object, "ids");
    if (m_invocation.globals().json)
        m_invocation.printJson(reply->body);
    for (const auto& id : ids)
        took(static_cast<std::uint64_t>(id.toInteger()));
    m_invocation.console().live({fmt::format("submitted {} jobs", groupedNumber(m_ids.size()))});
    return {};
}

// A server that is full or away for a moment did nothing with the request, so it can be repeated.
Result<ApiReply> Submission::post(const std::string& json)
{
    const auto deadline = SystemClock().now().mono + m_invocation.globals().reconnectTimeout;
    for (unsigned attempt = 1;; ++attempt) {
        auto reply = m_invocation.api().post("/api/v1/jobs", json);
        // An answer of the server, not a lost connection: there it is unknown whether it was done.
        const bool refusedForNow = !reply && reply.error().code == ErrorCode::Unavailable &&
                                   reply.error().message.find("cannot reach") == std::string::npos;
        const auto pause = reconnectPause(attempt);
        if (!refusedForNow || SystemClock().now().mono + pause > deadline)
            return reply;
        m_invocation.console().note("penstock: " + printable(reply.error().message) + "; trying again");
        QEventLoop loop;
        QTimer::singleShot(std::chrono::duration_cast<std::chrono::milliseconds>(pause), &loop,
                           [&loop] { loop.quit(); });
        loop.exec();
    }
}

void Submission::took(std::uint64_t id)
{
    m_ids.push_back(id);
    if (!m_invocation.globals().json)
        m_invocation.console().out(fmt::format("{}\n", id));
}

int waitForAll(Invocation& invocation, const std::vector<std::uint64_t>& ids, bool withLogs)
{
    JobView view(invocation);
    FollowLoop loop(invocation, view, withLogs);
    loop.open();
    for (const auto id : ids)
        loop.follow(id);
    const auto end = loop.run();
    if (end.error)
        invocation.complain(*end.error);
    for (const auto& [id, job] : view.ended())
        if (job.state() != monitor::JOB_SUCCEEDED)
            invocation.console().note("penstock: " + describeEnd(job));
    if (end.kind == FollowEnd::Kind::Detached)
        invocation.console().complain("penstock: the jobs go on");
    if (const auto code = exitCodeOf(end, kExitFarm))
        return *code;
    return view.allSucceeded() ? kExitFine : kExitFailed;
}

// Jobs one after another, so that their outputs do not mix.
int followEach(Invocation& invocation, const std::vector<std::uint64_t>& ids)
{
    int code = kExitFine;
    for (const auto id : ids) {
        if (ids.size() > 1)
            invocation.console().note(fmt::format("==> job {}", id));
        if (const int one = waitForAll(invocation, {id}, true); one != kExitFine)
            code = one;
        if (code >= kExitTimedOut)
            return code;
    }
    return code;
}

int submit(Invocation& invocation, const Values& values)
{
    const auto name = values.argument("FILE");
    QFile file(QString::fromStdString(name));
    const bool opened = name == "-" ? file.open(0, QIODevice::ReadOnly) : file.open(QIODevice::ReadOnly);
    if (!opened)
        return usageError(
            invocation, {ErrorCode::Invalid, fmt::format("{}: {}", name, file.errorString().toStdString())});
    Submission submission(invocation, name == "-" ? "standard input" : name);
    const auto sent = submission.sendFile(file);
    invocation.console().clearLive();
    const auto& ids = submission.ids();
    if (!sent) {
        if (!ids.empty())
            invocation.console().complain(fmt::format(
                "penstock: {} jobs before that were taken; their numbers were printed", ids.size()));
        return invocation.complain(sent.error());
    }
    int code = kExitFine;
    if (values.flag("follow"))
        code = followEach(invocation, ids);
    else if (values.flag("wait"))
        code = waitForAll(invocation, ids, false);
    return code == kExitFarm ? kExitFailed : code; // only `run` tells the two apart
}

} // namespace

Command submitCommand()
{
    return {{"submit",
             "submit jobs from a file",
             {{"wait",
               Kind::Flag,
               "wait until all have ended; exit with 1 if one did not succeed",
               {},
               {},
               {},
               {},
               false,
               false,
               'w'},
              {"follow",
               Kind::Flag,
               "the same, with the jobs' output, one job after another",
               {},
               {},
               {},
               {},
               false,
               false,
               'f'}},
             {{"FILE", "the file, or - for standard input"}}},
            "The file holds one job as JSON or TOML, a JSON array of jobs, or JSON lines, one job a line. A "
            "batch is sent\n"
            "in requests of at most 1 MiB, each of which is taken as a whole or not at all. Prints the jobs' "
            "numbers. Give\n"
            "a job a \"key\" and submitting it twice makes one job.",
            {"penstock submit job.toml", "penstock submit --wait jobs.jsonl",
             "echo '{\"command\": \"date\", \"shell\": \"sh\"}' | penstock submit - --follow"},
            submit};
}

} // namespace penstock::client
