// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/core/load_watch.h"

#include <gtest/gtest.h>

namespace penstock::builder {
namespace {

using namespace std::chrono_literals;

protocol::Thresholds thresholds()
{
    return {.cpuPsi = 75,
            .memoryPsi = 20,
            .ioPsi = 50,
            .load1 = 8,
            .minFreeDiskBytes = 1000,
            .minFreeMemoryBytes = 500,
            .minFreeInodes = 10};
}

protocol::LoadSample calm()
{
    protocol::LoadSample load;
    load.load1 = 1;
    load.memoryAvailableBytes = 4000;
    load.diskFreeBytes = load.diskTotalBytes = 9000;
    load.storeFreeBytes = load.storeTotalBytes = 9000;
    load.diskFreeInodes = load.diskTotalInodes = 100;
    load.pressure.emplace();
    return load;
}

template <class Change> protocol::LoadSample with(Change change)
{
    protocol::LoadSample load = calm();
    change(load);
    return load;
}

Instant at(Duration since)
{
    return Instant{} + since;
}

using Load = protocol::LoadSample;

TEST(LoadClasses, CompareEachValueWithItsOwnThreshold)
{
    EXPECT_FALSE(classify(calm(), thresholds()).isOver());
    EXPECT_TRUE(classify(with([](Load& l) { l.pressure->cpu.someAvg10 = 75.1; }), thresholds()).cpuPressure);
    EXPECT_FALSE(classify(with([](Load& l) { l.pressure->cpu.someAvg10 = 75; }), thresholds()).isOver());
    EXPECT_FALSE(classify(with([](Load& l) { l.pressure->cpu.fullAvg10 = 99; }), thresholds()).isOver());
    EXPECT_TRUE(classify(with([](Load& l) { l.pressure->memory.fullAvg10 = 21; }), thresholds()).memoryPressure);
    EXPECT_TRUE(classify(with([](Load& l) { l.pressure->io.fullAvg10 = 51; }), thresholds()).ioPressure);
    EXPECT_TRUE(classify(with([](Load& l) { l.load1 = 8.5; }), thresholds()).load);
    EXPECT_TRUE(classify(with([](Load& l) { l.diskFreeBytes = 999; }), thresholds()).disk);
    EXPECT_TRUE(classify(with([](Load& l) { l.storeFreeBytes = 999; }), thresholds()).disk);
    EXPECT_TRUE(classify(with([](Load& l) { l.memoryAvailableBytes = 499; }), thresholds()).memory);
    EXPECT_TRUE(classify(with([](Load& l) { l.diskFreeInodes = 9; }), thresholds()).inodes);
    EXPECT_FALSE(classify(with([](Load& l) { l.diskFreeInodes = 10; }), thresholds()).isOver());
}

TEST(LoadClasses, AreNeverOverWithoutThresholdsOrNumbers)
{
    EXPECT_FALSE(classify(Load{}, {}).isOver());
    EXPECT_FALSE(classify(with([](Load& l) {
                              l.pressure.reset(); // a kernel without them
                              l.storeFreeBytes = l.storeTotalBytes = 0;
                              l.diskFreeInodes = l.diskTotalInodes = 0; // a file system that counts none
                          }),
                          thresholds())
                     .isOver());
}

TEST(LoadClasses, NameTheShortageWithBothNumbers)
{
    EXPECT_EQ(shortageOf(calm(), thresholds()), "");
    EXPECT_EQ(shortageOf(with([](Load& l) { l.diskFreeBytes = 7; }), thresholds()),
              "7 bytes of disk are free, min-free-disk is 1000");
    EXPECT_EQ(shortageOf(with([](Load& l) { l.storeFreeBytes = 7; }), thresholds()),
              "7 bytes are free for the store, min-free-disk is 1000");
    EXPECT_EQ(shortageOf(with([](Load& l) { l.memoryAvailableBytes = 7; }), thresholds()),
              "7 bytes of memory are available, min-free-memory is 500");
    EXPECT_EQ(shortageOf(with([](Load& l) { l.diskFreeInodes = 7; }), thresholds()),
              "7 inodes are free, min-free-inodes is 10");
    EXPECT_EQ(shortageOf(with([](Load& l) { l.pressure->cpu.someAvg10 = 99; }), thresholds()), "");
}

TEST(LoadWatch, TellsWhenAThresholdIsCrossedEitherWay)
{
    LoadWatch watch(thresholds());
    const Load busy = with([](Load& l) { l.pressure->cpu.someAvg10 = 76; });
    watch.reported(with([](Load& l) { l.pressure->cpu.someAvg10 = 74; }), at(0s));
    EXPECT_FALSE(watch.isDue(with([](Load& l) { l.pressure->cpu.someAvg10 = 75; }), at(2s)));
    EXPECT_TRUE(watch.isDue(busy, at(2s)));
    watch.reported(busy, at(2s));
    EXPECT_FALSE(watch.isDue(busy, at(4s)));
    EXPECT_TRUE(watch.isDue(with([](Load& l) { l.pressure->cpu.someAvg10 = 74; }), at(4s)));
}

TEST(LoadWatch, TellsFreeSpaceMemoryAndInodesThatCross)
{
    LoadWatch watch(thresholds());
    watch.reported(calm(), at(0s));
    EXPECT_TRUE(watch.isDue(with([](Load& l) { l.diskFreeBytes = 999; }), at(1s)));
    EXPECT_TRUE(watch.isDue(with([](Load& l) { l.diskFreeInodes = 9; }), at(1s)));
    EXPECT_TRUE(watch.isDue(with([](Load& l) { l.memoryAvailableBytes = 499; }), at(1s)));
    EXPECT_FALSE(watch.isDue(with([](Load& l) { l.diskFreeBytes = 2000; }), at(1s)));
}

TEST(LoadWatch, TellsBigMovesForServersWithOtherThresholds)
{
    LoadWatch watch({});
    watch.reported(calm(), at(0s));
    EXPECT_FALSE(watch.isDue(with([](Load& l) { l.pressure->io.fullAvg10 = 9.9; }), at(1s)));
    EXPECT_TRUE(watch.isDue(with([](Load& l) { l.pressure->io.fullAvg10 = 10; }), at(1s)));
    EXPECT_FALSE(watch.isDue(with([](Load& l) { l.memoryAvailableBytes = 3000; }), at(1s)));
    EXPECT_TRUE(watch.isDue(with([](Load& l) { l.memoryAvailableBytes = 2999; }), at(1s)));
    EXPECT_TRUE(watch.isDue(with([](Load& l) { l.memoryAvailableBytes = 5001; }), at(1s)));
    EXPECT_TRUE(watch.isDue(with([](Load& l) { l.memoryAvailableBytes = 0; }), at(1s)));
}

TEST(LoadWatch, TellsOfAnEndedAttemptOnce)
{
    LoadWatch watch(thresholds());
    watch.reported(calm(), at(0s));
    EXPECT_FALSE(watch.isDue(calm(), at(2s)));
    watch.attemptEnded();
    EXPECT_TRUE(watch.isDue(calm(), at(2s)));
    watch.reported(calm(), at(2s));
    EXPECT_FALSE(watch.isDue(calm(), at(4s)));
}

TEST(LoadWatch, TellsAtMostOnceASecondAndNothingBeforeTheFirstReport)
{
    LoadWatch watch(thresholds());
    const Load full = with([](Load& l) { l.diskFreeBytes = 0; });
    EXPECT_FALSE(watch.isDue(full, at(5s)));
    watch.reported(calm(), at(5s));
    EXPECT_FALSE(watch.isDue(full, at(5999ms)));
    EXPECT_TRUE(watch.isDue(full, at(6s)));
}

TEST(LoadWatch, LooksWhileSomethingRunsOrIsOverOrHasJustEnded)
{
    LoadWatch watch(thresholds());
    EXPECT_FALSE(watch.wantsLook(false));
    EXPECT_TRUE(watch.wantsLook(true));
    watch.reported(with([](Load& l) { l.load1 = 9; }), at(0s));
    EXPECT_TRUE(watch.wantsLook(false)); // so that the gate opens soon
    watch.reported(calm(), at(1s));
    EXPECT_FALSE(watch.wantsLook(false));
    watch.attemptEnded();
    EXPECT_TRUE(watch.wantsLook(false));
}

} // namespace
} // namespace penstock::builder
