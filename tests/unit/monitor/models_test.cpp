// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/models/jobs_model.h"
#include "monitor-gui/models/machines_model.h"
#include "monitor-gui/models/queues_model.h"
#include "monitor-gui/models/roles.h"
#include "monitor-gui/models/shares_model.h"
#include "monitor-gui/models/steps_model.h"
#include "tests/unit/monitor/farm_events.h"
#include "tests/unit/monitor/qt_application.h"

#include <gtest/gtest.h>
#include <QAbstractItemModelTester>
#include <QPersistentModelIndex>
#include <random>

namespace penstock::gui {
namespace {

using namespace test;

struct NoRemote final : FarmRemote {
    void reconnect() override {}
    void resynchronise() override { ++resyncs; }
    void watchJob(std::optional<JobId> id) override { watchedJob = id; }
    void watchLog(std::optional<AttemptId> id) override { watchedLog = id; }
    void explain(const WhyTarget& target) override { explained.push_back(target); }
    int resyncs = 0;
    std::vector<WhyTarget> explained;
    std::optional<JobId> watchedJob;
    std::optional<AttemptId> watchedLog;
};

struct FixedClock final : Clock {
    [[nodiscard]] Now now() const override { return current; }
    Now current = at(0);
};

// A base, so that the application is there before the members that need it.
struct WithApplication : ::testing::Test {
    WithApplication() { ensureApplication(); }
};

struct Models : WithApplication {
    void take(FeedEvent event) { farm.take({std::move(event)}, {}); }
    std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random() % limit); }

    // A random change of machines, queues, jobs and the watched job's steps, as a server would send it.
    void randomChange()
    {
        DeltaEvent change = delta(++number);
        for (int times = 0; times < 4; ++times) {
            const std::uint64_t id = 1 + below(40);
            if (below(3) == 0)
                change.removedMachines.emplace_back(id);
            else
                change.machines.push_back(machine(id, "m" + std::to_string(below(1000)), below(8)));
            if (below(3) == 0)
                change.removedQueues.push_back("q" + std::to_string(below(12)));
            else
                change.queues.push_back(queue("q" + std::to_string(below(12)), below(100)));
            if (below(3) == 0)
                change.removedShares.push_back("g" + std::to_string(below(12)));
            else
                change.shares.push_back(share("g" + std::to_string(below(12)), below(100), below(100)));
            if (below(3) == 0)
                change.removedJobs.emplace_back(id);
            else
                change.jobs.push_back(job(id, "j" + std::to_string(below(50))));
        }
        JobEvent steps;
        steps.complete = below(4) == 0;
        for (std::uint32_t times = 0; times < below(6); ++times)
            steps.steps.push_back(step(1 + below(30), static_cast<StepState>(below(8))));
        take({server(static_cast<std::int64_t>(number)), std::move(change)});
        take({server(static_cast<std::int64_t>(number)), std::move(steps)});
    }

    NoRemote remote;
    FixedClock clock;
    LiveFarm farm{remote, clock};
    std::minstd_rand random{42};
    std::uint64_t number = 0;
};

template <class Model> void disturb(Model& model, std::minstd_rand& random)
{
    if (random() % 5 == 0)
        model.sort(static_cast<int>(random() % static_cast<unsigned>(model.columnCount())),
                   random() % 2 == 0 ? Qt::AscendingOrder : Qt::DescendingOrder);
    if (random() % 7 == 0)
        model.setFilter(random() % 2 == 0 ? QString() : QString::number(random() % 10));
    model.refresh();
}

TEST_F(Models, StayConsistentUnderTenThousandRandomChanges)
{
    MachinesModel machines(farm);
    QueuesModel queues(farm);
    JobsModel jobs(farm);
    StepsModel steps(farm);
    SharesModel shares(farm);
    using Mode = QAbstractItemModelTester::FailureReportingMode;
    const QAbstractItemModelTester machinesTester(&machines, Mode::Fatal);
    const QAbstractItemModelTester queuesTester(&queues, Mode::Fatal);
    const QAbstractItemModelTester jobsTester(&jobs, Mode::Fatal);
    const QAbstractItemModelTester stepsTester(&steps, Mode::Fatal);
    const QAbstractItemModelTester sharesTester(&shares, Mode::Fatal);
    farm.selectJob(JobId(1));
    take({server(0), snapshot(0)});
    for (int round = 0; round < 2500; ++round) {
        randomChange();
        disturb(machines, random);
        disturb(queues, random);
        disturb(jobs, random);
        disturb(steps, random);
        disturb(shares, random);
    }
    machines.setFilter({});
    EXPECT_EQ(static_cast<std::size_t>(machines.rowCount()), farm.farm().machines().size());
    queues.setFilter({});
    EXPECT_EQ(static_cast<std::size_t>(queues.rowCount()), farm.farm().queues().size());
}

