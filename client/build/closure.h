// SPDX-License-Identifier: GPL-3.0-or-later
// The derivations that roots need, read from their files: which they are, what sources they name, dependencies first.
// Their texts are not kept: a closure of hundreds of megabytes is read again while it is sent. Blocking; reads on several
// threads while the caller waits.
#pragma once

#include "client/build/local_nix.h"
#include "shared/base/result.h"
#include "shared/nix/store_path.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::client {

struct Closure {
    std::vector<std::string> derivations; // full paths, dependencies first
    std::vector<std::uint32_t> sizes;     // of their texts
    std::vector<std::string> sources;     // full paths that they name as sources, sorted, each once
    std::uint64_t bytes = 0;              // of all texts
};

// The text of a derivation by its full path. NotFound when there is none. Called from several threads at once.
using DerivationReader = std::function<Result<std::string>(const std::string& path)>;
[[nodiscard]] Result<std::string> readDerivationFile(const std::string& path);

[[nodiscard]] Result<Closure> readClosure(const nix::StoreDir& dir, const std::vector<Root>& roots,
                                          const DerivationReader& read);

// What a derivation's text says of others, without the rest of it, which the server checks anyway.
struct Needs {
    std::vector<std::string> derivations;
    std::vector<std::string> sources;
};
[[nodiscard]] Result<Needs> needsOf(std::string_view text);

} // namespace penstock::client
