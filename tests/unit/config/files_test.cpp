// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/config/files.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::config {
namespace {

class SecretFile : public ::testing::Test {
protected:
    SecretFile()
    {
        std::string name = "/tmp/penstock-secret-XXXXXX";
        EXPECT_NE(::mkdtemp(name.data()), nullptr);
        m_directory = name;
    }
    ~SecretFile() override
    {
        std::error_code ignored; // what is left in /tmp harms nobody
        std::filesystem::remove_all(m_directory, ignored);
    }

    std::string write(const std::string& name, const std::string& text, mode_t mode)
    {
        const std::string path = m_directory + "/" + name;
        std::ofstream(path) << text;
        EXPECT_EQ(::chmod(path.c_str(), mode), 0);
        return path;
    }

    std::string m_directory;
};

TEST_F(SecretFile, OneTrailingNewlineIsCutOff)
{
    EXPECT_EQ(readSecretFile(write("a", "s3cret\n", 0600)).value(), "s3cret");
    EXPECT_EQ(readSecretFile(write("b", "s3cret\r\n", 0400)).value(), "s3cret");
    EXPECT_EQ(readSecretFile(write("c", "two\n\n", 0600)).value(), "two\n");
}

TEST_F(SecretFile, AFileThatOthersCanReachIsRefusedWithTheWayOut)
{
    for (const mode_t mode : {0640U, 0604U, 0620U, 0601U, 0644U}) {
        const auto secret = readSecretFile(write("open", "x", mode));
        ASSERT_FALSE(secret) << mode;
        EXPECT_EQ(secret.error().code, ErrorCode::Denied);
        EXPECT_NE(secret.error().message.find("chmod 600"), std::string::npos);
        EXPECT_EQ(secret.error().message.find("\"x\""), std::string::npos);
    }
}

TEST_F(SecretFile, SizeIsBoundedAtTheLimit)
{
    EXPECT_TRUE(readSecretFile(write("full", std::string(kMaxSecretBytes, 'k'), 0600)));
    EXPECT_EQ(readSecretFile(write("over", std::string(kMaxSecretBytes + 1, 'k'), 0600)).error().code,
              ErrorCode::Exhausted);
}

TEST_F(SecretFile, WhatIsNoFileOrEmptyOrMissingIsRefused)
{
    EXPECT_EQ(readSecretFile(m_directory).error().code, ErrorCode::Invalid);
    EXPECT_EQ(readSecretFile(write("empty", "\n", 0600)).error().code, ErrorCode::Invalid);
    EXPECT_EQ(readSecretFile(m_directory + "/none").error().code, ErrorCode::NotFound);
    const std::string pipe = m_directory + "/pipe";
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    EXPECT_EQ(readSecretFile(pipe).error().code, ErrorCode::Invalid);
}

TEST_F(SecretFile, ABareNameIsTakenFromTheCredentialsDirectory)
{
    write("token", "from-systemd", 0400);
    EXPECT_EQ(readSecretFile("token", m_directory).value(), "from-systemd");
    EXPECT_EQ(readSecretFile("missing-name", m_directory).error().code, ErrorCode::NotFound);
    EXPECT_EQ(readSecretFile(write("path", "as-path", 0600), m_directory).value(), "as-path");
}

TEST_F(SecretFile, AReadableFileStopsAtItsLimitToo)
{
    EXPECT_EQ(readTextFile(write("t", "12345", 0644), 5).value(), "12345");
    EXPECT_EQ(readTextFile(write("t", "123456", 0644), 5).error().code, ErrorCode::Exhausted);
    EXPECT_EQ(readTextFile("/dev/zero", 1000).error().code, ErrorCode::Exhausted);
}

} // namespace
} // namespace penstock::config