TEST_F(Models, KeepASelectedRowWhileOthersComeAndGo)
{
    MachinesModel machines(farm);
    SnapshotEvent first = snapshot(0);
    first.machines = {machine(1, "b"), machine(2, "d")};
    take({server(0), first});
    machines.refresh();
    const QPersistentModelIndex selected = machines.indexOf(MachineId(2));
    DeltaEvent change = delta(1);
    change.machines = {machine(3, "a"), machine(4, "c"), machine(2, "0")};
    change.removedMachines = {MachineId(1)};
    take({server(1), change});
    machines.refresh();
    ASSERT_TRUE(selected.isValid());
    EXPECT_EQ(selected.data(kIdRole).toULongLong(), 2U);
    EXPECT_EQ(selected.row(), 0);
}

TEST_F(Models, ShowADashWhereNothingIsKnown)
{
    MachinesModel machines(farm);
    SnapshotEvent first = snapshot(0);
    first.machines = {machine(1, "b")};
    take({server(0), first});
    machines.refresh();
    EXPECT_EQ(machines.index(0, MachinesModel::Cpu).data().toString(), QStringLiteral("\u2014"));
    EXPECT_FALSE(machines.index(0, MachinesModel::Cpu).data(kBarRole).isValid());
    EXPECT_EQ(machines.index(0, MachinesModel::Slots).data().toString(), QStringLiteral("0 / 8"));
    for (const int column : {MachinesModel::Cpus, MachinesModel::Score, MachinesModel::Room, MachinesModel::Named})
        EXPECT_EQ(machines.index(0, column).data().toString(), QStringLiteral("\u2014")) << column;
}

TEST_F(Models, EveryCellOfAnyRecordCanBeAskedForEveryRole)
{
    MachinesModel machines(farm);
    SnapshotEvent first = snapshot(0);
    first.machines = {std::make_shared<const MachineRecord>(MachineRecord{.id = MachineId(1)})};
    take({server(0), first});
    machines.refresh();
    for (int column = 0; column < machines.columnCount(); ++column) {
        for (const int role :
             {int(Qt::DisplayRole), int(Qt::ToolTipRole), int(kBarRole), int(kToneRole), int(kFreshnessRole)})
            EXPECT_NO_FATAL_FAILURE((void)machines.index(0, column).data(role));
    }
}

template <class Model> void expectHeadings(const Model& model)
{
    EXPECT_EQ(model.columnCount(), Model::kColumns);
    EXPECT_EQ(model.columnCount(model.index(0, 0)), 0) << "no cell has a table in it";
    ASSERT_GT(model.rowCount(), 0);
    for (int column = 0; column < model.columnCount(); ++column) {
        EXPECT_FALSE(model.headerData(column, Qt::Horizontal, Qt::DisplayRole).toString().isEmpty()) << column;
        EXPECT_FALSE(model.headerData(column, Qt::Horizontal, Qt::ToolTipRole).toString().isEmpty()) << column;
        EXPECT_EQ(model.headerData(column, Qt::Horizontal, Qt::TextAlignmentRole),
                  model.index(0, column).data(Qt::TextAlignmentRole))
            << column;
        EXPECT_EQ(model.index(0, column).data(Qt::DisplayRole), model.index(0, column).data(Qt::AccessibleTextRole));
    }
    EXPECT_FALSE(model.headerData(0, Qt::Vertical, Qt::DisplayRole).isValid());
    EXPECT_FALSE(model.headerData(Model::kColumns, Qt::Horizontal, Qt::DisplayRole).isValid());
    EXPECT_FALSE(model.headerData(-1, Qt::Horizontal, Qt::ToolTipRole).isValid());
}

TEST_F(Models, HeadEveryColumnAndAlignItWithItsCells)
{
    MachinesModel machines(farm);
    QueuesModel queues(farm);
    JobsModel jobs(farm);
    StepsModel steps(farm);
    SharesModel shares(farm);
    farm.selectJob(JobId(1));
    take({server(0), snapshot(0)});
    for (int round = 0; round < 20; ++round)
        randomChange();
    machines.refresh();
    queues.refresh();
    jobs.refresh();
    steps.refresh();
    shares.refresh();
    expectHeadings(machines);
    expectHeadings(queues);
    expectHeadings(jobs);
    expectHeadings(steps);
    expectHeadings(shares);
    constexpr int kRight = Qt::AlignVCenter | Qt::AlignRight;
    constexpr int kLeft = Qt::AlignVCenter | Qt::AlignLeft;
    EXPECT_EQ(shares.index(0, SharesModel::Queued).data(Qt::TextAlignmentRole).toInt(), kRight);
    EXPECT_EQ(shares.index(0, SharesModel::Sentence).data(Qt::TextAlignmentRole).toInt(), kLeft);
    EXPECT_EQ(jobs.headerData(JobsModel::Age, Qt::Horizontal, Qt::TextAlignmentRole).toInt(), kRight);
}

