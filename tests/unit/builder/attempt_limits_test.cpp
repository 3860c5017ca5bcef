// SPDX-License-Identifier: GPL-3.0-or-later
// What an attempt was granted, what it may leave behind, and the phases it tells; with real processes.
#include "builder/exec/output_watch.h"
#include "tests/unit/builder/attempt_farm.h"

#include <csignal>
#include <filesystem>
#include <fstream>

namespace penstock::builder {
namespace {

using protocol::Outcome;
using protocol::Stream;

TEST(Attempt, SeesWhatItWasGrantedAndNothingElse)
{
    Farm farm;
    farm.grant(1U << 20U, {{"big-parallel", 2}, {"gpu", 1}});
    const std::string script = "env | grep ^PENSTOCK_ | grep -v -e _JOB_ID -e _ATTEMPT -e _MACHINE | sort";
    const std::map<std::string, std::string> forged{{"PENSTOCK_RESOURCE_GPU", "9"}, {"PENSTOCK_RESOURCE_OTHER", "9"},
                                                    {"PENSTOCK_MEMORY_BYTES", "9"}, {"PENSTOCK_CPUS", "9"}};
    farm.start({"/bin/sh", "-c", script}, {}, forged);
    EXPECT_EQ(farm.result().outcome, Outcome::Succeeded);
    EXPECT_EQ(farm.text(Stream::Out), "PENSTOCK_CPUS=3\nPENSTOCK_MEMORY_BYTES=1048576\n"
                                      "PENSTOCK_RESOURCE_BIG_PARALLEL=2\nPENSTOCK_RESOURCE_GPU=1\n");
    Farm bare;
    bare.start({"/bin/sh", "-c", script}, {}, forged);
    EXPECT_EQ(bare.result().outcome, Outcome::Succeeded);
    EXPECT_EQ(bare.text(Stream::Out), "PENSTOCK_CPUS=3\n");
}

TEST(Attempt, NamesResourcesForTheEnvironment)
{
    EXPECT_EQ(resourceVariable("gpu"), "PENSTOCK_RESOURCE_GPU");
    EXPECT_EQ(resourceVariable("Licence 2.x"), "PENSTOCK_RESOURCE_LICENCE_2_X");
    EXPECT_EQ(resourceVariable("\xC3\xA9="), "PENSTOCK_RESOURCE____");
}

protocol::Limits outputLimit(std::uint64_t bytes)
{
    protocol::Limits limits;
    limits.maxOutputBytes = bytes;
    return limits;
}

TEST(Attempt, MayLeaveAsMuchAsItsOutputLimit)
{
    Farm farm;
    EXPECT_EQ(farm.run("mkdir d; head -c 600 /dev/zero > d/a; head -c 400 /dev/zero > b; ln -s /bin/sh s",
                       outputLimit(1000))
                  .outcome,
              Outcome::Succeeded);
    const auto result = farm.run("head -c 1001 /dev/zero > a", outputLimit(1000));
    EXPECT_EQ(result.outcome, Outcome::OutputLimit);
    EXPECT_EQ(result.error, "the files in the job's directory have 1001 bytes, the output limit is 1000");
    EXPECT_EQ(farm.run("head -c 5000 /dev/zero > $TMPDIR/a", outputLimit(1000)).outcome, Outcome::Succeeded);
    EXPECT_EQ(farm.run("head -c 5000 /dev/zero > a; exit 3", outputLimit(1000)).outcome, Outcome::Failed);
}

TEST(Attempt, IsStoppedWhileItRunsWhenItsOutputsAreTooLarge)
{
    Farm farm;
    const auto result = farm.run("head -c 5000 /dev/zero > a; exec sleep 600", outputLimit(1000));
    EXPECT_EQ(result.outcome, Outcome::OutputLimit);
    EXPECT_EQ(result.signal, SIGTERM);
    EXPECT_NE(result.error.find("5000"), std::string::npos) << result.error;
}

TEST(Attempt, MayBeDestroyedWhileItsFolderIsMeasured)
{
    Farm farm;
    for (int i = 0; i < 20; ++i)
        farm.startShell("echo x > a", outputLimit(1000));
    farm.onLoop([&] { farm.host().stop(AttemptId(3), Outcome::Cancelled, "x", true); });
} // the host goes while some of them end

TEST(Folders, AreMeasuredWithoutFollowingLinksAndWithinABound)
{
    const test::TempDirectory temp;
    const auto write = [&](const std::string& name, std::size_t bytes) {
        std::ofstream(temp.path() + "/" + name) << std::string(bytes, 'x');
    };
    write("a", 10);
    std::filesystem::create_directories(temp.path() + "/d/e");
    write("d/e/b", 5);
    std::filesystem::create_symlink("/usr", temp.path() + "/d/usr");
    EXPECT_EQ(measureFolder(temp.path()), 15U);
    EXPECT_LE(measureFolder(temp.path(), 1), 10U);
    EXPECT_EQ(measureFolder(temp.path() + "/none"), 0U);
    EXPECT_EQ(measureFolder(temp.path() + "/d/usr"), 0U);
}

TEST(Attempt, TellsAPhaseOnlyWhenItLasts)
{
    Farm farm;
    farm.run("true");
    EXPECT_TRUE(farm.phases().empty());
    farm.startShell("exec sleep 600");
    while (farm.phases().empty())
        std::this_thread::yield();
    farm.stop(2, true);
    EXPECT_EQ(farm.result().outcome, Outcome::Cancelled);
    const auto phases = farm.phases();
    ASSERT_EQ(phases.size(), 1U);
    EXPECT_EQ(phases[0].attempt, AttemptId(2));
    EXPECT_EQ(phases[0].phase, "building");
}

} // namespace
} // namespace penstock::builder
