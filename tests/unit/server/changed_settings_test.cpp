// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/changed_settings.h"
#include "server/app/server_options.h"
#include "tests/support/temp_directory.h"

#include <fstream>
#include <gtest/gtest.h>

namespace penstock::app {
namespace {

using Words = std::vector<std::string>;

class ChangedSettings : public ::testing::Test {
protected:
    void write(std::string_view text) const { std::ofstream(m_file) << text; }
    // Of the options that differ after the file has got this text.
    [[nodiscard]] Words after(std::string_view text)
    {
        write("retryBackoff = 2.0\nuseSubstitutes = true\nremoteStoreAddr = [\"file:///a\"]\nmaxRetries = 3\n");
        const Words words{"--hydra", "--config", m_file, "--max-attempts", "7"};
        const config::Environment environment{{"HOME", "/nonexistent"}};
        const auto outcome = config::parse(serverProgram(), words, environment);
        EXPECT_TRUE(outcome) << outcome.error().message;
        write(text);
        const auto changed = changedSettings(words, environment, std::get<config::Values>(*outcome));
        if (!changed)
            return {changed.error().message};
        Words names;
        for (const ChangedSetting& setting : *changed)
            names.push_back(setting.name);
        return names;
    }
    [[nodiscard]] const std::string& file() const { return m_file; }

private:
    const test::TempDirectory m_directory;
    const std::string m_file = m_directory.path() + "/server.toml";
};

TEST_F(ChangedSettings, AreNoneWhereTheFileSaysTheSame)
{
    EXPECT_EQ(after("remote_store_addr = [\"file:///a\"]\nretry-factor = 2\n[hydra]\nuse_substitute = true\n"),
              Words{});
}

TEST_F(ChangedSettings, AreNamedWhetherTheyAreNewOtherOrGone)
{
    EXPECT_EQ(after("remoteStoreAddr = [\"file:///a\", \"file:///b\"]\nretryBackoff = 2.5\nlog-level = \"debug\"\n"),
              (Words{"remoteStoreAddr", "retry-factor", "hydra-substitutes", "log-level"}));
}

TEST_F(ChangedSettings, ThatAFlagOverrulesDoNotDiffer)
{
    EXPECT_EQ(after("retryBackoff = 2.0\nuseSubstitutes = true\nremoteStoreAddr = [\"file:///a\"]\nmaxRetries = 5\n"),
              Words{});
}

TEST_F(ChangedSettings, OfAFileThatCannotBeReadAreTold)
{
    const auto said = after("retryBakcoff = 2\n");
    ASSERT_EQ(said.size(), 1U);
    EXPECT_NE(said.front().find(file() + ":1: unknown key"), std::string::npos) << said.front();
}

} // namespace
} // namespace penstock::app
