// SPDX-License-Identifier: GPL-3.0-or-later
// The files below a directory as object keys, in the order of their bytes. Blocking, any thread.
#pragma once

#include "shared/base/result.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::cache::detail {

struct DirectoryEntry {
    std::string name;
    bool isDirectory;
};
// All but "." and "..", in no order. name: below base.
[[nodiscard]] Result<std::vector<DirectoryEntry>> entriesOf(int base, const std::string& name,
                                                            const std::string& path);

struct DirectoryRoot {
    int descriptor;
    const std::string& path; // what errors call it
};
// Names that begin with a dot are passed over. NotFound of what goes away meanwhile is no error.
[[nodiscard]] Result<void> listKeys(DirectoryRoot root, std::string_view prefix,
                                    const std::function<bool(std::string_view)>& visit);

} // namespace penstock::cache::detail
