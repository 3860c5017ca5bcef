// SPDX-License-Identifier: GPL-3.0-or-later
// logs: what a job wrote, from the start, and with -f until its end.
#include "client/commands/arguments.h"
#include "client/commands/job_view.h"
#include "client/commands/log_printer.h"
#include "client/commands/table.h"
#include "client/output/json_fields.h"
#include "shared/base/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <QJsonArray>

namespace penstock::client {

namespace {

using config::Kind;
using config::Values;

constexpr std::uint64_t kPageBytes = 1U << 20U;

struct Run {
    std::uint64_t id = 0;
    std::uint64_t step = 0;
    std::int64_t number = 0;
    std::string machine;
};

// The newest attempt of each step, or with a number that one of each step that has it; in the order of their
// start.
std::vector<Run> chooseRuns(const QJsonArray& records, std::int64_t number)
{
    std::map<std::uint64_t, Run> chosen; // by step
    for (const auto& record : records) {
        const auto object = record.toObject();
        const Run run{static_cast<std::uint64_t>(numberField(object, "id")),
                      static_cast<std::uint64_t>(numberField(object, "step")), numberField(object, "number"),
                      textField(object, "machine")};
        auto& slot = chosen[run.step];
        if (number != 0 ? run.number == number : run.number >= slot.number)
            slot = run;
    }
    std::vector<Run> runs;
    for (const auto& [step, run] : chosen)
        if (run.id != 0)
            runs.push_back(run);
    std::sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.id < b.id; });
    return runs;
}

std::int64_t headerNumber(const ApiReply& reply, std::string_view name)
{
    const auto value = parseSigned(reply.response.header(name));
    return value ? *value : 0;
}

// Bytes as they are, page by page.
Result<void> printRaw(Invocation& invocation, const Run& run)
{
    std::int64_t offset = 0;
    while (!invocation.console().closed()) {
        PENSTOCK_TRY(const auto reply,
                     invocation.api().get(fmt::format("/api/v1/runs/{}/log?offset={}&limit={}&format=text",
                                                      run.id, offset, kPageBytes)));
        invocation.console().out(reply.body);
        const auto next = headerNumber(reply, "x-log-next");
        if (reply.body.empty() || next <= offset || next >= headerNumber(reply, "x-log-size"))
            break;
        offset = next;
    }
    return {};
}

Result<void> printRecords(Invocation& invocation, const Run& run, LogPrinter& printer)
{
    std::int64_t offset = 0;
    while (!invocation.console().closed()) {
        PENSTOCK_TRY(const auto reply,
                     invocation.api().get(fmt::format("/api/v1/runs/{}/log?offset={}&limit={}&format=json",
                                                      run.id, offset, kPageBytes)));
        const auto records = arrayField(reply.object, "records");
        for (const auto& record : records)
            printer.addRecord(record.toObject(), run.id, run.step);
        const auto next = numberField(reply.object, "next");
        if (records.isEmpty() || next <= offset || next >= numberField(reply.object, "size"))
            break;
        offset = next;
    }
    return {};
}

// With -f: the same printer, fed live.
class LogView final : public FollowView {
public:
    LogView(Invocation& invocation, LogPrinter& printer, std::vector<Run> only)
        : m_invocation(invocation), m_printer(printer), m_only(std::move(only))
    {}
    void onLog(std::uint64_t job, const LogPiece& piece) override
    {
        const bool wanted = m_only.empty() || std::any_of(m_only.begin(), m_only.end(), [&](const Run& run) {
                                return run.id == piece.attempt;
                            });
        if (wanted)
            m_printer.add(job, piece);
    }
    void onJobError(std::uint64_t, const Error& error) override
    {
        m_failed = true;
        m_invocation.complain(error);
    }
    [[nodiscard]] bool failed() const { return m_failed; }

private:
    Invocation& m_invocation;
    LogPrinter& m_printer;
    std::vector<Run> m_only; // attempts chosen with --attempt; empty: all
    bool m_failed = false;
};

int followLogs(Invocation& invocation, std::uint64_t job, LogPrinter& printer, std::vector<Run> only)
{
    LogView view(invocation, printer, std::move(only));
    FollowLoop loop(invocation, view, true);
    loop.setWatchOnly();
    loop.open();
    loop.follow(job);
    const auto end = loop.run();
    printer.finish();
    if (end.error)
        invocation.complain(*end.error);
    if (const auto code = exitCodeOf(end, kExitFailed))
        return *code;
    return view.failed() ? kExitFailed : kExitFine;
}

int printRuns(Invocation& invocation, const std::vector<Run>& runs, LogPrinter& printer)
{
    const bool raw = !invocation.globals().json && !printer.filters();
    for (const auto& run : runs) {
        if (runs.size() > 1 && !invocation.globals().json)
            invocation.console().note(
                fmt::format("==> step {}, attempt {} on {}", run.step, run.number,
                            run.machine.empty() ? "no machine" : printable(run.machine)));
        const auto printed = raw ? printRaw(invocation, run) : printRecords(invocation, run, printer);
        printer.finish();
        if (!printed)
            return invocation.complain(printed.error());
    }
    return kExitFine;
}

int logs(Invocation& invocation, const Values& values)
{
    const auto id = parseId("job", values.argument("ID"));
    if (!id)
        return usageError(invocation, id.error());
    auto filter = readLogFilter(values.text("since"), values.text("grep"), SystemClock().now().wall);
    if (!filter)
        return usageError(invocation, filter.error());
    const auto reply = invocation.api().get(fmt::format("/api/v1/jobs/{}/runs", *id));
    if (!reply)
        return invocation.complain(reply.error());
    const auto number = values.integer("attempt");
    const auto runs = chooseRuns(arrayField(reply->object, "runs"), number);
    if (number != 0 && runs.empty())
        return invocation.complain(
            {ErrorCode::NotFound, fmt::format("job {} has no attempt {}", *id, number)});
    LogPrinter printer(invocation, std::move(*filter));
    if (values.flag("follow"))
        return followLogs(invocation, *id, printer, number != 0 ? runs : std::vector<Run>());
    if (runs.empty())
        invocation.console().note(
            fmt::format("job {} has not run yet; `penstock why {}` explains", *id, *id));
    return printRuns(invocation, runs, printer);
}

} // namespace

Command logsCommand()
{
    return {{"logs",
             "print what a job wrote",
             {{"follow", Kind::Flag, "go on until the job has ended", {}, {}, {}, {}, false, false, 'f'},
              {"attempt",
               Kind::Integer,
               "this attempt instead of the newest",
               "N",
               {},
               {},
               {},
               false,
               false,
               0,
               1},
              {"since", Kind::Text, "only what was written since then: 10m, or 2026-11-21T06:00:00Z", "TIME"},
              {"grep", Kind::Text, "only lines that match this regular expression", "RE"}},
             {{"ID", "the job's number"}}},
            "Both output streams go to standard output here; `penstock run` keeps them apart. Of a job with "
            "several steps\n"
            "the newest attempt of each is printed. With --json one object for each piece of output.",
            {"penstock logs 7", "penstock logs -f 7 --grep 'error|warning'",
             "penstock logs 7 --attempt 1 --since 2h"},
            logs};
}

} // namespace penstock::client
