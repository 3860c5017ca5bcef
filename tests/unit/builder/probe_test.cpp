// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/probe/cpu.h"
#include "builder/probe/disk.h"
#include "builder/probe/features.h"
#include "builder/probe/machine_probe.h"
#include "builder/probe/memory.h"
#include "builder/probe/pressure.h"

#include <gtest/gtest.h>

namespace penstock::builder {
namespace {

TEST(CpuProbe, CountsProcessorsInBothSpellings)
{
    const CpuInfo x86 = parseCpuInfo("processor\t: 0\nbogomips\t: 4000.00\n\nprocessor\t: 1\nbogomips\t: 5000.00\n");
    EXPECT_EQ(x86.processors, 2U);
    EXPECT_DOUBLE_EQ(x86.bogomips, 4500);
    const CpuInfo arm = parseCpuInfo("processor\t: 0\nBogoMIPS\t: 50.00\n");
    EXPECT_DOUBLE_EQ(arm.bogomips, 50);
    EXPECT_EQ(parseCpuInfo("").processors, 0U);
}

TEST(CpuProbe, ReadsLoadAndTimes)
{
    const auto load = parseLoadAverage("0.52 1.25 2.00 3/721 12345\n");
    ASSERT_TRUE(load);
    EXPECT_DOUBLE_EQ(load->five, 1.25);
    EXPECT_FALSE(parseLoadAverage("none"));
    const auto before = parseCpuTimes("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3 4\n");
    const auto after = parseCpuTimes("cpu  150 0 150 750 150 0 0 0 90 0\n");
    ASSERT_TRUE(before && after);
    EXPECT_DOUBLE_EQ(busyPercent(*before, *after), 50);
    EXPECT_DOUBLE_EQ(busyPercent(*after, *before), 0);
    EXPECT_FALSE(parseCpuTimes("cpu0 1 2 3 4"));
    EXPECT_FALSE(parseCpuTimes("cpu  1 x"));
}

TEST(CpuProbe, ReadsTheQuota)
{
    EXPECT_DOUBLE_EQ(parseCpuMax("150000 100000\n").value_or(0), 1.5);
    EXPECT_FALSE(parseCpuMax("max 100000\n"));
    EXPECT_FALSE(parseCpuMax(""));
    EXPECT_FALSE(parseCpuMax("1 0"));
}

TEST(MemoryProbe, ReadsTotalAndAvailable)
{
    const auto memory = parseMemInfo("MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    600 kB\n");
    ASSERT_TRUE(memory);
    EXPECT_EQ(memory->totalBytes, 1'024'000U);
    EXPECT_EQ(memory->availableBytes, 614'400U);
    EXPECT_FALSE(parseMemInfo("MemTotal: 1000 kB\n"));
    EXPECT_EQ(parseMemoryMax("1048576\n").value_or(0), 1'048'576U);
    EXPECT_FALSE(parseMemoryMax("max\n"));
}

TEST(PressureProbe, ReadsSomeAndFull)
{
    const auto both = parsePressure("some avg10=1.50 avg60=0.25 avg300=0.10 total=12345\n"
                                    "full avg10=0.50 avg60=0.05 avg300=0.01 total=999\n");
    ASSERT_TRUE(both);
    EXPECT_DOUBLE_EQ(both->someAvg10, 1.5);
    EXPECT_EQ(both->someTotalMicros, 12345U);
    EXPECT_DOUBLE_EQ(both->fullAvg300, 0.01);
    const auto some = parsePressure("some avg10=1.50 avg60=0.25 avg300=0.10 total=1\n");
    ASSERT_TRUE(some);
    EXPECT_DOUBLE_EQ(some->fullAvg10, 0);
    for (const char* text : {"", "some", "some avg10=x total=1", "full avg10=0.1 total=1", "some avg10"})
        EXPECT_FALSE(parsePressure(text)) << text;
}

TEST(Systems, AreNamedAsNixNamesThem)
{
    EXPECT_EQ(systemName("x86_64", "Linux"), "x86_64-linux");
    EXPECT_EQ(systemName("arm64", "Darwin"), "aarch64-darwin");
    EXPECT_EQ(systemName("i586", "Linux"), "i686-linux");
    EXPECT_EQ(systemName("armv8l", "Linux"), "armv7l-linux");
}

TEST(MachineProbe, SaysSomethingSensibleOfThisMachine)
{
    const Hardware hardware = readHardware();
    EXPECT_GE(hardware.cores, 1U);
    EXPECT_GT(hardware.memoryBytes, 0U);
    const auto sample = MachineProbe("/", "").sample();
    EXPECT_GT(sample.diskTotalBytes, 0U);
    EXPECT_EQ(sample.storeTotalBytes, 0U);
    EXPECT_FALSE(readDisk("/no/such/place"));
}

TEST(Programs, AreRunWithTheirOutputCaught)
{
    EXPECT_EQ(outputOf({"echo", "x"}).value_or(""), "x\n");
    EXPECT_FALSE(outputOf({"false"}));
    EXPECT_FALSE(outputOf({"penstock-no-such-program"}));
}

} // namespace
} // namespace penstock::builder
