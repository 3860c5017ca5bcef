// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/models/why_page.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/replica/freshness.h"
#include "monitor-gui/replica/reason_words.h"

#include <algorithm>

namespace penstock::gui {

namespace {

int rankOf(StepState state)
{
    switch (state) {
    case StepState::Ready: return 0;
    case StepState::Delayed: return 1;
    case StepState::Blocked: return 2;
    case StepState::Running: return 3;
    case StepState::Succeeded:
    case StepState::Failed:
    case StepState::Cancelled:
    case StepState::Unknown: break;
    }
    return 4;
}

bool isOver(JobState state)
{
    return state == JobState::Succeeded || state == JobState::Failed || state == JobState::Cancelled;
}

// The one asked for; of a whole job the first that could start, as what holds it holds the job.
const StepReasons* shownOf(const Explanation& answer, const WhyTarget& target)
{
    const StepReasons* best = nullptr;
    for (const StepReasons& step : answer.steps) {
        if (target.step) {
            if (step.step == *target.step)
                return &step;
        } else if (best == nullptr || rankOf(step.state) < rankOf(best->state)) {
            best = &step;
        }
    }
    return best;
}

std::vector<WhyStage> funnelOf(const std::vector<FunnelStage>& stages)
{
    std::vector<WhyStage> rows;
    double known = 1;
    for (const FunnelStage& stage : stages)
        known = std::max(known, static_cast<double>(stage.left) + stage.removedCount);
    for (const FunnelStage& stage : stages) {
        WhyStage& row = rows.emplace_back();
        row.words = text(wordsOfStage(stage.stage));
        row.left = stage.left;
        row.kept = stage.left / known;
        row.out = stage.removedCount / known;
        if (stage.removedCount == 0)
            continue;
        row.lost = QStringLiteral("%1 out").arg(formatCount(stage.removedCount));
        for (const RemovedMachine& removed : stage.removed)
            row.removed << (removed.why.empty()
                                ? text(removed.machine)
                                : QStringLiteral("%1: %2").arg(text(removed.machine), text(removed.why)));
        if (stage.removedCount > stage.removed.size() && !stage.removed.empty())
            row.removed << QStringLiteral("and %1 more").arg(
                formatCount(stage.removedCount - stage.removed.size()));
    }
    return rows;
}

WhyReason reasonOf(const Reason& reason)
{
    const ReasonWords words = wordsOfReason(reason.code);
    WhyReason row{toneOf(words.kind), text(words.words), text(reason.text), {}, {}, text(reason.remedy)};
    QStringList numbers;
    for (const auto& [name, value] : reason.numbers)
        numbers << QStringLiteral("%1 %2").arg(text(spaced(name)), formatNumber(name, value));
    row.numbers = numbers.join(QStringLiteral(", "));
    QStringList names;
    for (const std::string& name : reason.names) {
        if (reason.text.find(name) == std::string::npos)
            names << text(name);
    }
    row.names = names.join(QStringLiteral(", "));
    return row;
}

QString nextOf(const StepReasons& step)
{
    QStringList parts;
    if (!step.change.empty())
        parts << text(step.change);
    if (step.earliest && step.latest && *step.latest > *step.earliest)
        parts << QStringLiteral("expected start %1 to %2").arg(formatClock(*step.earliest), formatClock(*step.latest));
    else if (step.earliest)
        parts << QStringLiteral("expected start %1").arg(formatClock(*step.earliest));
    QString next = parts.join(QStringLiteral("; "));
    if (!next.isEmpty())
        next.replace(0, 1, next.at(0).toUpper());
    return next;
}

StepPtr recordOf(const JobReplica& job, const WhyTarget& target)
{
    if (!target.step || job.watched() != target.job)
        return nullptr;
    const auto found = job.steps().find(*target.step);
    return found == job.steps().end() ? nullptr : found->second;
}

QStringList factsOf(const StepRecord& step, WallTime serverNow)
{
    QStringList facts;
    facts << QStringLiteral("state: %1").arg(wordOf(step));
    if (step.ready)
        facts << QStringLiteral("ready for %1").arg(formatAgeText(ageOf(step.ready, serverNow)));
    if (!step.dependsOn.empty())
        facts << QStringLiteral("needs %1 other steps").arg(step.dependsOn.size());
    facts << QStringLiteral("attempts so far: %1").arg(step.attempts);
    if (!step.machine.empty())
        facts << QStringLiteral("last on %1").arg(text(step.machine));
    if (!step.error.empty())
        facts << text(step.error);
    return facts;
}

QString footOf(const Explanation& answer, const WhyTarget& target, WallTime serverNow)
{
    QString foot;
    if (answer.evaluated)
        foot = QStringLiteral("Evaluated %1, %2 ago")
                   .arg(formatClock(*answer.evaluated), formatAgeText(ageOf(answer.evaluated, serverNow)));
    const std::uint64_t others = answer.more + (answer.steps.empty() ? 0 : answer.steps.size() - 1);
    if (!target.step && others > 0)
        foot += QStringLiteral("%1%2 more unfinished steps; select one to see why it waits")
                    .arg(foot.isEmpty() ? QString() : QStringLiteral("; "), formatCount(others));
    return foot;
}

} // namespace

WhyPage whyPageOf(const WhyReplica& why, const JobReplica& job, WallTime serverNow)
{
    WhyPage page;
    page.title = QStringLiteral("Why is it not running?");
    if (!why.target())
        return page;
    const WhyTarget& target = *why.target();
    const StepPtr record = recordOf(job, target);
    const QString subject = record          ? text(record->name)
                            : target.step   ? QStringLiteral("step %1").arg(target.step->value())
                                            : QStringLiteral("job %1").arg(target.job.value());
    page.title = QStringLiteral("Why is %1 not running?").arg(subject);
    if (!why.refusal().empty())
        page.sentence = QStringLiteral("The server cannot say: %1").arg(text(why.refusal()));
    else if (!why.answer())
        page.sentence = QStringLiteral("Asking the server.");
    if (!why.answer() || !why.refusal().empty())
        return page;
    const Explanation& answer = *why.answer();
    page.foot = footOf(answer, target, serverNow);
    const StepReasons* step = shownOf(answer, target);
    if (step == nullptr || step->reasons.empty()) {
        page.sentence = QStringLiteral("The server gave no reason.");
        if (record)
            page.facts = factsOf(*record, serverNow);
        else
            page.facts << QStringLiteral("job %1: %2").arg(target.job.value()).arg(wordOf(answer.jobState));
        if (answer.steps.empty() && isOver(answer.jobState)) {
            page.sentence =
                QStringLiteral("Job %1 is over: %2.").arg(target.job.value()).arg(wordOf(answer.jobState));
            page.facts.clear();
        }
    }
    if (step == nullptr)
        return page;
    if (!step->name.empty())
        page.title = step->state == StepState::Running
                         ? QStringLiteral("What is %1 doing?").arg(text(step->name))
                         : QStringLiteral("Why is %1 not running?").arg(text(step->name));
    page.next = nextOf(*step);
    page.funnel = funnelOf(step->funnel);
    for (const Reason& reason : step->reasons)
        page.reasons.push_back(reasonOf(reason));
    if (!page.reasons.empty()) {
        page.tone = page.reasons.front().tone;
        const WhyReason& binding = page.reasons.front();
        page.sentence = binding.text.isEmpty() ? binding.words : binding.text;
        page.sentence.replace(0, 1, page.sentence.at(0).toUpper());
    }
    return page;
}

QString WhyPage::plainText() const
{
    QStringList lines{title, sentence, next};
    lines << facts;
    for (const WhyStage& stage : funnel) {
        lines << QStringLiteral("%1 %2%3").arg(formatCount(stage.left), stage.words,
                                               stage.lost.isEmpty() ? QString() : QStringLiteral(", ") + stage.lost);
        for (const QString& removed : stage.removed)
            lines << QStringLiteral("  ") + removed;
    }
    for (const WhyReason& reason : reasons) {
        lines << QStringLiteral("%1: %2").arg(reason.words, reason.text);
        for (const QString& part : {reason.numbers, reason.names, reason.remedy})
            if (!part.isEmpty())
                lines << QStringLiteral("  ") + part;
    }
    lines << foot;
    lines.removeAll(QString());
    return lines.join(QLatin1Char('\n'));
}

} // namespace penstock::gui
