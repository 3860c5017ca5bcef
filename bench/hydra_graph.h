// SPDX-License-Identifier: GPL-3.0-or-later
// A made-up package collection for one system: derivation files with the right paths, in the shape of a real one: a
// deep base that everything needs (about 200 levels), sources of fixed content, packages with some eight inputs of
// which few are very popular, and a few jobs at the top that need thousands. The same every time. Any thread, one a
// collection. A file that cannot be written ends the program.
#pragma once

#include "shared/nix/store_path.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace penstock::bench {

struct Collection {
    std::string system;
    std::size_t derivations = 0;
    std::size_t base = 0; // of them
    std::uint64_t seed = 1;
};

enum class Part : std::uint8_t { Base, Source, Package, Top };

struct MadeDerivation {
    Part part;
    std::string name;
    nix::StorePath path;
    std::vector<std::pair<std::string, nix::StorePath>> outputs;
};

struct MadeCollection {
    std::vector<MadeDerivation> derivations; // inputs before what needs them
    std::size_t edges = 0;
    std::uint64_t bytes = 0;
};

// Writes the files into the directory of the store, which is there.
[[nodiscard]] MadeCollection makeCollection(const nix::StoreDir& dir, const Collection& wanted);

// A small generator whose numbers are the same everywhere.
class Draw {
public:
    explicit Draw(std::uint64_t seed) : m_state(seed) {}
    [[nodiscard]] std::size_t below(std::size_t limit);
    [[nodiscard]] double unit() { return static_cast<double>(below(1U << 24U)) / static_cast<double>(1U << 24U); }

private:
    std::uint64_t m_state;
};

} // namespace penstock::bench
