// SPDX-License-Identifier: GPL-3.0-or-later
// The binary cache that Nix itself wrote, tests/golden/nix/cache (its NARs are in base 16: fromHex of
// nar_tree.h).
#pragma once

#include "tests/support/golden.h"
#include "tests/support/nar_tree.h"

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

} // namespace penstock::nix::test