MachinePtr machineThat(std::uint64_t id, MachineState state, Room room, Health health = {})
{
    MachineRecord record = *machine(id, "m" + std::to_string(id), 2);
    record.state = state;
    record.room = std::move(room);
    record.health = std::move(health);
    return std::make_shared<const MachineRecord>(std::move(record));
}

TEST_F(Models, TellAQuarantinedAGatedAndAFullMachineApart)
{
    MachinesModel machines(farm);
    SnapshotEvent first = snapshot(0);
    Room gated{.open = false, .closed = "io pressure 22.4% > 10.0%"};
    gated.crossed = {{"io_pressure", 22.4, 10}};
    gated.named = {{"gpu", 1, 2}};
    Room roomy{.open = true, .closed = {}, .score = 900, .cpus = 6, .cpusCapacity = 16};
    first.machines = {
        machineThat(1, MachineState::Ready, roomy), machineThat(2, MachineState::Ready, gated),
        machineThat(3, MachineState::Quarantined, Room{.open = false, .closed = "quarantined"},
                    {HealthState::Quarantined, 3, 1, server(240), "disk error"})};
    take({server(0), first});
    machines.sort(MachinesModel::State, Qt::AscendingOrder);
    machines.refresh();
    const auto word = [&](int row, int column) { return machines.index(row, column).data().toString(); };
    const auto tone = [&](int row) {
        return static_cast<Tone>(machines.index(row, MachinesModel::State).data(kToneRole).toInt());
    };
    EXPECT_EQ(word(0, MachinesModel::State), QStringLiteral("quarantined 4 min"));
    EXPECT_EQ(tone(0), Tone::Cancelled);
    const QString tip = machines.index(0, MachinesModel::State).data(Qt::ToolTipRole).toString();
    EXPECT_TRUE(tip.contains(QStringLiteral("disk error"))) << tip.toStdString();
    EXPECT_EQ(word(1, MachinesModel::State), QStringLiteral("gated"));
    EXPECT_EQ(tone(1), Tone::Held);
    EXPECT_EQ(word(1, MachinesModel::Room), QStringLiteral("no room: io pressure 22.4% > 10.0%"));
    EXPECT_EQ(word(1, MachinesModel::Named), QStringLiteral("gpu 1/2"));
    EXPECT_EQ(word(2, MachinesModel::State), QStringLiteral("ready"));
    EXPECT_EQ(word(2, MachinesModel::Cpus), QStringLiteral("6 / 16"));
    EXPECT_EQ(word(2, MachinesModel::Score), QStringLiteral("900"));
    machines.setFilter(QStringLiteral("quarant"));
    EXPECT_EQ(machines.rowCount(), 1);
    machines.setFilter(QStringLiteral("no room"));
    EXPECT_EQ(machines.rowCount(), 2);
}

TEST_F(Models, ShowWhatAGroupUsesAgainstItsTarget)
{
    SharesModel shares(farm);
    SnapshotEvent first = snapshot(0);
    first.shares = {share("behind", 10, 50), share("ahead", 90, 50)};
    take({server(0), first});
    shares.sort(SharesModel::Used, Qt::DescendingOrder);
    shares.refresh();
    EXPECT_EQ(shares.index(0, SharesModel::Group).data().toString(), QStringLiteral("ahead"));
    const auto bar = shares.index(0, SharesModel::Used).data(kBarRole).value<CellBar>();
    EXPECT_DOUBLE_EQ(bar.fraction, 0.9);
    EXPECT_DOUBLE_EQ(bar.gate, 0.5);
    EXPECT_TRUE(shares.index(1, SharesModel::Sentence).data().toString().contains(QStringLiteral("goes first")));
}

TEST_F(Models, AskForTheFarmAnewAfterAGap)
{
    take({server(0), snapshot(0)});
    take({server(1), delta(5)});
    EXPECT_EQ(remote.resyncs, 1);
}

TEST_F(Models, FollowTheLogOfTheStepOfInterest)
{
    farm.selectJob(JobId(1));
    EXPECT_EQ(remote.watchedJob, JobId(1));
    StepRecord running{.id = StepId(5)};
    running.state = StepState::Running;
    running.attempt = AttemptId(50);
    JobEvent update;
    update.job = job(1);
    update.steps = {std::make_shared<const StepRecord>(running), step(6, StepState::Blocked)};
    take({server(1), update});
    EXPECT_EQ(remote.watchedLog, AttemptId(50));
    LogEvent other;
    other.attempt = AttemptId(49);
    other.pieces.push_back({server(1), LogStream::Out, "not mine\n"});
    take({server(1), other});
    EXPECT_TRUE(farm.log().lines().empty());
    farm.selectJob(JobId(2));
    EXPECT_EQ(remote.watchedLog, std::nullopt);
}

} // namespace
} // namespace penstock::gui
