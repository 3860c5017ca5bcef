// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/output/progress.h"

#include "client/output/human_text.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace penstock::client {

namespace {

std::size_t count(const StepProgressMap& steps, StepPhase phase)
{
    return static_cast<std::size_t>(std::count_if(
        steps.begin(), steps.end(), [phase](const auto& entry) { return entry.second.phase == phase; }));
}

struct Counted {
    StepPhase phase;
    std::string_view text;
};
constexpr std::array<Counted, 7> kCounted{{{StepPhase::Running, "running"},
                                           {StepPhase::Waiting, "waiting"},
                                           {StepPhase::Succeeded, "built"},
                                           {StepPhase::Cached, "already there"},
                                           {StepPhase::Failed, "failed"},
                                           {StepPhase::NotBuilt, "not built"},
                                           {StepPhase::Cancelled, "cancelled"}}};

std::string runningLine(const StepProgress& step, const ProgressScreen& screen, const Style& style)
{
    auto right = humanDuration(screen.now - step.started);
    auto place = step.machine.empty() ? std::string() : fmt::format(" on {}", printable(step.machine));
    if (!step.detail.empty())
        place += fmt::format(" ({})", printable(step.detail));
    const auto glyph = glyphFor("running");
    const auto mark = style.unicode ? glyph.unicode : glyph.ascii;
    const auto fixed = 4 + displayWidth(right) + 1;
    const auto room = screen.width > fixed ? screen.width - fixed : 1;
    const auto name = elide(printable(step.name) + place, room, style);
    return fmt::format("  {} {} {}", paint(style, glyph.colour, mark), name,
                       paint(style, Colour::Grey, right));
}

} // namespace

std::string summarize(const StepProgressMap& steps)
{
    std::string out;
    for (const auto& [phase, text] : kCounted)
        if (const auto number = count(steps, phase); number != 0)
            out += fmt::format("{}{} {}", out.empty() ? "" : ", ", groupedNumber(number), text);
    return out.empty() ? "no steps" : out;
}

std::vector<std::string> renderProgress(const StepProgressMap& steps, const ProgressScreen& screen,
                                        const Style& style)
{
    const auto running = count(steps, StepPhase::Running);
    const auto open = running + count(steps, StepPhase::Waiting);
    std::vector<std::string> lines;
    const auto head = fmt::format("[{}/{}] {}", steps.size() - open, steps.size(), summarize(steps));
    lines.push_back(paint(style, Colour::Bold, elide(head, std::max<std::size_t>(screen.width, 1), style)));
    // The oldest first: what has run long is what people look for.
    std::vector<const StepProgress*> shown;
    for (const auto& [id, step] : steps)
        if (step.phase == StepPhase::Running)
            shown.push_back(&step);
    std::stable_sort(shown.begin(), shown.end(),
                     [](const auto* a, const auto* b) { return a->started < b->started; });
    const auto room = screen.maxLines > 1 ? screen.maxLines - 1 : 0;
    const bool tooMany = shown.size() > room;
    const auto lineCount = tooMany ? (room > 0 ? room - 1 : 0) : shown.size();
    for (std::size_t at = 0; at < lineCount; ++at)
        lines.push_back(runningLine(*shown[at], screen, style));
    if (tooMany && room > 0)
        lines.push_back(
            elide(fmt::format("  and {} more running", shown.size() - lineCount), screen.width, style));
    return lines;
}

std::string describeChange(const StepProgress& step, const Style& style)
{
    const auto name = printable(step.name);
    const auto detail = printable(step.detail);
    switch (step.phase) {
    case StepPhase::Running:
        return step.machine.empty() ? fmt::format("building {}", name)
                                    : fmt::format("building {} on {}", name, printable(step.machine));
    case StepPhase::Succeeded: return paint(style, Colour::Green, fmt::format("built {}", name));
    case StepPhase::Failed:
        return paint(style, Colour::Red,
                     detail.empty() ? fmt::format("failed {}", name)
                                    : fmt::format("failed {}: {}", name, detail));
    case StepPhase::Waiting:
        return detail.empty() ? std::string() : fmt::format("trying {} again soon: {}", name, detail);
    case StepPhase::NotBuilt:
    case StepPhase::Cached:
    case StepPhase::Cancelled: break; // told once, in the summary
    }
    return {};
}

} // namespace penstock::client
