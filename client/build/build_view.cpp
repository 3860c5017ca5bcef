// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/build/build_view.h"

#include "client/follow/outcome.h"
#include "client/output/human_text.h"
#include "shared/base/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>

namespace penstock::client {

namespace {

constexpr std::size_t kShownLogLines = 20;
constexpr std::uint64_t kTailBytes = 32U << 10U;
constexpr std::size_t kMaxOpenLine = 64U << 10U;
constexpr std::size_t kShownDependents = 20;

QString qt(std::string_view text)
{
    return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

std::string endOf(const monitor::StepRecord& step)
{
    std::string out;
    if (step.signal() != 0)
        out = fmt::format("signal {}", step.signal());
    else if (step.exit_code() != 0)
        out = fmt::format("exit code {}", step.exit_code());
    else if (!step.result().empty() && step.result() != "failed")
        out = words(step.result());
    if (!step.error().empty())
        out += (out.empty() ? "" : ", ") + step.error();
    return out;
}

std::string_view phaseWord(StepPhase phase)
{
    switch (phase) {
    case StepPhase::Waiting: return "waiting";
    case StepPhase::Running: return "running";
    case StepPhase::Succeeded: return "succeeded";
    case StepPhase::Cached: return "cached";
    case StepPhase::Failed: return "failed";
    case StepPhase::NotBuilt: return "dependency_failed";
    case StepPhase::Cancelled: return "cancelled";
    }
    return "";
}

QJsonObject stepObject(const monitor::StepRecord& step, StepPhase phase)
{
    QJsonArray outputs;
    for (const auto& output : step.outputs())
        outputs.append(QJsonObject{{QStringLiteral("name"), qt(output.name())},
                                   {QStringLiteral("path"), qt(output.path())}});
    return {{QStringLiteral("event"), QStringLiteral("step")},
            {QStringLiteral("id"), static_cast<qint64>(step.id())},
            {QStringLiteral("name"), qt(step.name())},
            {QStringLiteral("drv"), qt(step.drv_path())},
            {QStringLiteral("state"), qt(phaseWord(phase))},
            {QStringLiteral("machine"), qt(step.machine())},
            {QStringLiteral("error"), qt(endOf(step))},
            {QStringLiteral("outputs"), outputs}};
}

} // namespace

StepProgress progressOf(const monitor::StepRecord& step)
{
    StepProgress progress;
    progress.name = step.name();
    progress.machine = step.machine();
    progress.started = WallTime::fromMicros(static_cast<std::int64_t>(step.started_us()));
    switch (step.state()) {
    case monitor::STEP_RUNNING:
        progress.phase = StepPhase::Running;
        progress.detail = step.phase();
        break;
    case monitor::STEP_SUCCEEDED:
        progress.phase = step.result() == "cached" ? StepPhase::Cached : StepPhase::Succeeded;
        break;
    case monitor::STEP_CANCELLED: progress.phase = StepPhase::Cancelled; break;
    case monitor::STEP_FAILED:
        progress.phase = step.result() == "dependency_failed" ? StepPhase::NotBuilt
                         : step.result() == "cancelled"       ? StepPhase::Cancelled
                                                              : StepPhase::Failed;
        progress.detail = endOf(step);
        break;
    case monitor::STEP_DELAYED: progress.detail = endOf(step); break;
    default: break;
    }
    return progress;
}

std::string lastLines(std::string_view text, std::size_t count)
{
    if (count == 0)
        return {};
    while (text.ends_with('\n') || text.ends_with('\r'))
        text.remove_suffix(1);
    auto from = text.size();
    for (; count > 0 && from != std::string_view::npos; --count)
        from = from == 0 ? std::string_view::npos : text.rfind('\n', from - 1);
    return std::string(from == std::string_view::npos ? text : text.substr(from + 1));
}

void BuildView::onStep(std::uint64_t, const monitor::StepRecord& step)
{
    m_steps[step.id()] = step;
    const auto next = progressOf(step);
    auto& known = m_progress[step.id()];
    const bool changed = known.phase != next.phase;
    known = next;
    if (!changed)
        return;
    auto& console = m_invocation.console();
    if (m_invocation.globals().json) {
        m_invocation.printJson(
            QJsonDocument(stepObject(step, next.phase)).toJson(QJsonDocument::Compact).toStdString());
        return;
    }
    // Where lines are redrawn, those show what runs; only failures get a line that stays.
    const auto line = describeChange(next, console.settings().noteStyle);
    if (!line.empty() && (!console.settings().live || next.phase == StepPhase::Failed))
        console.note(line);
}

void BuildView::onLog(std::uint64_t, const LogPiece& piece)
{
    if (!m_withLogs || m_invocation.globals().json)
        return;
    auto& open = m_openLines[piece.step];
    open.append(piece.data);
    for (auto end = open.find('\n'); end != std::string::npos; end = open.find('\n')) {
        printLogLine(piece.step, std::string_view(open).substr(0, end));
        open.erase(0, end + 1);
    }
    if (open.size() > kMaxOpenLine) {
        printLogLine(piece.step, open);
        open.clear();
    }
}

void BuildView::printLogLine(std::uint64_t step, std::string_view line)
{
    const auto name = printable(m_steps[step].name());
    m_invocation.console().note(
        fmt::format("{} {}", paint(m_invocation.console().settings().noteStyle, Colour::Grey, name + ">"),
                    printable(trim(line))));
}

void BuildView::onJobEnd(const monitor::JobRecord& job)
{
    m_ended = job;
    m_invocation.console().clearLive();
}

void BuildView::onJobError(std::uint64_t, const Error& error)
{
    m_invocation.complain(error);
}

void BuildView::onTick()
{
    auto& console = m_invocation.console();
    if (!console.settings().live || m_invocation.globals().json || m_ended || m_steps.empty())
        return;
    const ProgressScreen screen{console.settings().noteWidth,
                                std::min<std::size_t>(console.settings().noteHeight / 2, 16),
                                SystemClock().now().wall};
    console.live(renderProgress(m_progress, screen, console.settings().noteStyle));
}

void BuildView::reportFailures()
{
    for (const auto& [id, step] : m_steps)
        if (m_progress[id].phase == StepPhase::Failed)
            reportFailure(step);
}

void BuildView::reportFailure(const monitor::StepRecord& step)
{
    auto& console = m_invocation.console();
    const auto& style = console.settings().noteStyle;
    const auto end = printable(endOf(step));
    console.complain(paint(style, Colour::Red,
                           fmt::format("error: {}{} failed{}{}", printable(step.name()),
                                       step.machine().empty() ? "" : " on " + printable(step.machine()),
                                       end.empty() ? "" : ": ", end)));
    if (step.attempt_id() != 0) {
        const auto from = step.log_bytes() > kTailBytes ? step.log_bytes() - kTailBytes : 0;
        const auto log = m_invocation.api().get(fmt::format(
            "/api/v1/runs/{}/log?offset={}&limit={}&format=text", step.attempt_id(), from, 2 * kTailBytes));
        const auto tail = log ? lastLines(log->body, kShownLogLines) : std::string();
        if (!log)
            console.complain("  its log cannot be had: " + printable(log.error().message));
        else if (tail.empty())
            console.complain("  it wrote no log");
        else
            console.complain(
                fmt::format("  last lines of its log (`penstock logs {}` has more):", m_job.id()));
        for (const auto line : split(tail, '\n'))
            console.complain(fmt::format("  > {}", printable(trim(line))));
    }
    std::vector<std::string> dependents;
    for (const auto& [id, other] : m_steps)
        if (other.failed_dependency() == step.id())
            dependents.push_back(printable(other.name()));
    if (dependents.empty())
        return;
    const auto more = dependents.size() > kShownDependents ? dependents.size() - kShownDependents : 0;
    dependents.resize(dependents.size() - more);
    console.complain(fmt::format("  not built because of it: {}{}", join(dependents, ", "),
                                 more == 0 ? "" : fmt::format(" and {} more", more)));
}

} // namespace penstock::client
