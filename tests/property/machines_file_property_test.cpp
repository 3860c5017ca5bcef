// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/machines_file.h"

#include "shared/base/text.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

namespace penstock::nix {
namespace {

rc::Gen<std::string> wordGen()
{
    return rc::gen::resize(8, rc::gen::nonEmpty(rc::gen::container<std::string>(
                                  rc::gen::elementOf(std::string("abcxyz09_")))));
}

rc::Gen<std::vector<std::string>> listGen()
{
    return rc::gen::resize(5, rc::gen::container<std::vector<std::string>>(wordGen()));
}

rc::Gen<BuildMachine> machineGen()
{
    return rc::gen::exec([] {
        BuildMachine machine;
        machine.host = *wordGen();
        machine.user = *rc::gen::element(std::string(), std::string("nix"));
        const std::string scheme = *rc::gen::element(std::string(), std::string("ssh://"), std::string("ssh-ng://"));
        machine.uri = scheme + (machine.user.empty() ? "" : machine.user + "@") + machine.host;
        machine.systems = *listGen();
        machine.sshKey = *rc::gen::element(std::string(), std::string("/etc/nix/key"));
        machine.maxJobs = *rc::gen::inRange<std::uint32_t>(1, kMaxMachineJobs + 1);
        machine.speedFactor = *rc::gen::inRange(1, 1'000) / 8.0;
        machine.supportedFeatures = *listGen();
        machine.mandatoryFeatures = *listGen();
        machine.hostKey = *rc::gen::element(std::string(), std::string("c3NoLWVkMjU1MTk="));
        return machine;
    });
}

std::string orNothing(const std::string& text)
{
    return text.empty() ? "-" : text;
}

std::string print(const BuildMachine& machine)
{
    return fmt::format("{} {}\t{} {} {}  {} {} {}", machine.uri, orNothing(join(machine.systems, ",")),
                       orNothing(machine.sshKey), machine.maxJobs, machine.speedFactor,
                       orNothing(join(machine.supportedFeatures, ",")), orNothing(join(machine.mandatoryFeatures, ",")),
                       orNothing(machine.hostKey));
}

RC_GTEST_PROP(MachinesFile, ReadsBackWhatIsPrinted, ())
{
    auto machines = *rc::gen::resize(10, rc::gen::container<std::vector<BuildMachine>>(machineGen()));
    std::string text = "# machines\n\n";
    for (std::size_t at = 0; at < machines.size(); ++at) {
        machines[at].line = at + 3;
        text += print(machines[at]) + " # comment\n";
    }
    const BuildMachines parsed = parseMachines(text);
    RC_ASSERT(parsed.bad.empty());
    RC_ASSERT(parsed.machines == machines);
}

RC_GTEST_PROP(MachinesFile, TellsOfEveryLineOfAnyText, ())
{
    const std::vector<std::string> pieces{"\n", "\n", " ", "\t", "#", "-", ",", "@", "://", "host", "x86_64-linux", "4",
                                          "0", "2.5", "[", "]", ":", "?", "/", "\r", "\xff", std::string(1, '\0')};
    const auto text = join(*rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(pieces)), "");
    RC_CLASSIFY(parseMachines(text).bad.size() > 0, "has bad lines");
    RC_CLASSIFY(text.size() > 50, "long");
    const BuildMachines parsed = parseMachines(text);
    std::set<std::size_t> told;
    for (const auto& machine : parsed.machines) {
        RC_ASSERT(told.insert(machine.line).second);
        RC_ASSERT(!machine.host.empty() && machine.maxJobs > 0);
    }
    for (const auto& bad : parsed.bad) {
        RC_ASSERT(told.insert(bad.line).second);
        RC_ASSERT(!bad.why.empty() && isUtf8(bad.why));
    }
    std::size_t number = 0;
    for (const std::string_view line : split(text, '\n')) {
        const auto content = line.substr(0, line.find('#'));
        const bool isEmpty = content.find_first_not_of(" \t\r") == std::string_view::npos;
        RC_ASSERT(told.contains(++number) != isEmpty);
    }
}

RC_GTEST_PROP(MachinesFile, OneBadLineHarmsNoOther, (unsigned place))
{
    auto machines = *rc::gen::resize(
        10, rc::gen::nonEmpty(rc::gen::container<std::vector<BuildMachine>>(machineGen())));
    const std::string broken = *rc::gen::element(std::string("host ,"), std::string("host x86 - 0"),
                                                 std::string("host x86 - many"), std::string("host x86 - 1 fast"),
                                                 std::string("ssh:// x86"), std::string("a b - 1 1 - - - more"));
    const std::size_t at = place % (machines.size() + 1);
    std::string text;
    for (std::size_t index = 0; index <= machines.size(); ++index) {
        if (index == at)
            text += broken + "\n";
        if (index < machines.size())
            text += print(machines[index]) + "\n";
    }
    const BuildMachines parsed = parseMachines(text);
    RC_ASSERT(parsed.machines.size() == machines.size());
    RC_ASSERT(parsed.bad.size() == 1U);
    RC_ASSERT(parsed.bad.front().line == at + 1);
}

TEST(MachinesFileExamples, AreReadAsNixReadsThem)
{
    const auto parsed = parseMachines("nix@mac.example x86_64-darwin,aarch64-darwin /key 8 2.5 big-parallel kvm "
                                      "c3No\r\n"
                                      "ssh-ng://root@[2001:db8::1]:2222?remote-store=/mnt riscv64-linux\n"
                                      "builder:2222 i686-linux\n"
                                      "localhost x86_64-linux - 4\n"
                                      "mini\n"
                                      "native - - 2");
    ASSERT_EQ(parsed.bad.size(), 0U);
    ASSERT_EQ(parsed.machines.size(), 6U);
    EXPECT_EQ(parsed.machines[0].host, "mac.example");
    EXPECT_EQ(parsed.machines[0].systems, (std::vector<std::string>{"x86_64-darwin", "aarch64-darwin"}));
    EXPECT_EQ(parsed.machines[0].speedFactor, 2.5);
    EXPECT_EQ(parsed.machines[0].mandatoryFeatures, (std::vector<std::string>{"kvm"}));
    EXPECT_EQ(parsed.machines[0].hostKey, "c3No");
    EXPECT_EQ(parsed.machines[1].host, "2001:db8::1");
    EXPECT_EQ(parsed.machines[1].user, "root");
    EXPECT_EQ(parsed.machines[1].maxJobs, 1U);
    EXPECT_EQ(parsed.machines[2].host, "builder");
    EXPECT_EQ(parsed.machines[3].maxJobs, 4U);
    EXPECT_EQ(parsed.machines[4].systems, std::vector<std::string>());
    EXPECT_EQ(parsed.machines[5].systems, std::vector<std::string>());
    EXPECT_EQ(parsed.machines[5].maxJobs, 2U);
}

} // namespace
} // namespace penstock::nix
