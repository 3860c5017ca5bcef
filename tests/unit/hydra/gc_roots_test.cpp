// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/gc_roots.h"

#include "tests/support/temp_directory.h"

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <set>
#include <sys/stat.h>
#include <thread>
#include <vector>

namespace penstock::hydra {
namespace {

namespace fs = std::filesystem;

struct LastError final : Logger {
    void log(LogLevel, std::string_view, std::initializer_list<LogField> fields) override
    {
        for (const LogField& field : fields)
            text = std::get<std::string>(field.value);
    }
    std::string text;
};

nix::StorePath path(const std::string& name)
{
    return nix::StorePath::fromBaseName("00bgd045z0d4icpbc2yyz4gx48ak44la-" + name).value();
}

class Roots : public ::testing::Test {
protected:
    [[nodiscard]] std::string directory() const { return m_directory.path() + "/gcroots/per-user/hydra/hydra-roots"; }
    [[nodiscard]] std::string target(const std::string& name) const
    {
        std::error_code error;
        return fs::read_symlink(directory() + "/00bgd045z0d4icpbc2yyz4gx48ak44la-" + name, error).string();
    }
    [[nodiscard]] std::set<std::string> names() const
    {
        std::set<std::string> names;
        for (const auto& entry : fs::directory_iterator(directory()))
            names.insert(entry.path().filename().string());
        return names;
    }

    test::TempDirectory m_directory;
    LastError m_logger;
    GcRoots m_roots{directory(), nix::StoreDir::standard(), m_logger};
};

TEST_F(Roots, AreLinksNamedLikeTheirPaths)
{
    ASSERT_TRUE(m_roots.add({path("hello"), path("hello-dev")}));
    EXPECT_EQ(target("hello"), "/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-hello");
    EXPECT_EQ(target("hello-dev"), "/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-hello-dev");
    EXPECT_EQ(names().size(), 2U);
}

TEST_F(Roots, AreOfTodayEachTime)
{
    ASSERT_TRUE(m_roots.add({path("hello")}));
    const std::string root = directory() + "/" + path("hello").baseName();
    const timespec old[2] = {{1'000, 0}, {1'000, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, root.c_str(), old, AT_SYMLINK_NOFOLLOW), 0);
    ASSERT_TRUE(m_roots.add({path("hello")}));
    struct stat info {};
    ASSERT_EQ(::lstat(root.c_str(), &info), 0);
    EXPECT_GT(info.st_mtime, 1'000'000);
}

TEST_F(Roots, ReplaceALinkThatLeadsElsewhere)
{
    fs::create_directories(directory());
    fs::create_symlink("/somewhere", directory() + "/" + path("hello").baseName());
    ASSERT_TRUE(m_roots.add({path("hello")}));
    EXPECT_EQ(target("hello"), "/nix/store/" + path("hello").baseName());
}

TEST_F(Roots, OneThatFailsLeavesTheOthersToBeMade)
{
    fs::create_directories(directory() + "/" + path("a").baseName() + "/in the way");
    const auto added = m_roots.add({path("a"), path("b")});
    ASSERT_FALSE(added);
    EXPECT_NE(added.error().message.find("--gc-roots-dir"), std::string::npos);
    EXPECT_EQ(target("b"), "/nix/store/" + path("b").baseName());
    EXPECT_EQ(names().size(), 2U) << "a link in the making was left behind";
}

TEST_F(Roots, AFailureIsTold)
{
    std::ofstream(m_directory.path() + "/gcroots") << "a file";
    m_roots.keep({path("a")});
    EXPECT_NE(m_logger.text.find("not kept from garbage collection"), std::string::npos);
}

TEST_F(Roots, ManyThreadsMakeTheSameLink)
{
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([this] {
            for (int round = 0; round < 100; ++round)
                EXPECT_TRUE(m_roots.add({path("hello"), path("other")}));
        });
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(names().size(), 2U);
}

} // namespace
} // namespace penstock::hydra
