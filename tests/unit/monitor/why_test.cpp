// SPDX-License-Identifier: GPL-3.0-or-later
// "Why is this step not running?": when it is asked, what the panel says of an answer, and that it can be drawn.
#include "monitor-gui/models/format.h"
#include "monitor-gui/models/live_farm.h"
#include "monitor-gui/models/why_page.h"
#include "monitor-gui/replica/reason_words.h"
#include "monitor-gui/views/job_page.h"
#include "monitor-gui/views/queue_page.h"
#include "monitor-gui/views/reason_bars.h"
#include "monitor-gui/views/why_view.h"
#include "tests/unit/monitor/farm_events.h"
#include "tests/unit/monitor/qt_application.h"

#include <gtest/gtest.h>
#include <QImage>
#include <QScrollBar>
#include <QSet>
#include <QTest>

namespace penstock::gui {
namespace {

using namespace test;

struct AskedRemote final : FarmRemote {
    void reconnect() override {}
    void resynchronise() override {}
    void watchJob(std::optional<JobId>) override {}
    void watchLog(std::optional<AttemptId>) override {}
    void explain(const WhyTarget& target) override { asked.push_back(target); }
    std::vector<WhyTarget> asked;
};

struct MovedClock final : Clock {
    [[nodiscard]] Now now() const override { return current; }
    Now current = at(0);
};

struct WithApplication : ::testing::Test {
    WithApplication() { ensureApplication(); }
};

struct Why : WithApplication {
    Why()
    {
        status.phase = LinkPhase::Open;
        farm.take({{server(0), snapshot(1)}}, status);
    }
    void answer(const WhyTarget& target, Explanation explanation, const std::string& refusal = {})
    {
        ExplanationEvent event;
        event.asked = target;
        event.refusal = refusal;
        if (refusal.empty())
            event.explanation = std::make_shared<const Explanation>(std::move(explanation));
        farm.take({{server(1), event}}, status);
    }
    [[nodiscard]] WhyPage page() const { return whyPageOf(farm.why(), farm.job(), server(10)); }

