// SPDX-License-Identifier: GPL-3.0-or-later
// Files of tests/golden, found through PENSTOCK_SOURCE_DIR (set by ctest). A missing file fails the test.
#pragma once

#include "shared/base/check.h"

#include <string>
#include <string_view>
#include <vector>

namespace penstock::test {

[[nodiscard]] std::string goldenPath(std::string_view relative);
[[nodiscard]] std::string readGolden(std::string_view relative);
// Lines split at tabs; empty fields are kept.
[[nodiscard]] std::vector<std::vector<std::string>> readGoldenTable(std::string_view relative);

// What must be there: ends the test program otherwise.
template <class T> [[nodiscard]] const T& must(const T* value)
{
    PENSTOCK_CHECK(value != nullptr);
    return *value;
}

} // namespace penstock::test
