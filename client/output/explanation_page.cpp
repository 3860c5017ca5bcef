// SPDX-License-Identifier: GPL-3.0-or-later
// Why a job does not run: every reason of every step, how the machines fall away one rule after another, what would
// start it, and when.
#include "client/output/human_text.h"
#include "client/output/json_fields.h"
#include "client/output/records.h"
#include "client/output/table.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace penstock::client {

namespace {

struct Stage {
    std::string_view word;
    std::string_view text;
};
constexpr std::array kStages{Stage{"known", "known to the farm"},
                             Stage{"named", "of those that the job names"},
                             Stage{"executor", "with the executor"},
                             Stage{"system", "of the system"},
                             Stage{"features", "with the features"},
                             Stage{"other", "with the tags, users and resources"},
                             Stage{"enabled", "neither draining nor quarantined"},
                             Stage{"connected", "connected"},
                             Stage{"not_gated", "within their thresholds"},
                             Stage{"room", "with room"},
                             Stage{"allowed", "neither avoided nor reserved"}};

std::string stageText(const std::string& word)
{
    const auto found =
        std::find_if(kStages.begin(), kStages.end(), [&](const auto& each) { return each.word == word; });
    return found == kStages.end() ? words(word) : std::string(found->text);
}

// "builder-7: io pressure 22.4% > 10.0% for 180 s; builder-8: …; 3 more"
std::string removedText(const QJsonObject& stage)
{
    std::string out;
    const auto removed = arrayField(stage, "removed");
    for (const auto& item : removed) {
        const auto entry = item.toObject();
        const auto why = textField(entry, "why");
        out += fmt::format("{}{}{}{}", out.empty() ? "" : "; ", textField(entry, "machine"), why.empty() ? "" : ": ",
                           why);
    }
    if (const auto more = numberField(stage, "removed_count") - removed.size(); more > 0)
        out += fmt::format("{}{} more", out.empty() ? "" : "; ", more);
    return out;
}

std::string indented(const std::string& lines, std::string_view by)
{
    std::string out;
    std::size_t at = 0;
    while (at < lines.size()) {
        const auto end = std::min(lines.find('\n', at), lines.size() - 1);
        out.append(by).append(lines, at, end + 1 - at);
        at = end + 1;
    }
    return out;
}

// Only the stages that take machines out; all of it is in --json.
std::string funnelText(const QJsonArray& funnel, const View& view)
{
    Table table({{"MACHINES", Align::Right}, {"LEFT"}, {"REMOVED", Align::Left, true}});
    bool first = true;
    for (const auto& item : funnel) {
        const auto stage = item.toObject();
        if (!first && numberField(stage, "removed_count") == 0)
            continue;
        table.add({{textField(stage, "left"), first ? Colour::None : Colour::Bold},
                   {stageText(textField(stage, "stage"))},
                   {removedText(stage)}});
        first = false;
    }
    constexpr std::string_view kIndent = "    ";
    const auto width = view.width > 40 ? view.width - kIndent.size() : view.width;
    return table.empty() ? std::string() : indented(table.render(view.style, width), kIndent);
}

// "starts in about 2m to 10m", relative to the moment of the answer.
std::string expectation(const QJsonObject& step, WallTime now)
{
    const auto earliest = timeField(step, "earliest");
    const auto latest = timeField(step, "latest");
    if (!earliest && !latest)
        return {};
    if (earliest && latest && *latest - *earliest > std::chrono::seconds(1))
        return fmt::format("expected to start in {} to {}", humanDuration(*earliest - now),
                           humanDuration(*latest - now));
    if (!latest)
        return fmt::format("expected to start in {} at the earliest", humanDuration(*earliest - now));
    return fmt::format("expected to start in {}", humanDuration(*latest - now));
}

std::string reasonText(const QJsonObject& reason, const View& view)
{
    auto out = fmt::format("    {} {}\n", view.style.unicode ? "•" : "*", printable(textField(reason, "text")));
    if (const auto remedy = textField(reason, "remedy"); !remedy.empty())
        out += fmt::format("      {}\n", paint(view.style, Colour::Grey, printable(remedy)));
    return out;
}

std::string stepText(const QJsonObject& step, const View& view, WallTime now)
{
    const auto state = stateCell(textField(step, "state"), view.style);
    auto out = fmt::format("  step {} {}  {}\n", numberField(step, "step"), printable(textField(step, "name")),
                           paint(view.style, state.colour, printable(state.text)));
    const auto reasons = arrayField(step, "reasons");
    for (const auto& reason : reasons)
        out += reasonText(reason.toObject(), view);
    out += funnelText(arrayField(step, "funnel"), view);
    if (const auto change = textField(step, "change"); !change.empty())
        out += fmt::format("    {} {}\n", view.style.unicode ? "→" : "=>",
                           paint(view.style, Colour::Green, printable(change)));
    if (const auto expected = expectation(step, now); !expected.empty())
        out += fmt::format("    {}\n", expected);
    return out;
}

// A job that is over has nothing left to wait for.
std::string endText(const QJsonObject& answer, WallTime now)
{
    if (!hasField(answer, "finished"))
        return {};
    const auto result = words(textField(answer, "result"));
    auto out = fmt::format("  it is over: {}, {} ago", printable(result.empty() ? textField(answer, "state") : result),
                           ageField(answer, "finished", now));
    if (const auto error = textField(answer, "error"); !error.empty())
        out += ": " + printable(error);
    return out + "\n";
}

} // namespace

std::string renderExplain(const QJsonObject& answer, const View& view)
{
    const auto now = timeField(answer, "evaluated").value_or(view.now);
    auto out = fmt::format("job {}: {}\n", numberField(answer, "job"),
                           paint(view.style, Colour::Bold, words(printable(textField(answer, "state")))));
    out += endText(answer, view.now);
    const auto steps = arrayField(answer, "steps");
    for (const auto& item : steps)
        out += stepText(item.toObject(), view, now);
    if (const auto more = numberField(answer, "more"); more > 0)
        out += fmt::format("  and {} more unfinished steps\n", groupedNumber(static_cast<std::uint64_t>(more)));
    return out;
}

} // namespace penstock::client