    AskedRemote remote;
    MovedClock clock;
    LinkStatus status;
    LiveFarm farm{remote, clock};
};

Explanation fullAnswer()
{
    StepReasons step{.step = StepId(7)};
    step.name = "hello-2.12";
    step.state = StepState::Ready;
    step.reasons = {{.code = "slots-full",
                     .text = "2 of 12 machines are full (8/8)",
                     .numbers = {{"machines", 2}, {"free_slots", 0}, {"wait_seconds", 95}},
                     .remedy = "add a builder",
                     .names = {"alder", "cedar"}},
                    {.code = "gated-io", .text = "1 machine is over", .numbers = {{"io_percent", 22.44}}}};
    step.funnel = {{.stage = "known", .left = 12},
                   {.stage = "system", .left = 3, .removedCount = 9, .removed = {{"birch", "has aarch64-linux"}}},
                   {.stage = "room", .left = 0, .removedCount = 3, .removed = {{"alder", "8 of 8 slots taken"}}}};
    step.change = "it starts when a slot is free";
    step.earliest = server(100);
    step.latest = server(200);
    Explanation explanation;
    explanation.jobState = JobState::Running;
    explanation.evaluated = server(8);
    explanation.steps = {step};
    return explanation;
}

const WhyTarget kStep{JobId(3), StepId(7)};

TEST_F(Why, AsksAtOnceThenEveryTwoSecondsWhileItIsLookedAt)
{
    farm.askWhy(kStep);
    ASSERT_EQ(remote.asked.size(), 1U);
    EXPECT_EQ(remote.asked[0], kStep);
    answer(kStep, fullAnswer());
    WhyReplica replica;
    replica.ask(kStep);
    EXPECT_EQ(replica.due(at(0)), kStep);
    EXPECT_EQ(replica.due(at(3)), std::nullopt) << "one is under way";
    const ExplanationEvent event{.request = 1, .explanation = farm.why().answer(), .asked = kStep, .refusal = {}};
    EXPECT_TRUE(replica.apply(event, at(3)));
    EXPECT_EQ(replica.due(at(4)), std::nullopt);
    EXPECT_EQ(replica.due(at(5)), kStep);
    EXPECT_EQ(replica.due(at(14)), std::nullopt);
    EXPECT_EQ(replica.due(at(15)), kStep) << "an answer that does not come is given up";
    replica.ask(std::nullopt);
    EXPECT_EQ(replica.due(at(99)), std::nullopt);
}

TEST_F(Why, WaitsForTheAnswerUnderWayBeforeItAsksForAnotherStep)
{
    const WhyTarget other{JobId(3), StepId(8)};
    farm.askWhy(kStep);
    farm.askWhy(other);
    EXPECT_EQ(remote.asked.size(), 1U);
    answer(kStep, fullAnswer());
    EXPECT_EQ(farm.why().answer(), nullptr) << "it belongs to the other step";
    ASSERT_EQ(remote.asked.size(), 2U);
    EXPECT_EQ(remote.asked[1], other);
}

TEST_F(Why, AsksAgainWhenTheConnectionStandsAgain)
{
    farm.askWhy(kStep);
    status.phase = LinkPhase::Waiting;
    farm.take({}, status);
    EXPECT_EQ(remote.asked.size(), 1U);
    status.phase = LinkPhase::Open;
    farm.take({}, status);
    EXPECT_EQ(remote.asked.size(), 2U);
}

TEST_F(Why, SaysSentenceFunnelAndReasonsWithNumbersAndRemedy)
{
    farm.askWhy(kStep);
    EXPECT_EQ(page().sentence, QStringLiteral("Asking the server."));
    answer(kStep, fullAnswer());
    const WhyPage said = page();
    EXPECT_EQ(said.title, QStringLiteral("Why is hello-2.12 not running?"));
    EXPECT_EQ(said.sentence, QStringLiteral("2 of 12 machines are full (8/8)"));
    EXPECT_EQ(said.tone, Tone::Running);
    EXPECT_EQ(said.next, QStringLiteral("It starts when a slot is free; expected start %1 to %2")
                             .arg(formatClock(server(100)), formatClock(server(200))));
    ASSERT_EQ(said.reasons.size(), 2U);
    EXPECT_EQ(said.reasons[0].words, QStringLiteral("no free slot"));
    EXPECT_EQ(said.reasons[0].numbers, QStringLiteral("machines 2, free slots 0, wait seconds 1 min 35 s"));
    EXPECT_EQ(said.reasons[0].remedy, QStringLiteral("add a builder"));
    EXPECT_EQ(said.reasons[0].names, QStringLiteral("alder, cedar"));
    EXPECT_EQ(said.reasons[1].tone, Tone::Held);
    EXPECT_EQ(said.reasons[1].numbers, QStringLiteral("io percent 22.4\u202F%"));
    ASSERT_EQ(said.funnel.size(), 3U);
    EXPECT_DOUBLE_EQ(said.funnel[1].kept, 0.25);
    EXPECT_DOUBLE_EQ(said.funnel[1].out, 0.75);
    EXPECT_EQ(said.funnel[1].lost, QStringLiteral("9 out"));
    EXPECT_EQ(said.funnel[1].removed,
              (QStringList{QStringLiteral("birch: has aarch64-linux"), QStringLiteral("and 8 more")}));
    EXPECT_TRUE(said.foot.contains(QStringLiteral("2 s ago"))) << said.foot.toStdString();
    EXPECT_TRUE(said.facts.isEmpty());
}

TEST_F(Why, SaysThatTheServerGaveNoReasonAndShowsRawFacts)
{
    farm.selectJob(JobId(3));
    JobEvent steps;
    steps.job = job(3);
    StepRecord ready{.id = StepId(7)};
    ready.name = "hello";
    ready.state = StepState::Ready;
    ready.ready = server(5);
    steps.steps = {std::make_shared<const StepRecord>(ready)};
    farm.take({{server(1), steps}}, status);
    farm.askWhy(kStep);
    answer(kStep, {});
    EXPECT_EQ(page().sentence, QStringLiteral("The server gave no reason."));
    EXPECT_TRUE(page().facts.contains(QStringLiteral("state: ready")));
    EXPECT_TRUE(page().facts.contains(QStringLiteral("ready for 5 s")));
    Explanation silent;
    silent.steps = {StepReasons{.step = StepId(7)}};
    answer(kStep, silent);
    EXPECT_EQ(page().sentence, QStringLiteral("The server gave no reason.")) << "a step without reasons";
    EXPECT_TRUE(page().reasons.empty());
}

TEST_F(Why, SaysTheServersRefusalAndAFinishedJob)
{
    farm.askWhy(kStep);
    answer(kStep, {}, "no job 3");
    EXPECT_TRUE(page().sentence.contains(QStringLiteral("no job 3")));
    const WhyTarget whole{JobId(4)};
    farm.askWhy(whole);
    Explanation over;
    over.jobState = JobState::Failed;
    answer(whole, over);
    EXPECT_EQ(page().sentence, QStringLiteral("Job 4 is over: failed."));
}

TEST_F(Why, ShowsOfAWholeJobTheStepThatCouldStart)
{
    const WhyTarget whole{JobId(3)};
    farm.askWhy(whole);
    Explanation explanation = fullAnswer();
    StepReasons blocked{.step = StepId(6)};
    blocked.state = StepState::Blocked;
    blocked.reasons = {{.code = "inputs-not-built", .text = "waits"}};
    explanation.steps.insert(explanation.steps.begin(), blocked);
    explanation.more = 40;
    answer(whole, explanation);
    EXPECT_EQ(page().title, QStringLiteral("Why is hello-2.12 not running?"));
    EXPECT_TRUE(page().foot.contains(QStringLiteral("41 more"))) << page().foot.toStdString();
}

TEST(Format, GroupsTheDigitsOfALargeCount)
{
    EXPECT_EQ(formatCount(1'234'567), QStringLiteral("1,234,567"));
    EXPECT_EQ(formatCount(999), QStringLiteral("999"));
    EXPECT_EQ(formatNumber("free_bytes", 3'221'225'472), QStringLiteral("3.0\u202FGiB"));
    EXPECT_EQ(formatNumber("load", 2.25), QStringLiteral("2.3"));
    EXPECT_EQ(formatNumber("ahead", -3), QStringLiteral("-3.0"));
}

TEST(ReasonWords, KnowsEveryCodeTheServerNamesAndShowsOthersAsTheyAre)
{
    // core/explain.h
    for (const char* code :
         {"inputs-not-built", "failed-input", "unsupported-system", "missing-feature", "mandatory-feature-mismatch",
          "missing-executor", "missing-tag", "wrong-os", "user-not-allowed", "machine-not-named", "missing-resources",
          "all-draining", "all-quarantined", "all-lost", "gated-cpu", "gated-mem", "gated-io", "gated-load", "disk-low",
          "memory-low", "slots-full", "resources-full", "machine-reserved", "machine-avoided",
          "behind-higher-priority", "jobset-share", "behind-in-queue", "retry-backoff", "held", "dispatch-paused",
          "concurrency-limit", "namespace-limit", "server-busy", "database-away", "cancelled-pending", "starting",
          "running", "connecting", "sending-inputs", "finished"}) {
        EXPECT_NE(wordsOfReason(code).kind, ReasonKind::Unknown) << code;
    }
    EXPECT_EQ(wordsOfReason("moon-phase").kind, ReasonKind::Unknown);
    EXPECT_EQ(wordsOfReason("moon-phase").words, "moon phase");
    EXPECT_EQ(wordsOfReason("").words, "no reason told");
    for (const char* stage : {"known", "named", "executor", "system", "features", "other", "enabled", "connected",
                              "not_gated", "room", "allowed"})
        EXPECT_NE(wordsOfStage(stage), spaced(stage)) << stage;
    EXPECT_EQ(wordsOfStage("new_stage"), "new stage");
}

qsizetype coloursOf(QWidget& widget)
{
    const QImage image = widget.grab().toImage();
    QSet<QRgb> seen;
    for (int y = 0; y < image.height(); ++y) {
        for (int x = 0; x < image.width(); ++x)
            seen.insert(image.pixel(x, y));
    }
    return seen.size();
}

TEST_F(Why, IsDrawnAndSpokenAtAnyWidth)
{
    farm.askWhy(kStep);
    answer(kStep, fullAnswer());
    ThemeSource theme(ThemeChoice::Light);
    WhyView view(theme);
    view.resize(360, 160);
    view.show(page());
    EXPECT_GT(coloursOf(view), 20);
    EXPECT_GT(view.verticalScrollBar()->maximum(), 0) << "what does not fit can be scrolled to";
    const int narrow = view.contentHeight();
    view.resize(1200, 160);
    EXPECT_GT(coloursOf(view), 20);
    EXPECT_LT(view.contentHeight(), narrow);
    for (const char* word : {"add a builder", "machines 2", "birch: has aarch64-linux", "no free slot"})
        EXPECT_TRUE(view.accessibleDescription().contains(QLatin1String(word))) << word;
    view.show({});
    EXPECT_EQ(view.verticalScrollBar()->maximum(), 0);
    view.resize(30, 30);
    EXPECT_GT(coloursOf(view), 0);
}

TEST_F(Why, IsAskedByTheJobPageWhileItsPanelIsOpen)
{
    ThemeSource theme(ThemeChoice::Dark);
    JobPage page(farm, theme);
    page.resize(1000, 700);
    page.show();
    page.open(JobId(3));
    EXPECT_TRUE(remote.asked.empty());
    page.why();
    ASSERT_EQ(remote.asked.size(), 1U);
    EXPECT_EQ(remote.asked[0], WhyTarget{JobId(3)});
    page.why();
    EXPECT_EQ(farm.why().target(), std::nullopt);
    EXPECT_TRUE(page.openTab(QStringLiteral("why")));
    EXPECT_FALSE(page.openTab(QStringLiteral("shares")));
    EXPECT_NE(farm.why().target(), std::nullopt);
    page.hide();
    EXPECT_EQ(farm.why().target(), std::nullopt) << "nobody looks at it";
}

TEST_F(Why, IsAskedByTheQueuePageOfTheOldestStep)
{
    ThemeSource theme(ThemeChoice::Light);
    QueuePage page(farm, theme);
    page.resize(1200, 800);
    page.show();
    DeltaEvent change = delta(2);
    QueueRecord named = *queue("x86_64-linux", 4);
    named.oldestStep = StepId(7);
    named.oldestJob = JobId(3);
    named.oldestReady = server(0);
    named.groups = {{"nixpkgs", 3}, {"default", 1}};
    change.queues = {std::make_shared<const QueueRecord>(named)};
    change.totals.waiting = {{"slots-full", 1240}, {"made-up", 2}};
    farm.take({{server(1), change}}, status);
    ASSERT_TRUE(QTest::qWaitFor([&] { return page.findChild<ReasonBars*>()->accessibleDescription().contains(
                                          QStringLiteral("no free slot: 1,240")); }));
    page.why();
    ASSERT_EQ(remote.asked.size(), 1U);
    EXPECT_EQ(remote.asked[0], kStep);
    auto* view = page.findChild<WhyView*>();
    answer(kStep, fullAnswer());
    ASSERT_TRUE(QTest::qWaitFor([&] { return !view->page().reasons.empty(); }));
    EXPECT_TRUE(view->page().foot.startsWith(QStringLiteral("The oldest of 4 steps")));
    named.oldestStep.reset();
    change.number = 3;
    change.queues = {std::make_shared<const QueueRecord>(named)};
    farm.take({{server(2), change}}, status);
    ASSERT_TRUE(QTest::qWaitFor([&] { return farm.why().target() == std::nullopt; }));
    EXPECT_TRUE(view->page().sentence.contains(QStringLiteral("does not name"))) << "no guess";
    page.why();
    EXPECT_EQ(farm.why().target(), std::nullopt);
    EXPECT_GT(coloursOf(page), 50);
}

} // namespace
} // namespace penstock::gui
