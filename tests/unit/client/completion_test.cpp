// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/app/command_line.h"
#include "client/app/completion.h"
#include "client/app/man_page.h"
#include "client/commands/table.h"
#include "shared/config/files.h"

#include <cstdlib>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace penstock::client {
namespace {

const config::Environment kNoEnvironment;

std::string script(const char* shell)
{
    const auto table = commandTable();
    return *completionScript(programSpec(table, kNoEnvironment), shell);
}

TEST(Completion, NamesEveryCommandAndFlagInEveryShell)
{
    const auto table = commandTable();
    for (const char* shell : {"bash", "zsh", "fish"}) {
        const auto text = script(shell);
        for (const auto& command : table) {
            EXPECT_NE(text.find(command.spec.name), std::string::npos) << shell << " " << command.spec.name;
            for (const auto& option : command.spec.options)
                EXPECT_NE(text.find(option.name), std::string::npos) << shell << " " << option.name;
        }
        EXPECT_NE(text.find("token-file"), std::string::npos);
    }
}

// The scripts are run by the real bash: completions of `penstock <words> <current>`.
std::string completed(const std::string& words, int count)
{
    const auto command = fmt::format("bash -c '{}' 2>&1", [&] {
        std::string text =
            script("bash") +
            fmt::format("\nCOMP_WORDS=({}); COMP_CWORD={}; _penstock; echo \"${{COMPREPLY[*]}}\"", words,
                        count);
        std::string quoted;
        for (const char c : text)
            quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
        return quoted;
    }());
    FILE* pipe = ::popen(command.c_str(), "r");
    std::string out;
    std::array<char, 4096> buffer{};
    while (const auto size = std::fread(buffer.data(), 1, buffer.size(), pipe))
        out.append(buffer.data(), size);
    EXPECT_EQ(::pclose(pipe), 0);
    return out;
}

TEST(Completion, WorksInBash)
{
    EXPECT_EQ(completed("penstock mach", 1), "machines machine machines-file\n");
    EXPECT_EQ(completed("penstock --server x token \"\"", 4), "create list revoke\n");
    EXPECT_EQ(completed("penstock jobs --sta", 2), "--state\n");
    EXPECT_EQ(completed("penstock jobs --state f", 3), "failed\n");
    EXPECT_EQ(completed("penstock completion z", 2), "zsh\n");
}

TEST(ManualPage, IsTheOneInThePackage)
{
    const auto table = commandTable();
    const auto page = manualPage(table, programSpec(table, kNoEnvironment));
    const char* source = std::getenv("PENSTOCK_SOURCE_DIR");
    ASSERT_NE(source, nullptr);
    const auto stored = config::readTextFile(std::string(source) + "/packaging/man/penstock.1", 1U << 20U);
    ASSERT_TRUE(stored);
    EXPECT_TRUE(*stored == page) << "run: penstock manual > packaging/man/penstock.1";
}

} // namespace
} // namespace penstock::client
