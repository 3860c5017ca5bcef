// SPDX-License-Identifier: GPL-3.0-or-later
// The binary cache that Nix itself wrote, tests/golden/nix/cache: its narinfos, and files kept in base 16.
#pragma once

#include "shared/base/check.h"
#include "tests/support/golden.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::nix::test {

// Names relative to tests/golden, sorted.
[[nodiscard]] inline std::vector<std::string> goldenFiles(const std::string& folder, std::string_view suffix)
{
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(penstock::test::goldenPath(folder)))
        if (entry.path().filename().string().ends_with(suffix))
            files.push_back(folder + "/" + entry.path().filename().string());
    std::sort(files.begin(), files.end());
    return files;
}

[[nodiscard]] inline std::string fromHex(std::string_view text)
{
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    std::string bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2)
        bytes.push_back(static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1])));
    return bytes;
}

} // namespace penstock::nix::test
