// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/golden.h"

#include "shared/base/text.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

namespace penstock::test {

std::string goldenPath(std::string_view relative)
{
    const char* root = std::getenv("PENSTOCK_SOURCE_DIR");
    if (root == nullptr) {
        ADD_FAILURE() << "PENSTOCK_SOURCE_DIR is not set; run the tests with ctest";
        return {};
    }
    return std::string(root) + "/tests/golden/" + std::string(relative);
}

std::string readGolden(std::string_view relative)
{
    std::ifstream in(goldenPath(relative), std::ios::binary);
    if (!in)
        ADD_FAILURE() << "cannot read tests/golden/" << relative;
    std::ostringstream content;
    content << in.rdbuf();
    return content.str();
}

std::vector<std::vector<std::string>> readGoldenTable(std::string_view relative)
{
    std::vector<std::vector<std::string>> rows;
    const std::string text = readGolden(relative);
    for (const std::string_view line : split(text, '\n')) {
        if (line.empty())
            continue;
        std::vector<std::string>& row = rows.emplace_back();
        for (const std::string_view field : split(line, '\t'))
            row.emplace_back(field);
    }
    return rows;
}

} // namespace penstock::test
