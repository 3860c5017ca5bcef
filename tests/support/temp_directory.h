// SPDX-License-Identifier: GPL-3.0-or-later
// A directory of its own for one test, removed afterwards.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace penstock::test {

class TempDirectory {
public:
    TempDirectory()
    {
        std::string pattern = (std::filesystem::temp_directory_path() / "penstock-test-XXXXXX").string();
        const char* const made = ::mkdtemp(pattern.data());
        m_path = made == nullptr ? std::string() : std::filesystem::canonical(made).string();
    }
    TempDirectory(const TempDirectory&) = delete;
    TempDirectory& operator=(const TempDirectory&) = delete;
    ~TempDirectory()
    {
        std::error_code error;
        std::filesystem::remove_all(m_path, error);
    }
    [[nodiscard]] const std::string& path() const { return m_path; }

private:
    std::string m_path;
};

} // namespace penstock::test
